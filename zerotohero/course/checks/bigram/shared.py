"""What the exercises of lecture 02 share: counting n-grams, and hints."""

import numpy as np

from zerotohero.course.checks.names import STOI
from zerotohero.course.exercise import NO_LINE


def grams(
    word: str, n: int, stoi: dict[str, int] = STOI, front: int | None = None, end: bool = True
) -> list[tuple[int, ...]]:
    """Return a word's n-grams as numbers, with `front` boundaries before it: n − 1, if right."""
    ids = [stoi[s] for s in "." * (n - 1 if front is None else front) + word + "." * end]
    return [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]


def count_grams(words: list[str], n: int, stoi: dict[str, int] = STOI, **boundaries) -> np.ndarray:
    N = np.zeros((len(stoi),) * n, dtype=np.int64)
    for word in words:
        for gram in grams(word, n, stoi, **boundaries):
            N[gram] += 1
    return N


ORDER = {
    f"positional argument.*{NO_LINE}": "Does the function take the arguments that the card "
    "names, and do the answers stand in the card's order in the call of `check`?"
}


KEPT = (
    "The first call was right, and the next isn't: something is kept from call to call, such as a "
    "table, or a default argument (`out=[]` is made once, with the function). Make it inside."
)


WHOLE = {
    "can't be cast": "`+=` writes into the table itself, which holds whole numbers and no "
    "fractions: `N + k` makes a new one."
}
NO_NUMPY = "NumPy knows nothing of gradients: stay with torch's functions."


def as_number(loss):
    """Return one number in brackets as the number alone."""
    return loss.reshape(()) if isinstance(loss, np.ndarray) and loss.size == 1 else loss
