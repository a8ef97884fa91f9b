"""The verdict on the model of 7.8 and on its report: everything in it is measured again."""

import numpy as np

from zerotohero.course.checks.gpt._e7_8_texts import baseline_loss, parts_of
from zerotohero.course.checks.gpt.shared import LARGEST, gpt_of
from zerotohero.course.exercise import Wrong, expect, expect_that, number, show

REPORT = ("vocab_size", "train_tokens", "val_tokens", "bigram_loss", "val_loss", "sample")


def model_of_an_unseen_text(given: dict, got: dict) -> None:
    import torch

    from zerotohero.training import evaluate

    text, report = given["text"], got["report"]
    chars, train, val = parts_of(text)
    missing = [name for name in REPORT if name not in report]
    expect_that(
        not missing,
        f"the report: expected {', '.join(REPORT)}, without {', '.join(missing)}",
        "A report leaves nothing out.",
    )
    for name, want in (
        ("vocab_size", len(chars)),
        ("train_tokens", len(train)),
        ("val_tokens", len(val)),
    ):
        expect(f'report["{name}"]', report[name], want, tol=0)
        came = {float: "a float", bool: "a bool"}.get(type(report[name]), "a tensor or an array")
        expect_that(
            type(report[name]) is int,
            f'report["{name}"]: expected a whole number, got {came}, {show(report[name])}',
            "What `len(…)` gives is one, and `.item()` makes one of a tensor that holds it.",
        )
    model = gpt_of("own_data", got, LARGEST)
    expect_that(
        model.config.vocab_size == len(chars),
        f"own_data: expected a GPT of {len(chars)} tokens, got one of {model.config.vocab_size}",
        "`vocab_size` is `len(chars)`.",
    )
    pairs = baseline_loss(train, val, len(chars))
    expect(
        'report["bigram_loss"]',
        number('report["bigram_loss"]', report["bigram_loss"]),
        pairs,
        tol=1e-3,
        hint="A right `bigram_loss(train, val, len(chars))` of this file gives it.",
    )
    loss = evaluate(model, torch.tensor(val))
    told = number('report["val_loss"]', report["val_loss"])
    on_train = evaluate(model, torch.tensor(train))
    if abs(told - loss) > 0.02:
        hint = "Measure it at the end, on all of `val`, with the model that you return."
        if abs(told - on_train) < 0.02:
            hint = "That is the loss on the training part, which the model has learned from."
        elif told < loss:
            hint = (
                "The report is better than the model. Was it measured on the training part, on the "
                "last batch, or on the best few batches? " + hint
            )
        raise Wrong(f'report["val_loss"]: expected {loss:.3f}, got {told:.3f}', hint)
    _expect_sample(report["sample"], text, chars, model, pairs)
    expect_that(
        loss < pairs - 0.2,
        f"the loss on val: expected less than {pairs - 0.2:.3f}, got {loss:.3f}; counting pairs "
        f"gives {pairs:.3f}",
        f"On the training part it is {on_train:.3f}. If that is close, train longer or with a "
        "higher rate; if it is far lower, the text was learned by heart: fewer steps.",
    )
    expect_that(
        got["held_out"] == 0,
        f"rows that the model was trained on: expected none with text that stands in val alone, "
        f"got {got['held_out']:,}",
        "The model has learned from `val`, which is there to test it: train on the training part "
        "only.",
    )


def _loss_of_each(model, tokens, first: int) -> np.ndarray:
    """Return the loss of every token from `first` on, each seen after half a context or more."""
    import torch
    from torch.nn import functional as F

    T = model.config.block_size
    half, out = max(1, T // 2), []
    with torch.no_grad():
        for start in range(first, tokens.shape[1], half):
            stop = min(start + half, tokens.shape[1])
            chunk = tokens[:, max(0, stop - T - 1) : stop]
            logits = model(chunk[:, :-1])[0, -(stop - start) :]
            out.append(F.cross_entropy(logits, chunk[0, -(stop - start) :], reduction="none"))
    return torch.cat(out).numpy()


def _expect_sample(sample, text: str, chars: str, model, pairs: float) -> None:
    import torch

    if not isinstance(sample, str):
        raise Wrong(
            f'report["sample"]: expected a text, got {show(sample)}',
            'Decode the tokens: `"".join(chars[t] for t in tokens)`.',
        )
    expect_that(
        len(sample) >= 200,
        f'report["sample"]: expected 200 characters or more, got {len(sample)}',
        "`max_new_tokens` says how many it writes.",
    )
    strange = sorted(set(sample) - set(chars))
    expect_that(
        not strange,
        f'report["sample"]: got {show("".join(strange))}, which is not in the file',
        "The sample is text in the file's own characters: decode with the same `chars`.",
    )
    middle = sample[len(sample) // 2 :][:100]
    expect_that(
        middle not in text,
        f'report["sample"]: {show(middle, 60)} and what follows stands so in the file',
        "The sample was copied out of the file; the model has to write it.",
    )
    # What the model goes on with may be the file's, too, for a few words.
    prompt = next((k for k in range(len(sample)) if sample[: k + 1] not in text), len(sample))
    expect_that(
        len(sample) - prompt > 150,
        f'report["sample"]: {prompt} of its {len(sample)} characters, the first, stand so in the '
        "file",
        "`generate` returns the prompt, and behind it what the model has written: that alone has "
        "to be 200 characters or more.",
    )
    tokens = torch.tensor([[chars.index(c) for c in sample]])
    loss = float(_loss_of_each(model, tokens[:, :1000], 1).mean())
    expect_that(
        loss < pairs + 0.7,
        f'report["sample"]: the model finds it unlikely, {loss:.2f} a character',
        "The sample isn't what this model writes. Was it sampled before the training, at a high "
        "temperature, or decoded with another vocabulary?",
    )
