"""7.8 · Your own data: the whole way from a file to a model, with a baseline and an honest
report.
"""

from unicodedata import normalize

import numpy as np

from zerotohero.course.checks.gpt._e7_8_model import model_of_an_unseen_text
from zerotohero.course.checks.gpt._e7_8_texts import (
    baseline_loss,
    baseline_wrongly,
    language,
    parts_of,
)
from zerotohero.course.checks.gpt.shared import GPT_AND_TRAINER, TRAINED_CRASHES
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    Wrong,
    array,
    expect,
    expect_that,
    number,
)

own_data = Exercise(
    number="7.8",
    title="Your own data",
    difficulty=3,
    minutes=60,
    practises="the whole way from a file to a model, with a baseline and an honest report",
    answers=("read_data", "bigram_loss", "own_data"),
    adapters="gpt_training",
    uses=GPT_AND_TRAINER,
    takes=6,
    summary=(
        "Take any text file of yours, split it, train a GPT on it, and report its loss on the part "
        "held out beside that of counting letter pairs. The check does it with files that it makes."
    ),
    statement="""
`read_data(path: Path, block_size: int) -> tuple[str, Tensor, Tensor]`

Read a UTF-8 text file. Return `chars`, its distinct characters in sorted order as one string, and
`train` and `val`, the tokens of the first nine tenths (`int(0.9 * n)` characters) and of the rest,
1-D int64; a character's token is its place in `chars`. Raise `ValueError` with a sentence in which
the file's name stands, for a file that is not UTF-8 and for one in which a part has fewer than
block_size + 1 characters.

`bigram_loss(train: Tensor, val: Tensor, V: int) -> float`

The baseline: count the pairs of neighbours in `train`, add 1 to each of the V · V counts, and
return the mean loss, −log p in nats, over the pairs of neighbours in `val`.

`own_data(path: Path) -> tuple[GPT, dict]`

Train a `zerotohero.gpt.GPT` on the file's training part, at most 2,000,000 parameters, and return
it with a report:

- `"vocab_size"`, `"train_tokens"`, `"val_tokens"`: whole numbers;
- `"bigram_loss"` and `"val_loss"`: the baseline, and the model's mean loss over all of `val`, which
  `zerotohero.training.evaluate(model, val)` measures;
- `"sample"`: a text of at least 200 characters that the model has written.

```python
bigram_loss(torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1]), 2)    # 0.2877, which is −log(3/4)
```

The check writes text files of about 40,000 characters, made of words that nobody has seen before,
and measures everything again. The model must be better than the baseline by 0.2. A few seconds of
training are enough. Then run it on a file of your own: letters, poems, source code, chats.
""",
    hints=(
        "Which numbers would be too good if `val` had been among what the model learned from? "
        "And which error does Python raise for bytes that aren't UTF-8?",
        "UnicodeDecodeError says nothing to a reader: catch it, raise ValueError with the file's "
        "name. Pairs: `counts.index_put_((train[:-1], train[1:]), ones, accumulate=True)`.",
        "`counts = torch.ones(V, V)`, then p = counts / counts.sum(1, keepdim=True), and "
        "`-p[val[:-1], val[1:]].log().mean()`. The recipe of 7.3 serves here too: 2 layers of 96, "
        "context 64, Muon, batches of 16, 150 steps. `model.generate(prompts, 300)` samples.",
    ),
)


def _a_file(rng: np.random.Generator) -> dict:
    text = language(rng, 640)
    # A character that only the last tenth has, capitals, an accent of its own, and blanks at both
    # ends; and a length of which nine tenths round up.
    size = 600 + 10 * int(rng.integers(3)) + int(rng.integers(1, 5))
    return {"text": f"\n {text[:5].upper()}{text[: size - 14]}e\u0301\t—Ω!\n", "block_size": 16}


