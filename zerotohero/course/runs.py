"""A training run as a folder: what it holds, and what can be done with it, to sample and to export.

`run.json` holds the settings, where the data are and their SHA-256, and the vocabulary; the Trainer
adds `last.pt`, `best.pt` and `log.jsonl`.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from zerotohero.checkpoint import load_checkpoint
from zerotohero.course import adder
from zerotohero.course.files import write_whole
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.huggingface import later_parts
from zerotohero.machine import place
from zerotohero.recipes import RECIPES
from zerotohero.text import Characters, GPT2Tokens, gpt2_tokenizer, read_text
from zerotohero.train import TrainConfig

RUNS = Path("runs")  # where a run goes unless another folder is named
Tokenizer = Characters | GPT2Tokens


def first() -> bool:
    """Whether this process is the one of torchrun's that speaks and writes."""
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
    skip_unknown: bool  # whether characters that the vocabulary hasn't were left out
    chars: str | None  # the vocabulary; None: GPT-2's tokens
    model: GPTConfig
    train: TrainConfig

    @property
    def tokenizer(self) -> Tokenizer:
        return gpt2_tokenizer() if self.chars is None else Characters(self.chars)

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
            return cls(**content)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path} is damaged ({error}); bring a copy of it back, or begin another run."
            ) from None

    def write(self, folder: Path) -> None:
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)
        write_whole(folder / "run.json", (text + "\n").encode())


def check_free(folder: Path) -> None:
    """Raise ValueError unless a new run may be written to `folder`."""
    if (folder / "run.json").exists():
        raise ValueError(
            f"{folder} holds a run already; go on with it by --resume, or name another folder by "
            "--out."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} holds something else; name a new folder by --out.")


def load(folder: Path, last: bool = False, **changes) -> tuple[Run, GPT]:
    """Return a run and its model, from its best checkpoint or its last; `changes` as of dropout."""
    run = Run.read(folder)
    names = ["last.pt"] if last else ["best.pt", "last.pt"]
    there = [folder / name for name in names if (folder / name).is_file()]
    if not there:
        raise ValueError(
            f"{folder} has no checkpoint yet; begin again by `{resume_command(folder)}`."
        )
    checkpoint = load_checkpoint(there[0])
    try:
        model = GPT(GPTConfig(**(checkpoint["model_config"] | changes)))
        model.load_state_dict(checkpoint["model"])
    except (TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(":.")
        raise ValueError(f"{there[0]} is of another version of the course ({reason}).") from None
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


# --- sampling -------------------------------------------------------------------------------------


def sample(
    folder: Path,
    *,
    prompt: str | None = None,
    tokens: int = 500,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    num_samples: int = 1,
    last: bool = False,
    device: str | None = None,
) -> None:
    """Print what a run's model writes after the prompt, each token as soon as it is drawn."""
    if num_samples < 1:
        raise ValueError(f"num_samples is {num_samples}; it must be at least 1.")
    if tokens < 0:
        raise ValueError(f"tokens is {tokens}; it must be 0 or more.")
    if seed is not None and not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed}; it must be a whole number from 0 to 2**63 - 1.")
    run, model = load(folder, last)
    model.to(check_device(device))
    if run.data == "adder":
        return add(model, prompt)
    tokenizer = run.tokenizer
    start = encode_prompt(tokenizer, prompt or "")
    generator = torch.Generator()
    generator.manual_seed(seed) if seed is not None else generator.seed()
    for i in range(num_samples):
        if i:
            say("\n" + "-" * 40)
        new = model.stream(
            start,
            tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            generator=generator,
        )
        say(prompt or "", end="")
        for text in pieces(tokenizer, new):
            say(text, end="")
        say()


def pieces(tokenizer: Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
    """Yield the text of tokens as they come, but no character before its last byte has come."""
    pending = []
    for token in tokens:
        pending.append(token)
        text = tokenizer.decode(pending)
        if not text.endswith("\ufffd"):
            yield text
            pending = []
    yield tokenizer.decode(pending)


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> torch.Tensor:
    """Return the prompt's tokens; for an empty one, what a text begins after.

    ValueError names unknown characters.
    """
    if isinstance(tokenizer, GPT2Tokens):
        return tokenizer.encode(prompt) if prompt else torch.tensor([tokenizer.end_of_text])
    if not prompt and "\n" not in tokenizer.chars:
        raise ValueError("Give a --prompt: the vocabulary has no newline to begin after.")
    try:
        return tokenizer.encode(prompt or "\n")
    except ValueError as error:
        hint = ""
        if "\\" in prompt and "\\" not in tokenizer.chars:
            hint = r" A shell passes a new line on if you write --prompt $'ROMEO:\n'."
        raise ValueError(str(error).replace("The text", "The prompt") + hint) from None


def add(model: GPT, prompt: str | None) -> None:
    """Print a sum as the model does it, or five sums that it has not seen."""
    pairs = [adder.parse(prompt)] if prompt else adder.draw_pairs()[1][:5]
    for (a, b), said in zip(pairs, adder.solve(model, pairs), strict=True):
        right = said == f"{a + b:04}"
        say(f"{a}+{b}={said.lstrip('0') or '0'}" + ("" if right else f"   (wrong: it is {a + b})"))


# --- Hugging Face's format ------------------------------------------------------------------------


def export(folder: Path, target: Path, last: bool = False) -> None:
    """Write a run's model in Hugging Face's format to a new folder."""
    run, model = load(folder, last)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} holds something already; name a new folder.")
    if later := later_parts(model.config):
        able = ", ".join(name for name, r in RECIPES.items() if not later_parts(r.model))
        has = ", ".join(f"{part}={getattr(model.config, part)}" for part in later)
        raise ValueError(
            f"{folder} has what came after GPT-2 ({has}), and transformers' GPT-2 has no place for "
            f"it; what these recipes train can be exported: {able}."
        )
    fresh = not target.exists()
    try:
        model.save_pretrained(target)
        if run.chars is not None:
            write_characters(target, run.chars)
    except Exception:
        if fresh:
            shutil.rmtree(target, ignore_errors=True)
        raise
    say(f"Wrote {target}. In Python, with the package transformers:")
    say(f"    GPT2LMHeadModel.from_pretrained({str(target)!r})")
    say(f"    AutoTokenizer.from_pretrained({str(target) if run.chars else 'gpt2'!r})")


def write_characters(folder: Path, chars: str) -> None:
    """Write tokenizer.json, so that `AutoTokenizer.from_pretrained(folder)` gives `chars`."""
    every = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated"}
    described = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": every | {"invert": False},
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {c: i for i, c in enumerate(chars)},
            "unk_token": "<unk>",  # which isn't in it: an unknown character is an error
        },
    }
    for name, content in (
        ("tokenizer.json", described),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"}),
    ):
        write_whole(folder / name, (json.dumps(content, indent=1) + "\n").encode())


def read_characters(folder: Path) -> str | None:
    """Return the characters of a folder that `write_characters` wrote to, or None."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    try:
        model = json.loads(read_text(path))["model"]
        chars = sorted(model["vocab"], key=model["vocab"].get)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    ours = model.get("type") == "WordLevel" and all(len(c) == 1 for c in chars)
    return "".join(chars) if ours else None
