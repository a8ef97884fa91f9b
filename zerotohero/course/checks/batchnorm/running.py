"""The running statistics of 4.4, and what learners get wrong about them."""

import numpy as np

from zerotohero.course.exercise import Mistake, expect, expect_that

FLOAT = 2e-5  # float32's rounding, through a mean, a variance and a root
FAR = 2e-3  # the same where x is about 1000; what loses digits is off by more than ten times that


def moved(given, momentum=None, correction=1, root=False, plain=False, from_zero=False):
    """Running mean and variance after the batches."""
    a = given["momentum"] if momentum is None else momentum
    mean, var = 0.0, 0.0 if from_zero else 1.0
    for x in given["batches"]:
        v = x.var(0, ddof=correction)
        v = np.sqrt(v) if root else v
        mean = (0 if plain else (1 - a) * mean) + a * x.mean(0)
        var = (0 if plain else (1 - a) * var) + a * v
    return mean, var


def expect_start(start) -> None:
    for name, want, why in (
        ("mean", np.zeros(3), "It starts at zeros."),
        (
            "var",
            np.ones(3),
            "running_var starts at ones: a layer that has seen nothing changes "
            "nothing in eval mode.",
        ),
    ):
        shape = "One number a channel: its shape is (C,), with no other axis kept."
        expect(
            f"running_{name} at the start",
            start[name],
            want,
            hint=why if np.shape(start[name]) == want.shape else shape,
        )
    expect_that(
        not start["linked"],
        "running_mean or running_var requires a gradient at the start",
        "Statistics are not learned: make them by `torch.zeros` and `torch.ones` without more.",
    )


def expect_moved(given, found, when="") -> None:
    given = given | {"batches": [x.astype(float) for x in given["batches"]]}
    a = given["momentum"]
    last = given["batches"][-1]
    mean, var = moved(given)
    turned = moved(given, momentum=1 - a)
    swapped = (
        "The momentum is the wrong way round: the new value gets the share `momentum`, the old one "
        "1 - momentum."
    )
    replaced = (
        "The statistics of the last batch have replaced the running ones: they only move a share "
        "of the way towards it."
    )
    still = "It hasn't moved: in train mode every call moves the running statistics."
    forgetful = "The old value is lost: keep (1 - momentum) of it."
    ten = "The share is always 0.1: take the `momentum` that the layer was made with."
    expect(
        f"running_mean{when}",
        found["mean"],
        mean,
        tol=FLOAT,
        mistakes=[
            Mistake(0 * mean, still),
            Mistake(turned[0], swapped),
            Mistake(last.mean(0), replaced),
            Mistake(moved(given, plain=True)[0], forgetful),
            Mistake(moved(given, momentum=0.1)[0], ten),
            Mistake(
                np.mean([x.mean(0) for x in given["batches"]], 0),
                "That is the average of all batches, with the same weight each: the running "
                "statistics move by `momentum`, and forget what is long ago.",
            ),
        ],
    )
    expect(
        f"running_var{when}",
        found["var"],
        var,
        tol=FLOAT,
        mistakes=[
            Mistake(1 + 0 * var, still),
            Mistake(
                moved(given, correction=0)[1],
                "The running variance collects the biased variance (÷ B): it stands for data not "
                "seen, so it takes the unbiased one (÷ (B − 1)).",
            ),
            Mistake(
                moved(given, root=True)[1],
                "The running *variance* collects standard deviations: leave out the root.",
            ),
            Mistake(
                moved(given, root=True, correction=0)[1],
                "The running *variance* collects standard deviations: leave out the root.",
            ),
            Mistake(
                moved(given | {"eps": 0}, from_zero=True)[1],
                "running_var starts at zeros; it starts at ones.",
            ),
            Mistake(
                var + given["eps"] * (1 - (1 - a) ** len(given["batches"])),
                "eps got into the running variance: it is added only where the root is taken.",
            ),
            Mistake(turned[1], swapped),
            Mistake(last.var(0, ddof=1), replaced),
            Mistake(moved(given, plain=True)[1], forgetful),
        ],
    )
