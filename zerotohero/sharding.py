"""Making shards: documents become tokens, in several processes, and no token is lost or doubled.

The idea. Encoding is a function of the text, so the shards of a corpus are one sequence of tokens
whoever encodes which part; it is cut every `shard_tokens`, and the first shards are for validation.
The parts are handed to the processes in order, and taken back in order. `shard_writer` records from
time to time how far they are, and a program that was killed goes on from there.

New against `text.BytePairTokens`: `<|endoftext|>` before each document, without which a model would
take the next one for the first one's end. The same sequence, read back: `shards`.

Left out: shuffling the documents (a training run draws its rows at random anyway), and dropping
those that occur twice.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import connection
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from zerotohero import tokenizer_files
from zerotohero.documents import CUT_THERE, Part, Stream, TextFiles
from zerotohero.shard_writer import Plan, TooShort, Writer, alone, begun, record
from zerotohero.shards import MOST, PLAN, TOKEN, vocabulary_hash
from zerotohero.tokenizer import END, Tokenizer

BATCH = 2**20  # characters that a process is given at a time
SAMPLE = 2**18  # characters from which the number of tokens is estimated
Source = TextFiles | Stream


def make_shards(
    source: Source,
    folder: Path,
    tokenizer: Tokenizer,
    plan: Plan,
    *,
    processes: int = 1,
    progress: bool = True,
) -> dict[str, Any]:
    """Write a source's tokens as shards to `folder`, or go on with it; return its shards.json.

    The folder also gets the vocabulary, tokenizer.json. With `processes` above 1, call it under
    `if __name__ == "__main__":`, as everything that starts processes.

    ValueError if the folder holds something else, the vocabulary has more than 65,536 tokens or no
    `<|endoftext|>`, or the source is too short; OSError if the disk hasn't room for it all.
    """
    if len(tokenizer) > MOST or END not in tokenizer.special:
        raise ValueError(
            f"Shards need a vocabulary of at most {MOST:,} tokens, with {END} among them; this is "
            f"{tokenizer!r}."
        )
    asked = {
        "source": source.identity,
        "vocabulary": vocabulary_hash(tokenizer).hex(),
        **asdict(plan),
    }
    fresh = not folder.exists()
    others = not fresh and any(path.name != f"{PLAN}.tmp" for path in folder.iterdir())
    if others and not (folder / PLAN).exists():
        raise ValueError(f"{folder} holds something else; name a new folder.")
    state = begun(folder, asked)
    if state["finished"]:
        return state
    check_room(source, folder, tokenizer, plan, state["tokens"])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with alone(folder):
            state = begun(folder, asked)  # another program may have gone on with it since
            if not (folder / PLAN).exists():
                record(folder, state)
            if not (folder / tokenizer_files.NAME).exists():
                tokenizer_files.save(tokenizer, folder)
            for left in folder.glob(f".{tokenizer_files.NAME}.*"):  # by one that was killed
                left.unlink()
            with Writer(folder, len(tokenizer), plan, state) as writer:
                encode_all(source, tokenizer, writer, processes, progress)
                return writer.finish()
    except TooShort:
        if fresh:
            shutil.rmtree(folder)
        raise


def check_room(
    source: Source, folder: Path, tokenizer: Tokenizer, plan: Plan, written: int
) -> None:
    """Raise OSError if what is to be written after `written` tokens won't fit onto the disk.

    Where nobody knows how much that will be, it is the shards for validation and one more.
    """
    total = estimated_tokens(source, tokenizer, plan)
    if total is None:
        total = written + plan.shard_tokens * (plan.val_shards + 1)
    needed = max(0, total - written) * TOKEN.itemsize
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise OSError(
            f"The shards need about {tqdm.format_sizeof(needed)}B, but the disk of {folder} has "
            f"only {tqdm.format_sizeof(free)}B left: make room, name another folder, or take fewer "
            "tokens."
        )


def estimated_tokens(source: Source, tokenizer: Tokenizer, plan: Plan) -> int | None:
    """Return about how many tokens there will be, by the first of them; None if nobody knows."""
    total = source.tokens
    part = next(source.parts(), None) if source.size is not None else None
    if part is not None:
        text = part.text[:SAMPLE]
        share = (len(tokenizer.encode_ordinary(text)) + 1) / len(text.encode())
        total = int(share * source.size) + 1
    return min((n for n in (total, plan.tokens) if n is not None), default=None)


# --- the order of things --------------------------------------------------------------------------


def encode_all(
    source: Source, tokenizer: Tokenizer, writer: Writer, processes: int, progress: bool
) -> None:
    """Encode from where the writer is to the end, or to as many tokens as are asked for."""
    most, end = writer.plan.tokens, tokenizer.special[END]
    parts = source.parts(writer.state["position"], whole=tokenizer.pattern not in CUT_THERE)
    in_bytes = source.size is not None and most is None
    total, done = (source.size, 0) if in_bytes else (most or source.tokens, writer.total)
    if in_bytes and writer.state["position"] is not None:
        done = source.done(writer.state["position"])
    encoded = contextlib.closing(_encoded(_batches(parts), tokenizer, processes))
    with encoded as batches, _bar(total, done, "B" if in_bytes else "token", progress) as bar:
        while writer.total != most and (found := next(batches, None)):
            batch, tokens = found
            tokens = tokens[: None if most is None else most - writer.total]
            position = batch[-1].after
            writer.add(tokens, int(np.count_nonzero(tokens == end)), position)
            bar.set_postfix_str(f"{writer.total:,} tokens", refresh=False)
            bar.update((source.done(position) if in_bytes else writer.total) - bar.n)


def _bar(total: int | None, done: int, unit: str, progress: bool) -> tqdm:
    """Return a bar, which also says how long it will take, if it is known how much there is."""
    options = {"desc": "tokenising", "unit_scale": True, "disable": not progress}
    return tqdm(total=total, initial=done, unit=unit, **options)


def _batches(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield the parts in lists of about BATCH characters."""
    batch, size = [], 0
    for part in parts:
        batch.append(part)
        size += len(part.text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encoded(
    batches: Iterable[list[Part]], tokenizer: Tokenizer, processes: int
) -> Iterator[tuple[list[Part], np.ndarray]]:
    """Yield each batch with its tokens, in order; a few are under way at a time."""
    if processes == 1:
        for batch in batches:
            yield batch, _tokens(tokenizer, [(part.text, part.first) for part in batch])
        return
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        _begin,
        (tokenizer.vocab, tokenizer.pattern, tokenizer.special),
    )
    waiting = deque()
    try:
        for batch in batches:
            work = pool.submit(_work, [(part.text, part.first) for part in batch])
            waiting.append((batch, work))
            if len(waiting) > 2 * processes:
                batch, work = waiting.popleft()
                yield batch, work.result()
        for batch, work in waiting:
            yield batch, work.result()
    except BrokenProcessPool:
        raise RuntimeError(
            "A process was ended from outside, perhaps for lack of memory: go on with fewer "
            "processes, by the same command."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _tokens(tokenizer: Tokenizer, parts: list[tuple[str, bool]]) -> np.ndarray:
    ids = []
    end = tokenizer.special[END]
    for text, first in parts:
        if first:
            ids.append(end)
        ids += tokenizer.encode_ordinary(text)
    return np.frombuffer(array("H", ids), np.uint16).astype(TOKEN)  # faster than of a list


_mine: list[Tokenizer] = []  # a process's own


def _begin(vocab: list[bytes], pattern: str, special: dict[str, int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that writes
    _mine[:] = [Tokenizer(vocab, pattern, special)]
    parent = multiprocessing.parent_process()

    def follow() -> None:  # or it would wait for work for ever when that one is killed
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(parts: list[tuple[str, bool]]) -> np.ndarray:
    return _tokens(_mine[0], parts)
