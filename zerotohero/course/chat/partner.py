"""Whom one can talk to: SmolLM2, or the model of a run.

All of them are one thing, a `Partner`: a model, how turns and texts become its tokens, how these
become text again, and which of them end an answer. An assistant answers; a base model only
continues the text that the turns make together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zerotohero import smollm
from zerotohero.assistant import SPECIAL, ChatTemplate, Conversation
from zerotohero.course import run as runs
from zerotohero.course.run import Run
from zerotohero.course.train_assistant import PRETRAINED
from zerotohero.gpt import GPT
from zerotohero.text import BytePairTokens


@dataclass(frozen=True)
class Partner:
    """A model that can be talked to."""

    name: str
    model: GPT
    prompt: Callable[[Conversation], list[int]]  # the tokens of some turns, after which it writes
    encode: Callable[[str], list[int]]  # text alone, as it stands within a turn
    decode: Callable[[list[int]], str]
    stop: frozenset[int]  # what it ends its answer with
    answers: bool = True  # False: a base model, which continues
    system: bool = True  # whether one may tell it beforehand how to answer
    temperature: float = 0.8  # until another is asked for
    longest: int = 1024  # tokens of one answer

    @property
    def block_size(self) -> int:
        return self.model.config.block_size

    @property
    def says(self) -> str:
        """What one should know before one writes to it."""
        if self.answers:
            return f"This is {self.name}. Small models make things up: check what matters."
        return (
            f"This is {self.name}, a base model: it doesn't answer, it only continues text. Write "
            "a beginning; an empty line lets it go on."
        )


def load(folder: Path | None = None) -> Partner:
    """Return the partner of a run's folder; without one, SmolLM2.

    FileNotFoundError, ValueError or OSError, with one sentence, if it isn't there or is damaged.
    """
    return small_assistant() if folder is None else of_run(folder)


def small_assistant() -> Partner:
    """Return SmolLM2. Raises what `smollm.load` does."""
    model, tokenizer = smollm.load()
    return Partner(
        "SmolLM2, 135 million parameters",
        model,
        tokenizer.chat,
        tokenizer.encode_ordinary,
        tokenizer.decode,
        frozenset([tokenizer.end]),
        temperature=0.2,  # as its model card does
    )


def of_run(folder: Path) -> Partner:
    """Return the model of a run. ValueError for one that can't be talked to: the adder's."""
    run, model = runs.load(folder)
    if run.data == "adder":
        raise ValueError(
            f"The model in {folder} only does sums: `zerotohero sample {folder} --prompt 85+37`."
        )
    name = f"the model in {folder}"
    # An assistant's first stage has the tokens of the turns, too, but hasn't learned from any.
    first = folder.resolve().name == PRETRAINED
    if first or run.pieces is None or not set(SPECIAL) <= run.pieces.tokenizer.special.keys():
        return base(name, run, model)
    template = ChatTemplate(run.pieces.tokenizer)
    return Partner(
        name,
        model,
        template.chat,
        template.tokenizer.encode_ordinary,
        template.decode,
        frozenset([template.end]),
        system=False,
    )


def base(name: str, run: Run, model: GPT) -> Partner:
    """Return the partner of a model that only continues text."""
    tokenizer = run.tokenizer
    end = tokenizer.end_of_text if isinstance(tokenizer, BytePairTokens) else None
    documents = run.documents or run.init_from is not None
    first = "\n" if end is not None or "\n" in getattr(tokenizer, "chars", "\n") else None

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text).tolist()

    def prompt(turns: Conversation) -> list[int]:
        text = "".join(turn["content"] for turn in turns)
        if not text and documents and end is not None:
            return [end]
        if not text and first is None:
            raise ValueError("Write at least one character: this model has no newline to begin at.")
        return encode(text or first)

    return Partner(
        name,
        model,
        prompt,
        encode,
        tokenizer.decode,
        frozenset() if end is None else frozenset([end]),
        answers=False,
        system=False,
        longest=200,
    )
