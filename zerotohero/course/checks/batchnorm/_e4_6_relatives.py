"""Of 4.6: what its last question asks, and what wrong answers to it give, with the hint for each;
the verdict on the gradients.
"""

import numpy as np

from zerotohero.course.exercise import Mistake, expect


def _drawn(rng: np.random.Generator, kinds: list[str]) -> list:
    """Return the kinds in a random order, each with what its output depends on."""
    B, rows = len(kinds), []
    for i, kind in enumerate(str(kind) for kind in rng.permutation(kinds)):
        others = rng.choice([j for j in range(B) if j != i], 3, replace=False).tolist()
        on = {"batch": [i, *others], "sum": others, "none": [], "zero sum": others[:1]}
        on |= {"rms of all": list(range(B)), "layer": [i], "rms": [i], "times zero": [i]}
        rows.append([kind, on.get(kind, [i, others[0]])])
    return rows


def rows_to_measure(rng: np.random.Generator) -> dict:
    """Return examples, and what the output for each depends on."""
    kinds = ["batch", "batch", "sum", "none", "layer", "rms", "rms of all", "times zero"]
    kinds += ["from first", "from last", "into first", "into last", "zero sum"]
    kinds += ["slight", "as given", "steps"]
    likely = [np.zeros(4), np.ones(4), np.arange(4.0), -np.ones(4)]
    # Sums of such numbers are exact, so that what a normalisation takes out is gone to the bit.
    return {
        "rows": _drawn(rng, kinds),
        "x": (2 * rng.integers(-64, 64, (len(kinds), 4)) + 1) / 64,
        "alone": [str(kind) for kind in rng.permutation(["layer", "none", "rms of all"])],
        "in_place": _drawn(rng, ["layer", "from first", "none", "zero sum"]),
        # Each depends on the three others, whose numbers are what they are likely changed to.
        "plain": _drawn(rng, ["sum"] * 4),
        "likely": rng.permutation(likely),
    }


def wanted(rows: list) -> np.ndarray:
    want = np.zeros((len(rows), len(rows)), dtype=bool)
    for i, (_, others) in enumerate(rows):
        want[i, others] = True
    return want


