"""Tokenizers side by side in one run: ours, minbpe's rule, `tokenizers`, `rustbpe` and tiktoken.

    python benchmarks/tokenizer.py [TEXT]

Learns 512 tokens from Tiny Shakespeare and 32,768 from the 28 other plays, then encodes those
plays with three vocabularies of OpenAI's; with the path of a TEXT of one's own, it learns 32,768
from that, too. Times are processor seconds on one thread. Exits with 1 unless the merges are equal
in every run and the tokens are tiktoken's, and the ratios are within the targets.

minbpe is no package. Its published rule, a dozen lines, is stated here in our words as
`naive_merges`. It takes a minute and a half on the whole text, so `NAIVE` of its rounds are timed,
whose merges must be ours, and a round costs no less than the average of those: the text shrinks
by less than half. Where `rustbpe` or a vocabulary isn't installed, its line is left out.
"""

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from unittest import mock

os.environ["RAYON_NUM_THREADS"] = "1"  # before tokenizers and rustbpe start their threads
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tiktoken
import tiktoken_ext.openai_public as public
import tokenizers

from zerotohero import vocabularies
from zerotohero.course import data
from zerotohero.splits import GPT4_SPLIT
from zerotohero.tokenizer import SplitPairs, Tokenizer

MINBPE, HUGGING_FACE = 1 / 150, 1.0  # the most of their times that ours may take
COLD, WARM = 0.35, 0.6  # the least of tiktoken's rate
NAIVE = 8  # rounds of minbpe's rule, spread over the training
REPEATS = 3
LETTERS = vocabularies.gpt2_letters()


def timed(work: Callable, repeats: int = REPEATS) -> tuple[object, float]:
    """Return what the work returns, and the least processor time that it took."""
    least, result = float("inf"), None
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        least = min(least, time.process_time() - start)
    return result, least


def naive_merges(chunks: list[list[int]], rounds: int, first: int = 256) -> list[tuple[int, int]]:
    """minbpe's rule: count all pairs anew, replace the most frequent, and so on. Changes chunks."""
    merges = []
    for new in range(first, first + rounds):
        counts: dict[tuple[int, int], int] = {}
        for ids in chunks:
            for pair in pairwise(ids):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=counts.get)
        for at, ids in enumerate(chunks):
            merged, i = [], 0
            while i < len(ids):
                both = i + 1 < len(ids) and (ids[i], ids[i + 1]) == best
                merged.append(new if both else ids[i])
                i += 1 + both
            chunks[at] = merged
        merges.append(best)
    return merges