@own_data.case(
    "vocabulary and split",
    points=2,
    adapter="read",
    inputs=_a_file,
    crashes={
        "KeyError|ValueError: substring not found|is not in list": "A character of the last tenth "
        "is unknown: the vocabulary is that of the whole file.",
        "Nothing came back": "End read_data with `return chars, train, val`.",
        "UnicodeDecodeError": 'Open it with `encoding="utf-8"`: without it, Python takes what '
        "the machine is set to.",
    },
)
def vocabulary_and_split(given, got):
    text = given["text"]
    chars, train, val = parts_of(text)
    other = {
        'the file read as latin-1: open it with `encoding="utf-8"`': text.encode().decode(
            "latin-1"
        ),
        "the text in small letters: capitals are characters of their own": text.lower(),
        "the text normalised: a letter and an accent behind it are two characters": normalize(
            "NFC", text
        ),
        "the text without its line breaks: they are characters too": text.replace("\n", ""),
    }
    wrong = [
        Mistake("".join(sorted(set(t))), f"This is the vocabulary of {what}.")
        for what, t in other.items()
    ]
    wrong += [
        Mistake(sorted(set(text)), '`chars` is one string: `"".join(sorted(set(text)))`.'),
        Mistake(
            "".join(dict.fromkeys(text)),
            "The characters stand in the order in which they come: sort them, so that the same "
            "text always gives the same numbers.",
        ),
        Mistake(
            "".join(sorted(set(text[: len(train)]))),
            "The vocabulary is that of the training part: a character that comes later would have "
            "no number.",
        ),
    ]
    expect("chars", got["chars"], chars, mistakes=wrong)
    tokens = np.concatenate([train, val])
    pieces = {name: array(name, got[name]) for name in ("train", "val")}
    n, cut = len(text), len(train)
    together = pieces["train"].size + pieces["val"].size
    for name, piece in pieces.items():
        expect_that(
            piece.ndim == 1,
            f"{name}: expected tokens along one axis, got shape {piece.shape}",
            "A text is one row of tokens, (n,): batches are cut from it later.",
        )
    expect_that(
        not (np.array_equal(pieces["train"], val) and np.array_equal(pieces["val"], train)),
        "train and val: expected the first nine tenths and the rest, got the rest first",
        "The two have changed places: `return chars, train, val`.",
    )
    expect_that(
        together <= n,
        f"train and val: expected {n} tokens in all, got {together}",
        "The parts overlap: a token that stands in both has been learned before it is tested. "
        "`tokens[:cut]` and `tokens[cut:]` share nothing.",
    )
    expect_that(
        together == n,
        f"train and val: expected {n} tokens in all, got {together}",
        "Characters are lost: what a file holds is data, the line breaks and the blanks at its "
        "ends too.",
    )
    joined, size = np.concatenate(list(pieces.values())), len(text.encode())
    expect_that(
        pieces["train"].size != min(n, int(0.9 * size)) or not np.array_equal(joined, tokens),
        f"train: expected {cut} of {n} tokens, got {pieces['train'].size}",
        f"Cut after nine tenths of the characters, of which there are {n} here, and not of the "
        f"bytes, {size} here: in UTF-8 an ä has two.",
    )
    expect_that(
        not np.array_equal(pieces["train"], tokens[n - pieces["train"].size :]),
        "train: expected the first nine tenths of the file, got the last",
        "The validation part is taken from the front: it is the end of the file.",
    )
    expect_that(
        pieces["train"].size == cut or not np.array_equal(joined, tokens),
        f"train: expected {cut} of {n} tokens, got {pieces['train'].size}",
        "The file is cut at another place: at `int(0.9 * n)`, which leaves out what stands behind "
        "the point.",
    )
    mistakes = [
        Mistake(
            np.array([ord(text[i]) for i in range(cut)]),
            "These are code points: a token is the character's place in `chars`.",
        ),
    ]
    shuffled = pieces["train"].size == cut and np.array_equal(np.sort(joined), np.sort(tokens))
    expect(
        "train",
        got["train"],
        train,
        tol=0,
        mistakes=mistakes,
        hint="The tokens were shuffled: a text is learned in its order, and neighbours of what is "
        "tested would be in the training part."
        if shuffled
        else "`chars[t]` for every token t, one after another, must give the file again.",
    )
    expect("val", got["val"], val, tol=0)
    expect(
        "the data types of train and val",
        got["kinds"],
        ["torch.int64, 1-D"] * 2,
        hint="Tokens are a tensor of whole numbers: `torch.tensor([…])` of ints makes int64.",
    )


def _bad_files(rng: np.random.Generator) -> dict:
    text = "яπ" + language(rng, 900)
    latin = "".join(rng.choice([*"abcé ü\n"], 1200)) + "éa"
    # Parts of 33 and of 32 characters, and of far fewer.
    enough, one_less = text[: int(rng.integers(321, 331))], text[: int(rng.integers(311, 321))]
    short = text[: int(rng.integers(120, 150))]
    texts = [t.encode() for t in (text, enough, one_less, short)]
    contents = [*texts[:2], latin.encode("latin-1"), b"", *texts[:1:-1]]
    return {"contents": [np.frombuffer(c, np.uint8) for c in contents], "block_size": 32}


