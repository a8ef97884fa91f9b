"""What a run of `zerotohero train` measures while it trains: HellaSwag, and what it writes by now.

All is settled before the first step: the questions are read and encoded once, and what the model
could not be asked ends the command there.
"""

from pathlib import Path

import torch
from torch import nn

from zerotohero import scoring
from zerotohero.course import data
from zerotohero.course.run import Run, Tokenizer, say
from zerotohero.course.sample import encode_prompt
from zerotohero.training.losses import Measure

TOKENS = 48  # of a sample in the log
SOURCE = data.FILES["hellaswag"].url


def place_of(name: str) -> Path:
    """Return where a file of questions is; "val" is HellaSwag's own for validation.

    The latter is downloaded if it isn't on this machine yet. FileNotFoundError, DataError.
    """
    if Path(name).is_file():
        return Path(name)
    if name == "val":
        return data.path("hellaswag")
    raise FileNotFoundError(
        f"There is no file {name}; HellaSwag's is at {SOURCE}, and `--hellaswag val` fetches it."
    )


class HellaSwag:
    """The share of questions that a model answers rightly: a measure of the Trainer's."""

    def __init__(
        self,
        questions: list[scoring.Question],
        tokenizer: Tokenizer,
        block_size: int,
        batch_size: int = 16,
    ):
        """Encode the questions. ValueError if the vocabulary or the context is too small."""
        self.questions, self.tokenizer, self.batch_size = questions, tokenizer, batch_size
        self.pairs = scoring.completions(tokenizer, questions)
        longest = max(len(ending) for _, ending in self.pairs)
        if longest > block_size:
            raise ValueError(
                f"The longest of the endings has {longest} tokens, but the model's context holds "
                f"{block_size}: leave --hellaswag out, or take a model with a longer context."
            )

    def accuracy(self, model: nn.Module, precision: str = "fp32") -> scoring.Accuracy:
        options = {"batch_size": self.batch_size, "precision": precision, "pairs": self.pairs}
        return scoring.multiple_choice(model, self.tokenizer, self.questions, **options)

    def __call__(self, model: nn.Module) -> float:
        """Return `lm-eval`'s acc_norm, which can be compared whatever the tokens are."""
        return self.accuracy(model).by_character


class Sample:
    """What a model writes after a prompt, always by the same random numbers."""

    def __init__(self, prompt: str, tokenizer: Tokenizer, documents: bool, seed: int):
        self.prompt, self.tokenizer, self.seed = prompt, tokenizer, seed
        self.start = encode_prompt(tokenizer, prompt, documents)

    def __call__(self, model: nn.Module) -> str:
        generator = torch.Generator().manual_seed(self.seed)
        new = model.stream(self.start, TOKENS, temperature=0.8, generator=generator)
        # A token beyond the vocabulary only fills a table up, and stands for nothing.
        known = [token for token in new if token < len(self.tokenizer)]
        return self.prompt + self.tokenizer.decode(known)


def asked(name: str | None) -> tuple[str | None, str | None]:
    """Return the name of a file of questions and its SHA-256, by which a run knows it again."""
    if name is None:
        return None, None
    place = place_of(name)
    return name, data.sha256(place.read_bytes())


def measures(run: Run) -> dict[str, Measure]:
    """Return what the run measures, by its name in the log."""
    found: dict[str, Measure] = {}
    if run.hellaswag:
        rows = run.train.batch_size // run.train.accumulate  # what fits into the memory
        if asked(run.hellaswag)[1] != run.asked:
            raise ValueError(
                f"{run.hellaswag} has other questions than when the run began; restore the old "
                "file, or begin another run."
            )
        questions = scoring.read_questions(place_of(run.hellaswag))
        say(f"Asks:  {len(questions):,} questions of {run.hellaswag}")
        found["hellaswag"] = HellaSwag(questions, run.tokenizer, run.model.block_size, max(1, rows))
    if run.prompt is not None:
        found["sample"] = Sample(run.prompt, run.tokenizer, run.documents, run.train.seed)
    return found