def dependence_wrongly(rows: list, want: np.ndarray) -> list[Mistake]:
    """Return the mistakes in `want`, (B, B), what depends on what; rows: each with its kind."""
    B = len(rows)
    itself = np.eye(B, dtype=bool)

    def of(*kinds):
        """Return the rows of these kinds."""
        return np.array([[kind in kinds] for kind, _ in rows])

    fixed = (
        "Where an example is normalised by itself, you see no dependence: a change of all its "
        "channels by the same amount or factor is what a normalisation takes out. Change them at "
        "random."
    )
    one_channel = "You compare one channel of the outputs alone, and others may change: `.any(1)`."
    summed = (
        "The sum of an example's outputs, or their mean, may stay as it is where they change: "
        "compare each of them."
    )
    zeroed = np.zeros((B, B), dtype=bool)
    for i, (kind, _) in enumerate(rows):
        zeroed[i, i - 1] = kind == "times zero"
    return [
        Mistake(
            want.T,
            "Rows and columns are swapped: [i, j] is whether output i depends on input j.",
        ),
        *(
            Mistake(want & ~(itself & of(*kinds)), fixed)
            for kinds in (["layer"], ["rms"], ["layer", "rms"])
        ),
        *(
            Mistake(
                want & ~(of(kind) & ~itself),
                "You miss a dependence on one channel alone: change all channels of j.",
            )
            for kind in ("from first", "from last")
        ),
        *(
            Mistake(want & ~(of(kind) & ~itself), one_channel)
            for kind in ("into first", "into last")
        ),
        *(
            Mistake(want & ~of("zero sum") & ~(itself & of(kind)), summed)
            for kind in ("zero sum", "layer")
        ),
        Mistake(
            want | zeroed,
            "NaN and infinity spread where no number does, as in 0 · NaN: change the example to "
            "other numbers.",
        ),
        Mistake(
            want & ~(of("into first", "into last") & ~itself),
            "Where one channel of the output changes and the others don't, it has changed: "
            "`.any(1)`.",
        ),
        Mistake(
            want & ~(of("slight") & ~itself),
            "You miss a slight dependence: compare exactly, with `!=`, and change an example by "
            "more than a little.",
        ),
        *(
            Mistake(
                want & ~(of(*kinds) & ~itself),
                "You miss a dependence that goes in steps, as rounding does: its gradient is 0, "
                "and a very small change shows nothing. Change the example, and compare.",
            )
            for kinds in (["steps"], ["steps", "slight"])
        ),
        Mistake(
            want & ~(of("as given") & ~itself),
            "You measure with numbers of your own: all but the one example that you change must be "
            "those of x.",
        ),
        Mistake(
            want & ~(of("rms of all") & ~itself),
            "You miss a dependence on numbers whatever their order: change them, don't only "
            "move them.",
        ),
        Mistake(
            want & ~of("sum") & ~(of("rms of all") & ~itself),
            "You miss a dependence on the size alone: a change of sign leaves it as it is.",
        ),
        Mistake(
            want | itself,
            "An example need not depend on itself, as [0, 0] on the card shows: measure the "
            "diagonal too.",
        ),
        Mistake(
            want & ~itself,
            "An example may depend on itself too: the diagonal is left out.",
        ),
        Mistake(
            itself,
            "That each example depends on itself alone is so for LayerNorm; `norm` may be "
            "anything: measure it.",
        ),
        Mistake(
            np.ones((B, B), dtype=bool),
            "That everything depends on everything is so for BatchNorm; `norm` may be "
            "anything: measure it.",
        ),
        Mistake(
            np.logical_or.accumulate(want, 1),
            "The change of one example stays in x for the next: begin each time with a fresh copy.",
        ),
        Mistake(
            want & want.T,
            "Only what depends on each other is left: [i, j] and [j, i] are two questions.",
        ),
        Mistake(want | want.T, "i may depend on j without j on i: measure each."),
        Mistake(~want, "That is where nothing changes: turn it round."),
    ]


def gradients_of_both(given: dict, got: dict) -> None:
    """Raise `Wrong` unless the gradients of layer_norm and of rms_norm are right."""
    x, dy, gamma = given["x"], given["dy"], given["gamma"]
    dn = dy * gamma

    def mean(values):
        return values.mean(-1, keepdims=True)

    for name in ("layer_norm", "rms_norm"):
        centred = x - mean(x) if name == "layer_norm" else x
        inverse = 1 / np.sqrt(mean(centred**2) + given["eps"])
        normal = centred * inverse
        through_size = normal * mean(dn * normal)
        if name == "layer_norm":
            right = inverse * (dn - mean(dn) - through_size)
            constants = {
                "mean and variance count as constants, but depend": inverse * dn,
                "the variance counts as a constant, but depends": inverse * (dn - mean(dn)),
                "the mean counts as a constant, but depends": inverse * (dn - through_size),
            }
        else:
            right = inverse * (dn - through_size)
            constants = {"the mean of the squares counts as a constant, but depends": inverse * dn}
        if not any(np.any(gradient) for gradient in got[name].values()):
            lost = f"Nothing comes back through {name}: no `torch.no_grad()`, and no detach of what"
            lost += " it returns."
        else:
            lost = None
        wants = {"x": right, "gamma": (dy * normal).sum((0, 1)), "beta": dy.sum((0, 1))}
        for leaf, gradient in got[name].items():
            alone = (
                f"In {name}, {leaf} gets no gradient: use it as it is, without detach or `.data`."
            )
            mistakes = [Mistake(0 * wants[leaf], lost or alone)]
            if leaf == "x":
                mistakes += [
                    Mistake(
                        value,
                        f"In {name}'s graph {what} on x: no detach, `.data` or `no_grad` there.",
                    )
                    for what, value in constants.items()
                ]
            expect(f"{name}: the gradient of {leaf}", gradient, wants[leaf], mistakes=mistakes)
