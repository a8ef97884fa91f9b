"""What wrong answers to the last question of 4.6 give, and the hint for each."""

import numpy as np

from zerotohero.course.exercise import Mistake


def dependence_wrongly(rows: list, want: np.ndarray) -> list[Mistake]:
    """Return the mistakes in `want`, (B, B), what depends on what; rows: each with its kind."""
    B = len(rows)
    itself = np.eye(B, dtype=bool)

    def of(*kinds):
        """Return the rows of these kinds."""
        return np.array([[kind in kinds] for kind, _ in rows])

    fixed = (
        "Where an example is normalised by itself, you see no dependence: a change of all its "
        "channels by the same amount or factor, or the sum of its outputs, is what a "
        "normalisation takes out. Change them at random."
    )
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
        Mistake(
            want & ~(of("into first") & ~itself),
            "Where one channel of the output changes and the others don't, it has changed: "
            "`.any(1)`.",
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
