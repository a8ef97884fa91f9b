"""What the exercises of lecture 07 share: trained models handed over, and the plays."""

from collections.abc import Callable
from functools import cache

import numpy as np

from zerotohero.course import data
from zerotohero.course.exercise import (
    Mistake,
    Wrong,
    expect,
    expect_that,
)


def expect_slowly(what: str, got, want, mistakes: Callable[[], list[Mistake]], **options) -> None:
    """Do what `expect` does, with mistakes that take a while, made only for a wrong answer."""
    try:
        expect(what, got, want, **options)
    except Wrong:
        expect(what, got, want, mistakes=mistakes(), **options)


def one_tensor(what: str, got, hint: str = "Return the tensor alone.") -> None:
    expect_that(not isinstance(got, list), f"{what}: expected a tensor, got several values", hint)


def same_type(what: str, got, want: str) -> None:
    """Expect of right numbers that they have this data type, too."""
    kind = str(np.asarray(got).dtype)
    expect_that(
        kind == want,
        f"{what}: expected {want}, as it is given, got {kind}",
        f"The numbers are right, and their data type isn't that of what came in, {want}: "
        "`.double()`, `.float()` or a new tensor has changed it.",
    )


ALL_NAN = (
    "Every number is NaN, which softmax makes of a row that holds NaN or nothing but −∞. 0 · ∞ is "
    "NaN: put −∞ in with `masked_fill` or `torch.where`, and multiply no mask by it. And each "
    "position has to see itself."
)


GPT_AND_TRAINER = ("gpt", "generation", "huggingface", "training")


TRAINED_CRASHES = {
    "it returned a Trainer": "`Trainer(…).run()` returns the trainer; the model is the one that "
    "you gave it, so return that.",
    "it returned (a dict|a tuple|nothing)": "End the function with the GPT itself: `return model`.",
    "it returned a GPTConfig": "That is the plan of a GPT. `GPT(config)` makes one.",
    "FloatingPointError": "The training has diverged: try a tenth of the learning rate.",
    "graded without": "Of the library, this exercise may use gpt, generation and training.",
}


def gpt_of(what: str, got: dict, most: int):
    """Return the GPT of a configuration and weights, in eval mode. Wrong for what is none."""
    from zerotohero.gpt import GPT, GPTConfig  # here, because they import torch

    config, weights = got["config"], got["weights"]
    total = sum(w.size for w in weights.values())  # a tied table twice
    sizes = {k: config[k] for k in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd")}
    # Before the model is made, because a forged configuration may be of any size.
    sound = all(type(n) is int and 0 < n <= 1024 for n in sizes.values())
    large = f"The target is within reach of a quarter of {most:,} numbers."
    expect_that(
        sound and max(total, 12 * sizes["n_layer"] * sizes["n_embd"] ** 2) <= 2 * most,
        f"{what}: a network of {total:,} numbers with {sizes}, and at most {most:,} are allowed",
        large,
    )
    finite = all(np.isfinite(w).all() for w in weights.values())
    expect_that(
        finite,
        f"{what}: expected finite weights, got some that are infinite or NaN",
        "The training has diverged: try a tenth of the learning rate.",
    )
    import torch

    model = GPT(GPTConfig(**config))
    total = sum(p.numel() for p in model.parameters())
    expect_that(
        total <= most,
        f"{what}: a network of {total:,} numbers, and at most {most:,} are allowed",
        large,
    )
    try:
        model.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    except RuntimeError:
        raise Wrong(
            f"{what}: the weights are not those of a GPT with its configuration",
            "Return a `zerotohero.gpt.GPT` as it is, without layers added or taken away.",
        ) from None
    return model.eval()


V = 65
LARGEST = 2_000_000


def cleaned(text: str, chars: str, changes: dict) -> str:
    instead = {c: "".join(new for new in changes.get(c, "") if new in chars) for c in set(text)}
    return text.translate({ord(c): new for c, new in instead.items() if c not in chars})


@cache
def all_plays() -> dict:
    """Return tokens of the other plays and of Tiny Shakespeare's two parts, or what is missing."""
    try:
        ours, other = data.text("tinyshakespeare"), data.other_plays()
    except data.DataError as error:
        return {"missing": str(error)}
    chars = "".join(sorted(set(ours)))
    other = cleaned(other, chars, {"—": "--", '"': "'"})
    table = np.zeros(128, np.uint8)
    table[[ord(c) for c in chars]] = np.arange(len(chars))
    ours, other = (table[np.frombuffer(t.encode(), np.uint8)] for t in (ours, other))
    cut = int(0.9 * len(ours))
    return {"other": other, "tokens": ours[:cut], "_val": ours[cut:]}


@cache
def shakespeare() -> dict:
    plays = all_plays()
    return plays if "missing" in plays else {k: plays[k] for k in ("tokens", "_val")}


MISSING_CRASHES = {
    "FileNotFoundError": "This exercise needs the plays: install what the message names, then try "
    "again.",
}
