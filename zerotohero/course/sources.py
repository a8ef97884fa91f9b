"""What a run of `zerotohero train` begins with: a text as tokens, and a model if there is one."""

import hashlib
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from zerotohero import tokenizer_files
from zerotohero.course import adder
from zerotohero.course import data as course_data
from zerotohero.course.export import read_characters
from zerotohero.course.run import Tokenizer, load, say
from zerotohero.course.vocabulary import vocabulary
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.shards import PLAN, SPLITS, TOKEN, Shards, read_plan, vocabulary_hash
from zerotohero.text import BytePairTokens, Characters, gpt2_tokenizer, read_text, split_text

OURS = {  # texts of the course, by the name that --data takes
    "tinyshakespeare": lambda: course_data.text("tinyshakespeare"),
    "plays": course_data.other_plays,
    "names": lambda: course_data.text("names"),
}
JUDGED = 2**17  # validation tokens at the end: all of Tiny Shakespeare's, a share of a long text's


@dataclass(frozen=True)
class Data:
    """What is learned from, as the Trainer takes it, and what its tokens stand for."""

    train: Tensor | Shards | tuple[Tensor, Tensor]
    val: Tensor | Shards | tuple[Tensor, Tensor]
    tokenizer: Tokenizer
    sha256: str  # of what it was made from
    documents: bool = False  # whether there are several, each of which begins after <|endoftext|>

    def verify(self) -> None:
        """Read what wasn't read yet. ValueError if it is damaged."""
        if isinstance(self.train, Shards):
            splits = self.train, self.val
            size = sum(len(split) for split in splits) * TOKEN.itemsize
            quiet = not sys.stderr.isatty()
            options = {"unit": "B", "unit_scale": True, "leave": False, "disable": quiet}
            with tqdm(total=size, desc="verifying", **options) as bar:
                for split in splits:
                    split.verify(bar.update)

    def says(self) -> str:
        if isinstance(self.train, tuple):
            return f"{len(self.train[0]):,} sums to train on and {len(self.val[0]):,} to validate"
        return f"{len(self.train):,} tokens to train on and {len(self.val):,} to validate"

    def bits_per_byte(self, loss: float) -> str:
        """Return a loss, nats per token, as bits per byte of the validation text; "" for sums.

        Tokens may be characters or pieces: only losses on the same bytes can be compared.
        """
        if isinstance(self.train, tuple):
            return ""
        tokens = torch.as_tensor(self.val[:JUDGED])
        if isinstance(self.train, Shards):  # what stands between texts is no part of any
            tokens = tokens[tokens != self.tokenizer.end_of_text]
        size = len(self.tokenizer.decode(tokens).encode())
        return f"{loss / math.log(2) * len(self.val[:JUDGED]) / size:.3f} bits per byte"

    def width(self, model: GPTConfig) -> int:
        """Return how many tokens a row has."""
        return self.train[0].shape[1] if isinstance(self.train, tuple) else model.block_size


def read_data(
    source: str,
    tokenizer: Tokenizer | str | None,
    block_size: int,
    skip_unknown: bool = False,
) -> Data:
    """Read the data: a file's path, that of a folder of shards, a name in OURS, or "adder".

    Without a tokenizer, the vocabulary is the text's characters; a str is what --tokenizer takes,
    the name of a vocabulary or the size of one to be learned. ValueError or OSError with one
    sentence for data that a model with this context and these tokens cannot learn from.
    """
    if source == "adder":
        if block_size < adder.CONTEXT:
            raise ValueError(f"block_size is {block_size}; a sum needs {adder.CONTEXT}.")
        if isinstance(tokenizer, str):
            raise ValueError("The adder has a vocabulary of its own: leave --tokenizer out.")
        if tokenizer and getattr(tokenizer, "chars", None) != adder.VOCABULARY.chars:
            raise ValueError("The model to begin with has another vocabulary than the adder's.")
        train, val = (adder.rows(pairs) for pairs in adder.draw_pairs())
        digest = hashlib.sha256(train[0].numpy().tobytes()).hexdigest()
        return Data(train, val, adder.VOCABULARY, digest)
    if source not in OURS and (Path(source) / PLAN).is_file():
        return read_shards(Path(source), tokenizer, block_size)
    if source not in OURS and Path(source).is_dir():
        raise ValueError(
            f"{source} is a folder; name a text file in it, or make shards of them all by "
            "`zerotohero data shards`."
        )
    text = OURS[source]() if source in OURS else read_text(source)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if isinstance(tokenizer, str):
        train = text[: int(0.9 * len(text))]  # what validates isn't learned from here either
        tokenizer = BytePairTokens(vocabulary(tokenizer, lambda: train, say=say))
    tokenizer = tokenizer or Characters.of(text)
    if skip_unknown and isinstance(tokenizer, Characters):
        text = tokenizer.keep_known(text)
    try:
        tokens = tokenizer.encode(text)
    except ValueError as error:
        raise ValueError(f"{error} Give --skip-unknown to leave such characters out.") from None
    return Data(*split_text(tokens, block_size), tokenizer, digest)