@own_data.case(
    "files that can't be used, and one that just can",
    points=2,
    adapter="unreadable",
    inputs=_bad_files,
)
def unusable_files_refused(given, got):
    *good, _, _, _, _ = got["replies"]
    hints = (
        "It is UTF-8 and long enough: `ValueError` is for the files alone that the card names.",
        "A part of block_size + 1 characters is enough: a context, and what follows it.",
    )
    for content, reply, hint in zip(given["contents"][:2], good, hints, strict=True):
        n = len(content.tobytes().decode())
        cut = int(0.9 * n)
        what = f"a file of {n} characters, {n - cut} of them for val, with block_size = "
        came = f"{reply['type']}: {reply['message'] or 'no message'}"
        expect_that(
            not reply["type"],
            f"{what}{given['block_size']}: expected no error, got {came}",
            hint,
        )
        expect("the sizes of train and val", reply["sizes"], [cut, n - cut], tol=0)
    others = got["replies"][2:]
    kinds = (
        "a file that is not UTF-8",
        "an empty file",
        "a file that is too short",
        "a file whose val has block_size characters",
    )
    for kind, reply in zip(kinds, others, strict=True):
        error, message = reply["type"], reply["message"]
        came = f"{error}: {message}" if error else "no error"
        if not error and kind == kinds[0]:
            hint = (
                "Bytes that aren't UTF-8 were dropped or replaced: the model would learn from a "
                "damaged text, and nobody would know. Raise ValueError."
            )
        elif not error and kind == kinds[-1]:
            hint = (
                "Off by one: block_size characters are a context, and nothing follows it. A part "
                "with fewer than block_size + 1 is too short."
            )
        elif not error:
            hint = (
                "A part needs block_size + 1 tokens, a context and what follows it: without them "
                "the training fails later, and says less."
            )
        elif error == "UnicodeDecodeError":
            hint = (
                "UnicodeDecodeError is a ValueError, but what it says is about codecs: catch it, "
                "and raise ValueError with a sentence that names the file."
            )
        elif error == "AssertionError":
            hint = "An assert is for what can't happen; for bad input raise ValueError."
        else:
            hint = "Raise ValueError, with a sentence that names the file."
        expect_that(error == "ValueError", f"{kind}: expected ValueError, got {came}", hint)
        expect_that(
            reply["parts"] == 1 or not message.startswith("("),
            f"{kind}: expected a sentence, got a tuple, {message!r}",
            "An exception isn't `print`: several arguments stay a tuple, with its brackets and "
            "quotes. Put the name into the text, with an f-string.",
        )
        expect_that(
            got["name"] in message and len(message.split()) >= 4,
            f"{kind}: expected a sentence with the file's name, got {message!r}",
            f"The file is named; a sentence says what is wrong with it: “{got['name']} is …”."
            if got["name"] in message
            else f"Which file is it? Its name, here {got['name']}, belongs in the sentence.",
        )


@own_data.case(
    "the baseline",
    points=2,
    adapter="baseline",
    inputs=lambda rng: {
        # The pairs at both ends of train come there alone. Neither part ends with the token that it
        # begins with, so that the sums of the rows and of the columns differ, and their use.
        "train": [7, 6, *(rng.integers(0, 6, 1000) * rng.integers(0, 2, 1000)).tolist(), 6, 8],
        "val": [0, *(rng.integers(0, 7, 80) * rng.integers(0, 2, 80)).tolist(), *3 * [6, 8], 7, 6],
        "V": 10,
    },
    crashes={
        "int.*callable|must be tensors": "The loss is one number: end with `return loss.item()`.",
        "index_put|same dtype|source and destination": "Counts and ones must have one data type.",
    },
)
def baseline_of_pairs(given, got):
    train, val, V = np.array(given["train"]), np.array(given["val"]), given["V"]
    want = baseline_loss(train, val, V)
    value = got["loss"]
    plain = np.asarray(value)
    if plain.dtype.kind == "f" and plain.size == 1 and not np.isfinite(plain).all():
        raise Wrong(
            f"bigram_loss: expected {want:.6f}, got {float(plain.reshape(()))}",
            "A pair that never came has the probability 0, and its loss is infinite: add 1 to "
            "every count.",
        )
    expect(
        "bigram_loss",
        number("bigram_loss", value),
        want,
        tol=1e-4,
        mistakes=baseline_wrongly(train, val, V),
    )


def _unknown_text(rng: np.random.Generator) -> dict:
    return {"text": language(rng, 40_000)}


own_data.case(
    "a model of a text that it has never seen",
    points=4,
    adapter="reported",
    inputs=_unknown_text,
    crashes={
        **TRAINED_CRASHES,
        "The report has to be": "End own_data with `return model, report`.",
        "end(s)? (it )?with `return model, report`": "End own_data with `return model, report`.",
    },
)(model_of_an_unseen_text)
