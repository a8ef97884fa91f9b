"""A training run as a folder: what it holds, and what the commands around it share.

`run.json` holds the settings, where the data are and their SHA-256, and the vocabulary if it is
characters; `tokenizer.json` holds pieces. The Trainer adds `last.pt`, `best.pt` and `log.jsonl`,
and `curve.png` shows what is in the latter.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from zerotohero import tokenizer_files
from zerotohero.course.files import write_whole
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.text import BytePairTokens, Characters, gpt2_tokenizer, read_text
from zerotohero.tied import HEAD, TABLE
from zerotohero.training import TrainConfig, load_checkpoint
from zerotohero.training.machine import place

RUNS = Path("runs")  # where a run goes unless another folder is named
Tokenizer = Characters | BytePairTokens


def first() -> bool:
    """Return whether this process is the one of torchrun's that prints and writes."""
    return place()[0] == 0


def say(text: str = "", end: str = "\n") -> None:
    if first():
        print(text, end=end, flush=True)


@dataclass(frozen=True)
class Run:
    """What run.json says."""

    recipe: str | None  # a name in RECIPES; None: a TOML file said it all, or fine-tuning
    init_from: str | None  # the model that it began with; None: random weights
    data: str  # a path, or a name of the course's data, or "adder"
    sha256: str  # of the data
    skip_unknown: bool  # whether characters outside the vocabulary were left out
    chars: str | None  # the vocabulary; None: pieces
    model: GPTConfig
    train: TrainConfig
    pieces: BytePairTokens | None = None  # kept in tokenizer.json
    documents: bool = False  # whether it learned where one begins, after <|endoftext|>
    padding: int = 0  # rows of the tables that fill the vocabulary up, and stand for no token
    hellaswag: str | None = None  # a file of questions that are asked while it trains, or "val"
    asked: str | None = None  # the SHA-256 of that file
    prompt: str | None = None  # what samples begin with while it trains; None: there are none

    @property
    def tokenizer(self) -> Tokenizer:
        return Characters(self.chars) if self.pieces is None else self.pieces

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Return the run of a folder. ValueError or OSError with one sentence if there is none."""
        if not folder.is_dir():
            hint = f"; did you mean {RUNS / folder}?" if (RUNS / folder).is_dir() else "."
            raise FileNotFoundError(f"There is no folder {folder}{hint}")
        path = folder / "run.json"
        if not path.is_file():
            raise ValueError(f"{folder} is no run of `zerotohero train`: it holds no run.json.")
        try:
            content = json.loads(read_text(path))
            content["train"]["betas"] = tuple(content["train"]["betas"])  # JSON has only lists
            content["model"] = GPTConfig(**content["model"])
            content["train"] = TrainConfig(**content["train"])
            learned = content.pop("tokenizer", None)  # a file's name; before lecture 09, GPT-2's
            run = cls(**content)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path} is damaged ({error}); restore a copy of it, or begin another run."
            ) from None
        if run.chars is not None:
            return run
        pieces = (
            BytePairTokens(tokenizer_files.load(folder / learned)) if learned else gpt2_tokenizer()
        )
        if len(pieces) + run.padding != run.model.vocab_size:
            raise ValueError(
                f"{folder / tokenizer_files.NAME} has {len(pieces)} tokens, but the model of this "
                f"run {run.model.vocab_size - run.padding}: restore the right file."
            )
        return dataclasses.replace(run, pieces=pieces)

    def write(self, folder: Path) -> None:
        content = dataclasses.asdict(dataclasses.replace(self, pieces=None))
        del content["pieces"]
        if self.pieces is not None:
            tokenizer_files.save(self.pieces.tokenizer, folder)
            content["tokenizer"] = tokenizer_files.NAME
        text = json.dumps(content, indent=2, ensure_ascii=False)
        write_whole(folder / "run.json", (text + "\n").encode())


def check_free(folder: Path) -> None:
    """Raise ValueError unless a new run may be written to `folder`."""
    if (folder / "run.json").exists():
        raise ValueError(
            f"{folder} holds a run already; use --resume to go on with it, or name another folder "
            "with --out."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} holds something else; name a new folder with --out.")


def load(folder: Path, last: bool = False, **changes) -> tuple[Run, GPT]:
    """Return a run and its model, from its best or last checkpoint; `changes`: dropout and such.

    Without the rows that only filled the vocabulary up: they stand for no text.
    """
    run = Run.read(folder)
    names = ["last.pt"] if last else ["best.pt", "last.pt"]
    there = [folder / name for name in names if (folder / name).is_file()]
    if not there:
        raise ValueError(
            f"{folder} has no checkpoint yet; begin again with `{resume_command(folder)}`."
        )
    checkpoint = load_checkpoint(there[0])
    state = checkpoint["model"]
    try:
        config = GPTConfig(**(checkpoint["model_config"] | changes))
        if run.padding:
            V = config.vocab_size - run.padding
            config = dataclasses.replace(config, vocab_size=V)
            state |= {name: state[name][:V] for name in (TABLE, HEAD)}
        model = GPT(config)
        model.load_state_dict(state)
    except (TypeError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0].rstrip(":.")
        raise ValueError(f"{there[0]} is from another version of the course ({reason}).") from None
    return run, model.eval()


def resume_command(folder: Path) -> str:
    return f"zerotohero train --resume --out {folder}"


def check_device(name: str | None) -> str | None:
    """Return the device's name if it can be used; ValueError otherwise."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch without CUDA
        reason = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        raise ValueError(f"The device {name!r} can't be used here: {reason}.") from None
    return name
