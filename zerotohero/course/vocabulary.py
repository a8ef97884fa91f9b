"""What `--tokenizer` means, wherever it is asked for: a vocabulary's name, its file, or its size.

Nothing here needs torch.
"""

import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from zerotohero import tokenizer_files
from zerotohero.tokenizer import Tokenizer


def vocabulary(
    wish: str,
    texts: Callable[[], str | Iterable[str]],
    special: Iterable[str] = (),
    say: Callable[[str], None] = print,
) -> Tokenizer:
    """Return the vocabulary of that name or file, or one of that size, learned from the texts.

    A learned one has the `special` tokens; if the texts have too little to merge, it is smaller,
    and that is said. ValueError or OSError with one sentence.
    """
    if Path(wish).exists():
        return tokenizer_files.load(wish)
    if not wish.isdecimal():
        return Tokenizer.named(wish)
    with warnings.catch_warnings(record=True) as few:
        warnings.simplefilter("always", UserWarning)
        progress = sys.stderr.isatty()
        learned = Tokenizer.learn(texts(), int(wish), special=special, progress=progress)
    for warning in few:
        say(str(warning.message))
    return learned
