"""`zerotohero export`: a run's model and its vocabulary in Hugging Face's format."""

import json
import shutil
from pathlib import Path

from zerotohero import tokenizer_files
from zerotohero.course.files import write_whole
from zerotohero.course.run import load, say
from zerotohero.formats import nearest
from zerotohero.huggingface import no_words_for
from zerotohero.text import read_text
from zerotohero.training.recipes import RECIPES


def export(folder: Path, target: Path, last: bool = False) -> None:
    """Write a run's model in Hugging Face's format to a new folder."""
    run, model = load(folder, last)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} holds something already; name a new folder.")
    if lacking := no_words_for(model.config):
        able = ", ".join(name for name, r in RECIPES.items() if not no_words_for(r.model))
        has = ", ".join(f"{part}={getattr(model.config, part)}" for part in lacking)
        raise ValueError(
            f"{folder} has what neither transformers' GPT-2 nor its Llama has a place for ({has}); "
            f"what these recipes train can be exported: {able}."
        )
    fresh = not target.exists()
    try:
        model.save_pretrained(target)
        if run.pieces is None:
            write_characters(target, run.chars)
        else:
            tokenizer_files.save(run.pieces.tokenizer, target)
    except Exception:
        if fresh:
            shutil.rmtree(target, ignore_errors=True)
        raise
    say(f"Wrote {target}. In Python, with the package transformers:")
    say(f"    {nearest(model.config).architecture}.from_pretrained({str(target)!r})")
    say(f"    AutoTokenizer.from_pretrained({str(target)!r})")


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
