"""3.1 · Contexts and targets: turning text into training examples without losing or leaking
a character.
"""

import string

import numpy as np

from zerotohero.course.checks.mlp.shared import examples
from zerotohero.course.checks.names import STOI, some_names
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    expect,
)

dataset = Exercise(
    number="3.1",
    title="Contexts and targets",
    difficulty=2,
    minutes=25,
    practises="turning text into training examples without losing or leaking a character",
    answers=("build_dataset",),
    summary=(
        "Build contexts and targets from a list of words, for any context length. "
        "Keep track of the word that each example comes from, so that losses can be read by word."
    ),
    statement="""
`build_dataset(words: list[str], block_size: int, stoi: dict[str, int]) -> tuple`

Return `X` of shape `(N, block_size)`, `Y` of shape `(N,)` and `source` of shape `(N,)`, all
int64. Row n of `X` holds the numbers of the `block_size` characters before the one to predict, the
oldest first; `Y[n]` is the number of that character; `source[n]` is the position in `words` of the
word that the example comes from. Each word starts from boundaries only (number 0) and ends by
predicting the boundary, so a word of L letters gives L + 1 examples, in reading order.

```python
X, Y, source = build_dataset(["ab", "c"], 2, {".": 0, "a": 1, "b": 2, "c": 3})
X.tolist()         # [[0, 0], [0, 1], [1, 2], [0, 0], [0, 3]]
Y.tolist()         # [1, 2, 0, 3, 0]
source.tolist()    # [0, 0, 0, 1, 1]
```
""",
    hints=(
        "Keep one list, the context. What has to happen to it after each character, and what "
        "before each word?",
        "For each word: context = block_size zeros. For each character of word + '.': note the "
        "context, the character's number and the word's position, then move the context on.",
        "`context = context[1:] + [ix]` makes a new list, so that the one that was noted stays as "
        "it was. Loop with `for n, word in enumerate(words)`; wrap in `torch.tensor` at the end.",
    ),
)


def _expect_examples(words: list[str], block_size: int, stoi: dict, got: dict) -> None:
    def variant(**switches) -> np.ndarray:
        return examples(words, block_size, stoi, **switches)[0]

    X, Y, source = examples(words, block_size, stoi)
    carried, leaking = variant(reset=False), variant(leak=True)
    # One list that is changed in place and noted again and again shows its last state everywhere.
    alias = [
        np.repeat(rows[-1:], len(rows), 0) for rows in (leaking, variant(leak=True, reset=False))
    ]
    per_word = np.concatenate(
        [np.repeat(leaking[source == n][-1:], (source == n).sum(), 0) for n in range(len(words))]
    )
    in_place = (
        "All rows are one and the same list, which was changed after it was noted: make a new list "
        "for each context, such as `context[1:] + [ix]`."
    )
    expect(
        f"X, block_size={block_size}",
        got["X"],
        X,
        mistakes=[
            Mistake(
                variant(end=False),
                "The end of each word is missing: the last example of a word predicts the "
                "boundary, or the model never learns to stop.",
            ),
            Mistake(
                examples([word for word in words if word], block_size, stoi)[0],
                "The word without letters was left out: it gives one example, whose target is the "
                "boundary.",
            ),
            Mistake(
                leaking,
                "Each context already holds the character that it should predict: note the context "
                "first and move it on afterwards.",
            ),
            Mistake(
                carried,
                "The context is carried from one word into the next: start each word with a "
                "context of zeros.",
            ),
            # With one character, all of them would be zeros, which has other causes, too.
            *(Mistake(rows, in_place) for rows in (*alias, per_word) if block_size > 1),
            Mistake(
                variant(pad_right=True),
                "The boundaries stand behind the letters: they fill the context from the left, so "
                "that the newest character is always last.",
            ),
            Mistake(
                variant(newest=True),
                "The newest character stands first: contexts are in reading order, the oldest "
                "character first.",
            ),
            Mistake(
                examples(["." + word for word in words], block_size, stoi)[0],
                "Each word has an example too many: the boundaries before it are context, not a "
                "target.",
            ),
            Mistake(
                examples(words, block_size + 1, stoi)[0],
                "Each context has a character too many: `block_size` of them.",
            ),
            *(
                Mistake(
                    examples(words, block_size, {s: i for i, s in enumerate([".", *letters])})[0],
                    "The numbers are the letters' places in the alphabet: look them up in `stoi`.",
                )
                for letters in (string.ascii_lowercase, sorted(set("".join(words))))
            ),
            Mistake(
                examples(words, 3, stoi)[0],
                "The context is always three characters long: its length is the argument "
                "`block_size`.",
            ),
        ],
    )
    expect(
        "Y",
        got["Y"],
        Y,
        mistakes=[
            Mistake(
                X[:, -1],
                "That is the newest character of the context; the target is the character after "
                "it.",
            ),
        ],
    )
    expect(
        "source",
        got["source"],
        source,
        mistakes=[
            Mistake(
                np.arange(len(Y)),
                "`source` numbers the examples; give the position of the word in `words`.",
            ),
            Mistake(source + 1, "`source` counts from 1; positions in a list count from 0."),
            Mistake(
                np.concatenate([np.arange(len(word) + 1) for word in words]),
                "`source` holds the position of the character in its word; it should hold the "
                "position of the word in `words`.",
            ),
            Mistake(
                np.array([words.index(words[n]) for n in source]),
                "A name may stand in `words` twice, and `words.index` finds the first only: count "
                "with `enumerate`.",
            ),
        ],
    )
    expect(
        "the data types of X, Y and source",
        got["kinds"],
        ["torch.int64"] * 3,
        hint="Numbers that are used as indices must be int64 tensors: `torch.tensor` of whole "
        "numbers makes one. A list, a NumPy array or a tensor of floats won't do.",
    )


def _short_words(rng) -> dict:
    words = ["".join(rng.permutation([*letters])) for letters in ("ab", "abc", "abbc")]
    return {
        "words": [*words, "c"],
        "block_size": 4,
        "stoi": {".": 0, "a": 1, "b": 2, "c": 3},
    }


@dataset.case("four short words", adapter="dataset", inputs=_short_words)
def rows_of_short_words(given, got):
    _expect_examples(given["words"], given["block_size"], given["stoi"], got)


@dataset.case(
    "100 names with a context of three",
    points=2,
    adapter="dataset",
    inputs=lambda rng: {
        "words": 2 * some_names(rng, 50),
        "block_size": 3,
        # Not in the order of the alphabet, so that they have to be looked up.
        "stoi": dict(zip([".", *rng.permutation([*STOI][1:]).tolist()], range(27), strict=True)),
    },
)
def rows_of_many_names(given, got):
    _expect_examples(given["words"], given["block_size"], given["stoi"], got)


@dataset.case(
    "a context longer than the words, and one of a single character",
    adapter="datasets",
    # A word without letters gives one example, too.
    inputs=lambda rng: {
        "words": [*some_names(rng, 20), "", "ab"],
        "block_sizes": [16, 1],
        "stoi": STOI,
    },
)
def long_and_short_contexts(given, got):
    for block_size, found in zip(given["block_sizes"], got["datasets"], strict=True):
        _expect_examples(given["words"], block_size, given["stoi"], found)
