"""`zerotohero data shards`: a text, a folder or a data set becomes shards to train on.

Nothing here needs torch, which takes as long to start as tokenising a small text.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from zerotohero import tokenizer_files
from zerotohero.course.vocabulary import vocabulary
from zerotohero.documents import BYTES_A_TOKEN, source_of
from zerotohero.shard_writer import Plan
from zerotohero.sharding import Source, estimated_tokens, make_shards
from zerotohero.shards import PLAN, TOKEN, Shards, read_plan
from zerotohero.tokenizer import END, Tokenizer

SHARD = 10**8  # tokens: 200 MB
LEARNED_FROM = 50 * 10**6  # characters, at most, of which a vocabulary is learned
LONGEST = 8  # more bytes than a token has on average


def shards(
    name: str,
    folder: Path,
    *,
    tokenizer: str = "gpt2",
    tokens: int | None = None,
    shard_tokens: int | None = None,
    val_shards: int = 1,
    processes: int | None = None,
) -> None:
    """Make shards of a source, or go on where a program was killed, and say what came of it."""
    if processes is not None and processes < 1:
        raise ValueError(f"processes is {processes}; it must be at least 1.")
    if (folder / PLAN).exists() and not read_plan(folder)["finished"]:
        print(f"{folder} was begun already; this goes on with it.")
    source = source_of(name)
    size = usual_size(source, tokens, val_shards) if shard_tokens is None else shard_tokens
    plan = Plan(size, val_shards, tokens)
    pieces = kept(tokenizer, folder)
    if pieces is None:
        pieces = vocabulary(tokenizer, lambda: learned_from(source, plan), [END])
    about = estimated_tokens(source, pieces, plan)
    room = tqdm.format_sizeof((about or 0) * TOKEN.itemsize)
    print(f"Source: {source.says}")
    print(
        f"Tokens: of a vocabulary of {len(pieces):,}"
        + (f", about {about:,} of them, {room}B" if about else "")
    )
    first = "the first" if val_shards == 1 else f"the first {val_shards}"
    print(f"Shards: of {plan.shard_tokens:,} tokens each; {first} to validate")
    try:
        made = make_shards(
            source,
            folder,
            pieces,
            plan,
            processes=processes or cores(),
            progress=sys.stderr.isatty(),
        )
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from there.")
        raise SystemExit(130) from None
    train, val = (Shards.of(folder, split) for split in ("train", "val"))
    print(
        f"{made['documents']:,} documents became {len(train):,} tokens to train on in "
        f"{len(train.paths):,} shards, and {len(val):,} to validate."
    )
    print(f"Train on them:  zerotohero train gpt-nano --data {folder}")


def cores() -> int:
    """Return how many processes can work at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def usual_size(source: Source, tokens: int | None, val_shards: int) -> int:
    """Return how many tokens a shard has unless it is said: of a short text a tenth or less."""
    about = tokens or source.tokens or (source.size and source.size // BYTES_A_TOKEN)
    return SHARD if about is None else min(SHARD, max(1, about // (10 * max(1, val_shards))))


def kept(wish: str, folder: Path) -> Tokenizer | None:
    """Return the vocabulary of that size that was learned when the folder was begun, or None."""
    begun = (folder / PLAN).exists() and (folder / tokenizer_files.NAME).exists()
    its = tokenizer_files.load(folder) if begun and wish.isdecimal() else None
    return its if its is not None and len(its) == int(wish) else None


def learned_from(source: Source, plan: Plan) -> Iterator[str]:
    """Yield texts of the source, none of which validates. ValueError if there are none."""
    skip, left = LONGEST * plan.shard_tokens * plan.val_shards, LEARNED_FROM
    for part in source.parts():
        text = part.text[skip:][:left]
        skip = max(0, skip - len(part.text))
        left -= len(text)
        if text:
            yield text
        if not left:
            return
    if left == LEARNED_FROM:
        raise ValueError(
            "Beyond what may be for validation there is no text to learn a vocabulary from: take "
            "smaller shards."
        )
