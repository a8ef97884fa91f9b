"""A tokenizer as a file: Hugging Face's tokenizer.json, and tiktoken's list of ranks.

The idea: a vocabulary outlives the program that learned it if others can read it. tokenizer.json
is what `tokenizers` and `transformers` load, and it holds everything: pieces, merges, the pattern,
special tokens. So it is the course's own format, too. A tiktoken file holds the pieces alone.

Three things differ there. A piece is written in GPT-2's letters for bytes, because JSON holds
text. A merge names its two halves, which are recovered from the ranks. And the pattern goes to
another library (Oniguruma), which writes "at the very end" differently and doesn't know all the
signs for "give nothing back"; they only save time here.
"""

import base64
import json
import os
import re
from os import PathLike
from pathlib import Path

from zerotohero.splits import GPT2_SPLIT, GPT4_SPLIT, O200K_SPLIT
from zerotohero.tokenizer import Tokenizer
from zerotohero.vocabularies import gpt2_letters, read_ranks

NAME, CONFIG = "tokenizer.json", "tokenizer_config.json"


def save(tokenizer: Tokenizer, folder: str | PathLike) -> None:
    """Write tokenizer.json, and what `AutoTokenizer` wants beside it, to a folder.

    The folder is made if it isn't there; files that are there are replaced whole or not at all.
    """
    letters = {b: c for c, b in gpt2_letters().items()}

    def word(piece: bytes) -> str:
        return "".join(letters[b] for b in piece)

    fields = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    byte_level |= {"use_regex": False}
    cut = {"type": "Split", "pattern": {"Regex": _theirs(tokenizer.pattern)}}
    described = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token, "content": text, **fields, "special": True}
            for text, token in sorted(tokenizer.special.items(), key=lambda item: item[1])
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [cut | {"behavior": "Isolated", "invert": False}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,  # a chunk that is a piece is that piece
            # The special ones once more, or they'd be numbered anew, without the gaps.
            "vocab": {word(piece): token for token, piece in enumerate(tokenizer.vocab)}
            | tokenizer.special,
            "merges": [[word(a), word(b)] for a, b in tokenizer.merges.values()],
        },
    }
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if tokenizer.special:
        config |= {"eos_token": next(iter(tokenizer.special))}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / CONFIG, json.dumps(config).encode())
    _write(folder / NAME, json.dumps(described, ensure_ascii=False, indent=0).encode())


def load(path: str | PathLike) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json, or of the folder that it is in.

    FileNotFoundError if there is none; ValueError, with one sentence, if the file isn't whole or
    describes another kind of tokenizer than byte pairs within chunks.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    letters = gpt2_letters()
    try:
        described = json.loads(path.read_bytes().decode("utf-8"))
        model, cuts = described["model"], described["pre_tokenizer"]["pretokenizers"]
        if model["type"] != "BPE" or [cut["type"] for cut in cuts] != ["Split", "ByteLevel"]:
            raise ValueError("it describes another kind of tokenizer")
        special = {entry["content"]: entry["id"] for entry in described["added_tokens"]}
        ids = {token: word for word, token in model["vocab"].items() if word not in special}
        vocab = [
            bytes(letters[c] for c in ids[token])
            for token in range(len(ids))  # a gap is a KeyError
        ]
        return Tokenizer(vocab, _ours(cuts[0]["pattern"]["Regex"]), special)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path} can't be read as a tokenizer of byte pairs ({why.rstrip('.')})."
        ) from None


def write_ranks(tokenizer: Tokenizer, path: str | PathLike) -> None:
    """Write a tiktoken file: a line a piece, in base64, with its number; no special tokens."""
    lines = (f"{base64.b64encode(p).decode()} {i}\n" for i, p in enumerate(tokenizer.vocab))
    _write(Path(path), "".join(lines).encode())


def load_ranks(path: str | PathLike, pattern: str = GPT4_SPLIT, special=()) -> Tokenizer:
    """Return the tokenizer of a tiktoken file. ValueError, with one sentence, if it is damaged."""
    try:
        return Tokenizer(read_ranks(Path(path).read_bytes()), pattern, special)
    except ValueError as error:
        raise ValueError(f"{path} is not a whole file of ranks: {error}") from None


def _theirs(pattern: str) -> str:
    """The pattern as Hugging Face's library reads it."""
    pattern = re.sub(r"(?<!\\)([+*?}])\+", r"\1", pattern)
    return pattern.replace(r"\s+$", r"\s+\z")


def _ours(pattern: str) -> str:
    known = {_theirs(p): p for p in (GPT2_SPLIT, GPT4_SPLIT, O200K_SPLIT)}
    return known.get(pattern, pattern.replace(r"\z", r"\Z"))


def _write(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_bytes(content)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
