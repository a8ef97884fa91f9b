"""A tokenizer as a file: Hugging Face's tokenizer.json, and tiktoken's list of ranks.

The idea: a vocabulary outlives the program that learned it if others can read it. tokenizer.json
is what `tokenizers` and `transformers` load, and it holds everything: pieces, merges, the pattern,
special tokens. So it is the course's own format, too. A tiktoken file holds the pieces alone.

Three things differ there. A piece is written in GPT-2's letters for bytes, because JSON holds
text. A merge names its two halves, which are recovered from the ranks. And the pattern goes to
another library (Oniguruma), which reads those of the course alike, but not every pattern.

What is loaded means what it says: a file that asks for something which the course's tokenizers
don't do, such as a normalization or merges in another order than the numbers, is refused.
"""

import base64
import json
import os
import warnings
from os import PathLike
from pathlib import Path

import regex

from zerotohero.splits import GPT4_SPLIT
from zerotohero.tokenizer import Tokenizer
from zerotohero.vocabularies import gpt2_letters, read_ranks

NAME, CONFIG = "tokenizer.json", "tokenizer_config.json"


# Hugging Face's library reads these otherwise: $ and ^ at each line, {1,3}+ as repeated.
READ_OTHERWISE = regex.compile(r"[$^]|\}\+|\\Z")


def save(tokenizer: Tokenizer, folder: str | PathLike) -> None:
    """Write tokenizer.json, and what `AutoTokenizer` wants beside it, to a folder.

    The folder is made if it isn't there; files that are there are replaced whole or not at all.
    Warns if Hugging Face's library would cut a text otherwise. OSError if it can't be written.
    """
    outside_classes = regex.sub(r"\\p\{\w+\}|\\[^Z]|\[(?:\\.|[^\]\\])+\]", "", tokenizer.pattern)
    if found := READ_OTHERWISE.search(outside_classes):
        warnings.warn(
            f"Hugging Face's library reads {found[0]!r} in a pattern in another way; the course "
            "reads this file as it is meant.",
            stacklevel=2,
        )
    described = _described(tokenizer)
    # The special ones once more, or they'd be numbered anew, without the gaps.
    described["model"]["vocab"] |= tokenizer.special
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if tokenizer.special:
        config |= {"eos_token": next(iter(tokenizer.special))}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / CONFIG, json.dumps(config, ensure_ascii=False).encode())
    _write(folder / NAME, json.dumps(described, ensure_ascii=False, indent=0).encode())


def _described(tokenizer: Tokenizer) -> dict:
    """What tokenizer.json says of a tokenizer."""
    letters = {b: c for c, b in gpt2_letters().items()}

    def word(piece: bytes) -> str:
        return "".join(letters[b] for b in piece)

    fields = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    byte_level |= {"use_regex": False}
    cut = {"type": "Split", "pattern": {"Regex": tokenizer.pattern}}
    return {
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
            "vocab": {
                word(piece): token for token, piece in enumerate(tokenizer.vocab[: len(tokenizer)])
            },
            "merges": [[word(a), word(b)] for a, b in tokenizer.merges.values()],
        },
    }


def load(path: str | PathLike) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json, or of the folder that it is in.

    FileNotFoundError if there is none; ValueError, with one sentence, if the file isn't whole or
    describes another kind of tokenizer than byte pairs within chunks.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}.") from None
    try:
        described = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is damaged or cut off: it is no whole JSON in UTF-8.") from None
    try:
        return _read(described)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        why = (
            str(error).rstrip(".")
            if type(error) is ValueError
            else "parts of it are missing, or of another type"
        )
        raise ValueError(
            f"{path} is no tokenizer of byte pairs as the course has: {why}."
        ) from None


def _read(described: dict) -> Tokenizer:
    letters, model = gpt2_letters(), described["model"]
    if described["version"] != "1.0":
        raise ValueError(f"its version is {described['version']!r}, not '1.0'")
    cut = (described["pre_tokenizer"] or {}).get("pretokenizers", [{}])[0]
    if model.get("type") != "BPE" or "Regex" not in (cut.get("pattern") or ()):
        raise ValueError("it merges no byte pairs within chunks that a pattern cuts")
    special = {entry["content"]: entry["id"] for entry in described["added_tokens"]}
    ids = {token: word for word, token in model["vocab"].items() if word not in special}
    if sorted(ids) != list(range(len(ids))):
        raise ValueError("the numbers of its pieces don't go from 0 to the last without a gap")
    vocab = [bytes(letters[c] for c in ids[token]) for token in range(len(ids))]
    tokenizer = Tokenizer(vocab, cut["pattern"]["Regex"], special)
    right = _described(tokenizer)
    asked = described | {"model": model | {"vocab": right["model"]["vocab"]}}
    asked["model"]["merges"] = [
        pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]
    ]
    for name, same in (
        *((name, asked.get(name) == right[name]) for name in ("normalizer", "pre_tokenizer")),
        ("added_tokens", _sorted(asked["added_tokens"]) == right["added_tokens"]),
        *((name, asked["model"].get(name) == value) for name, value in right["model"].items()),
    ):
        if not same:
            raise ValueError(f"what it says of {name!r} would give other tokens")
    return tokenizer


def _sorted(added: list[dict]) -> list[dict]:
    return sorted(added, key=lambda entry: entry["id"])


def write_ranks(tokenizer: Tokenizer, path: str | PathLike) -> None:
    """Write a tiktoken file: a line a piece, in base64, with its number; no special tokens."""
    lines = (f"{base64.b64encode(p).decode()} {i}\n" for i, p in enumerate(tokenizer.vocab))
    _write(Path(path), "".join(lines).encode())


def load_ranks(path: str | PathLike, pattern: str = GPT4_SPLIT, special=()) -> Tokenizer:
    """Return the tokenizer of a tiktoken file.

    FileNotFoundError if there is none; ValueError, with one sentence, if it is damaged.
    """
    try:
        pieces = read_ranks(Path(path).read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}.") from None
    except ValueError as error:
        raise ValueError(f"{path} is not a whole file of ranks: {error}") from None
    return Tokenizer(pieces, pattern, special)


def _write(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_bytes(content)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