def read_shards(folder: Path, tokenizer: Tokenizer | str | None, block_size: int) -> Data:
    """Return the shards of a folder; their tokens are read when they are needed.

    `tokenizer` is None, or that of the model to go on with. ValueError if it is another.
    """
    if isinstance(tokenizer, str):
        raise ValueError(f"The tokens of {folder} are made already: leave --tokenizer out.")
    train, val = (Shards.of(folder, split) for split in SPLITS)
    pieces = tokenizer_files.load(folder)
    if vocabulary_hash(pieces) != train.vocabulary:
        raise ValueError(
            f"{folder / tokenizer_files.NAME} is not the vocabulary that the shards beside it are "
            "of: bring the right file back."
        )
    if tokenizer is not None and getattr(tokenizer, "tokenizer", None) != pieces:
        raise ValueError(
            f"{folder} is of another vocabulary than the model to go on with: make shards with "
            "its own."
        )
    for split, its in (("train on", train), ("validate", val)):
        if len(its) < block_size + 1:
            raise ValueError(
                f"{folder} has {len(its):,} tokens to {split}, but a context of {block_size} needs "
                f"{block_size + 1}; make larger shards or take a smaller block_size."
            )
    digest = hashlib.sha256(train.sha256 + val.sha256).hexdigest()
    several = read_plan(folder)["documents"] > 1
    return Data(train, val, BytePairTokens(pieces), digest, several)


def pretrained(source: str, last: bool = False, **changes) -> tuple[GPT, Tokenizer]:
    """Return the model and the vocabulary of a run, of an exported folder or of a hub name.

    last: a run's last checkpoint, not its best.
    """
    folder = Path(source)
    if (folder / "run.json").is_file():
        run, model = load(folder, last, **changes)
        return model, run.tokenizer
    if not folder.exists():
        if folder.parent.name and folder.parent.is_dir():  # runs/x is not a name on the hub
            raise FileNotFoundError(f"There is no folder {folder}.")
        say(f"Fetching {source} from the Hugging Face hub or its cache on this machine.")
        os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # else it reports every retry
    model = GPT.from_pretrained(source, **changes)
    V = model.config.vocab_size
    if chars := read_characters(folder):
        return model, Characters(chars)
    if (folder / tokenizer_files.NAME).is_file():
        tokenizer = BytePairTokens(tokenizer_files.load(folder))
    else:
        tokenizer = gpt2_tokenizer()
    if len(tokenizer) > V:
        raise ValueError(
            f"The model in {source} has {V} tokens, and nothing there says what they stand for; "
            f"known are GPT-2's {len(tokenizer):,}, and characters that the course exported."
        )
    return model, tokenizer


def fitted(model: GPT, source: str, wish: dict[str, object]) -> GPT:
    """Shorten a pretrained model's context as asked; ValueError if that can't be."""
    for field, value in wish.items():
        its = getattr(model.config, field)
        if field not in ("block_size", "dropout") and value != its:
            raise ValueError(
                f"{field}={value} can't be had: the model of {source} was trained with {its}; "
                "only block_size and dropout can be changed."
            )
    if wish.get("block_size", model.config.block_size) != model.config.block_size:
        model.crop_block_size(wish["block_size"])
    return model
