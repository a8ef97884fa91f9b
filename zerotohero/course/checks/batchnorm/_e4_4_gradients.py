"""The verdict on BatchNorm1d's gradients in 4.4, in both modes."""

import numpy as np

from zerotohero.course.exercise import Mistake, array, expect, expect_that


def _not_parameters(listed: list[str]) -> str:
    if any(name.startswith("running") for name in listed):
        return (
            "parameters() lists what training moves: gamma and beta. The running statistics are no "
            "parameters."
        )
    if "another" in listed:
        return (
            "parameters() returns gamma and beta themselves: what training does to a copy doesn't "
            "reach the layer."
        )
    return "parameters() lists gamma and beta, each once."


def gradients_twice(given: dict, got: dict) -> None:
    given = {k: v.astype(float) if isinstance(v, np.ndarray) else v for k, v in given.items()}
    x, dy, gamma = given["x"], given["dy"], given["gamma"]
    inverse = 1 / np.sqrt(x.var(0) + given["eps"])
    normal = (x - x.mean(0)) * inverse
    dn = dy * gamma
    want = inverse * (dn - dn.mean(0) - normal * (dn * normal).mean(0))
    expect_that(
        not got["linked"],
        "running_mean or running_var has a gradient",
        "The running statistics are part of the graph: update them under `torch.no_grad()`.",
    )
    for name, right in (("beta", dy.sum(0)), ("gamma", (dy * normal).sum(0))):
        lost = f"{name} gets no gradient: make it with `requires_grad=True`, and use it as it is."
        expect(
            f"the gradient of {name}",
            got[name],
            right,
            tol=1e-4,
            mistakes=[Mistake(0 * right, lost)],
        )
    expect(
        "the gradient of x",
        got["x"],
        want,
        tol=1e-4,
        mistakes=[
            Mistake(
                dn * inverse,
                "Mean and variance count as constants in your graph, but both depend on x: compute "
                "them outside `torch.no_grad()`, without detach or `.data`.",
            ),
            Mistake(
                inverse * (dn - dn.mean(0)),
                "The variance counts as a constant in your graph, but it depends on x: no detach, "
                "no `.data`, no `no_grad` for it.",
            ),
            Mistake(
                inverse * (dn - normal * (dn * normal).mean(0)),
                "The mean counts as a constant in your graph, but it depends on x.",
            ),
            Mistake(0 * x, "Nothing comes back to x: it was detached, or its data copied."),
        ],
    )
    expect(
        "parameters(), in order of the alphabet",
        sorted(got["listed"]),
        ["beta", "gamma"],
        hint=_not_parameters(got["listed"]),
    )
    expect(
        "what parameters() returns",
        got["holder"],
        "list",
        hint="The card says a list: `return [self.gamma, self.beta]`.",
    )
    mean, var = array("running_mean", got["mean"], (3,)), array("running_var", got["var"], (3,))
    inverse = 1 / np.sqrt(var + given["eps"])
    for name, right in (
        ("beta", dy.sum(0)),
        ("gamma", (dy * (x - mean) * inverse).sum(0)),
        ("x", dn * inverse),
    ):
        expect(
            f"the gradient of {name} in eval mode",
            got["in_eval"][name],
            right,
            tol=1e-4,
            mistakes=[
                Mistake(
                    0 * right,
                    "In eval mode the output still depends on x, gamma and beta: it is the moving "
                    "of the statistics alone that needs `torch.no_grad()`.",
                )
            ],
        )