def hugging_face(text: str, vocab_size: int) -> list[bytes]:
    """Return the pieces that the library `tokenizers` learns, in order."""
    pre = tokenizers.pre_tokenizers
    learner = tokenizers.Tokenizer(tokenizers.models.BPE())
    cut = pre.Split(tokenizers.Regex(GPT4_SPLIT), "isolated")
    learner.pre_tokenizer = pre.Sequence(
        [cut, pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False
    )
    learner.train_from_iterator([text], trainer)
    words = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    return [bytes(LETTERS[c] for c in word) for word, _ in words]


def rust(text: str, vocab_size: int) -> list[bytes]:
    import rustbpe

    learner = rustbpe.Tokenizer()
    learner.train_from_iterator([text], vocab_size, pattern=GPT4_SPLIT)
    return [bytes(piece) for piece, _ in learner.get_mergeable_ranks()]


def against_minbpe(text: str, vocab_size: int) -> bool:
    ours, seconds = timed(lambda: SplitPairs.learn(text, vocab_size))
    rounds = vocab_size - 256
    chunks = [list(chunk.encode()) for chunk in ours.chunks(text)]
    merges = [(ours.ranks[a], ours.ranks[b]) for a, b in ours.merges.values()]
    spent, equal, done = 0.0, True, 0
    for k in range(NAIVE):
        start = k * rounds // NAIVE
        # Between the rounds that are timed, ours are made, so that those that are see what
        # minbpe's would see.
        for new in range(256 + done, 256 + start):
            apply(chunks, merges[new - 256], new)
        said, took = timed(lambda c=chunks, s=start: naive_merges(c, 1, 256 + s), repeats=1)
        spent += took
        equal &= said == [merges[start]]
        done = start + 1
    naive = spent / NAIVE * rounds
    ratio = seconds / naive
    print(f"learn {vocab_size:,} from {len(text.encode()):,} bytes, the first of equals")
    print(f"  ours        {seconds:8.2f} s")
    print(f"  minbpe      {naive:8.2f} s   (its rule; {NAIVE} of {rounds} rounds timed)")
    print(f"  ratio       {ratio:8.4f}     (target: at most 1/150 = {MINBPE:.4f})")
    print(f"  merges      {'equal' if equal else 'DIFFER'} in the rounds compared")
    return equal and ratio <= MINBPE


def apply(chunks: list[list[int]], pair: tuple[int, int], new: int) -> None:
    """Make one merge in all chunks, fast where it doesn't occur."""
    a, b = pair
    for ids in chunks:
        if a in ids and b in ids:
            i = 0
            while i < len(ids) - 1:
                if (ids[i], ids[i + 1]) == pair:
                    ids[i : i + 2] = [new]
                i += 1


def against_rust(text: str, vocab_size: int, repeats: int = REPEATS) -> bool:
    alphabet = list(LETTERS.values())
    settings = {"ties": "lowest", "alphabet": alphabet}
    ours, seconds = timed(lambda: SplitPairs.learn(text, vocab_size, **settings), repeats)
    theirs, slower = timed(lambda: hugging_face(text, vocab_size), repeats)
    equal = ours.vocab == theirs
    print(f"learn {vocab_size:,} from {len(text.encode()):,} bytes, the lowest of equals")
    print(f"  ours        {seconds:8.2f} s")
    print(f"  tokenizers  {slower:8.2f} s   merges {'equal' if equal else 'DIFFER'}")
    if importlib.util.find_spec("rustbpe"):
        plain = SplitPairs.learn(text, vocab_size, ties="lowest")
        rusty, fast = timed(lambda: rust(text, vocab_size), repeats)
        same = plain.vocab == rusty
        print(f"  rustbpe     {fast:8.2f} s   merges {'equal' if same else 'DIFFER'}")
        equal &= same
    ratio = seconds / slower
    print(f"  ratio       {ratio:8.2f}     (target: at most {HUGGING_FACE} of tokenizers')")
    return equal and ratio <= HUGGING_FACE


def encoding(name: str, text: str) -> bool:
    ours = Tokenizer.named(name)
    # tiktoken with its own pattern, which is faster for it or slower, and our tokens, so that
    # nothing needs to be downloaded.
    nothing = mock.Mock(return_value={})
    with mock.patch.multiple(
        public, load_tiktoken_bpe=nothing, data_gym_to_mergeable_bpe_ranks=nothing
    ):
        pattern = getattr(public, name)()["pat_str"]
    theirs = tiktoken.Encoding(
        name, pat_str=pattern, mergeable_ranks=ours.ranks, special_tokens=ours.special
    )

    def cold():
        ours._tokens.clear()
        return ours.encode_ordinary(text)

    ids, first = timed(cold)
    again, later = timed(lambda: ours.encode_ordinary(text))
    peer, fast = timed(lambda: theirs.encode_ordinary(text))
    back, decoding = timed(lambda: ours.decode(ids))
    size = len(text.encode()) / 1e6
    equal = ids == again == peer and back == text
    print(f"encode {size:.1f} MB with {name}: tokens {'equal' if equal else 'DIFFER'}")
    print(f"  tiktoken    {size / fast:8.2f} MB/s")
    print(f"  ours, cold  {size / first:8.2f} MB/s   ratio {fast / first:.2f} (target: {COLD})")
    print(f"  ours, warm  {size / later:8.2f} MB/s   ratio {fast / later:.2f} (target: {WARM})")
    print(f"  decoding    {size / decoding:8.2f} MB/s")
    return equal and fast / first >= COLD and fast / later >= WARM


def main() -> int:
    tiny, plays = data.text("tinyshakespeare"), data.other_plays()
    good = [
        against_minbpe(tiny, 512),
        against_rust(tiny, 512),
        against_rust(plays, 32_768),
    ]
    if len(sys.argv) > 1:
        good.append(against_rust(Path(sys.argv[1]).read_text("utf-8"), 32_768, repeats=1))
    good += [
        encoding(name, plays)
        for name, source in vocabularies.SOURCES.items()
        if vocabularies.installed(source)
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
