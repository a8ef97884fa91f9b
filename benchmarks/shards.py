"""Data and weights at scale, in one run: a checkpoint read, shards made, shards read.

    python benchmarks/shards.py [FOLDER]

FOLDER, or else the system's folder for temporary files, needs 3 GB of room for a while. Times are
processor seconds, so that a busy machine changes them little. Exits with 1 unless

- a TensorFlow checkpoint of 500 MB is read and verified in at most 2 s more than its bytes are;
- making shards, in one process and in two, is at least 0.8 times as fast a process as the tokenizer
  alone on the same text;
- drawing a batch from shards takes at most 1 % of a training step of `gpt-nano`;
- a training run on a shard of 2 GB takes as much memory as one on 10 MB, within 50 MB.
"""

import dataclasses
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import torch

import tf_writer
from zerotohero.course import data
from zerotohero.gpt import GPT
from zerotohero.shards import HEADER, Header, Shards
from zerotohero.tf_checkpoint import TensorFlowCheckpoint
from zerotohero.tokenizer import Tokenizer
from zerotohero.training import Trainer
from zerotohero.training.batches import Split
from zerotohero.training.recipes import RECIPES

ROOT = Path(__file__).parents[1]
MORE_SECONDS, RATE, LOADER, MEMORY = 2.0, 0.8, 0.01, 50
SIZE = 80_000_000  # characters of which shards are made
V = 1024  # a small vocabulary, and so a short step, of which the loader's share is the larger


def spent() -> float:
    """Return the processor seconds of this process and of those that it has started and ended."""
    mine, theirs = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def timed(work) -> float:
    start = spent()
    work()
    return spent() - start


def say(what: str, value: str, target: str, good: bool) -> bool:
    print(f"{what:<58}{value:>14}   (target: {target}){'' if good else '   MISSED'}", flush=True)
    return good


def checkpoint(folder: Path) -> bool:
    """Read 500 MB in the shapes of GPT-2's layers."""
    rng = np.random.default_rng(0)
    layer = {"c_attn": (1, 768, 2304), "c_proj": (1, 768, 768), "c_fc": (1, 768, 3072)}
    tensors = {
        f"model/h{n}/{name}/w": rng.random(shape, np.float32)
        for n in range(16)
        for name, shape in {**layer, "m_proj": (1, 3072, 768)}.items()
    }
    tensors["model/wte"] = rng.random((15_000, 768), np.float32)
    tf_writer.write(folder / "model.ckpt", tensors)
    (path,) = folder.glob("model.ckpt.data*")
    size = path.stat().st_size

    def read_all():
        for name, its in TensorFlowCheckpoint(folder / "model.ckpt").items():
            assert np.array(its).shape == tensors[name].shape

    plain = min(timed(path.read_bytes) for _ in range(3))
    ours = min(timed(read_all) for _ in range(3))
    path.unlink()
    print(
        f"reading {size / 1e6:.0f} MB: the bytes alone {plain:.2f} s, verified tensors {ours:.2f} s"
    )
    more = ours - plain
    return say("  more than the bytes", f"{more:.2f} s", f"{MORE_SECONDS}", more <= MORE_SECONDS)


def texts(size: int) -> str:
    """Return a text of so many characters: the plays, and then this machine's Python packages."""
    found, length = [data.other_plays()], 0
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        length += len(found[-1])
        if length >= size:
            break
        found.append(path.read_text("utf-8", errors="replace"))
    return "".join(found)[:size]


def making(folder: Path) -> bool:
    text = texts(SIZE)
    path = folder / "text.txt"
    path.write_text(text, "utf-8", newline="")
    size, good = path.stat().st_size, True
    print(f"making shards of {size / 1e6:.0f} MB with GPT-2's vocabulary, start and all")
    tokenizer = Tokenizer.named("gpt2")
    # In as large pieces as the maker of shards hands on.
    pieces = [text[i : i + 2**20] for i in range(0, len(text), 2**20)]

    def alone() -> float:
        tokenizer._tokens.clear()
        return timed(lambda: [tokenizer.encode_ordinary(piece) for piece in pieces])

    own = [alone()]
    for processes in (1, 2):
        command = [sys.executable, "-m", "zerotohero.course.cli", "data", "shards", path]
        command += [folder / f"shards {processes}", "--processes", processes]
        command += ["--shard-tokens", 2_000_000]
        options = {"env": os.environ | {"PYTHONPATH": str(ROOT)}, "stdout": subprocess.DEVNULL}
        took = timed(lambda c=command, o=options: subprocess.run([*map(str, c)], check=True, **o))
        own.append(alone())
        beside = (own[-2] + own[-1]) / 2  # before and after, for other programs slow it, too
        what = f"  {processes} process{'es, each' if processes > 1 else ''}"
        what = f"{what} {size / took / 1e6:.2f} MB/s, the tokenizer alone {size / beside / 1e6:.2f}"
        good &= say(what, f"{beside / took:.2f}", f"{RATE}", beside / took >= RATE)
    path.unlink()
    return good


def shard(path: Path, size: int) -> Shards:
    """Write a shard of so many bytes, of random tokens, and return it."""
    block = np.random.default_rng(0).integers(0, V, 10**6).astype("<u2").tobytes()
    with open(path, "wb") as file:
        file.write(Header(size // 2, V, b"\1" * 32, b"\2" * 32).packed())
        for _ in range(size // len(block)):
            file.write(block)
        file.truncate(HEADER + size // 2 * 2)
    return Shards([path])


def loading(folder: Path) -> bool:
    recipe = RECIPES["gpt-nano"]
    its = shard(folder / "loader.bin", 200_000_000)
    model = GPT(dataclasses.replace(recipe.model, vocab_size=V), torch.Generator().manual_seed(0))
    config = dataclasses.replace(
        recipe.train, steps=60, warmup=5, precision="fp32", log_every=1000, eval_every=0
    )
    config = dataclasses.replace(config, eval_batches=1)
    step = timed(Trainer(config, model, its, device="cpu", progress=False).run) / config.steps
    split = Split(its, recipe.model.block_size, torch.device("cpu"))
    n = 2000
    draw = timed(
        lambda: [split.rows(split.draw(config.batch_size, 0, "batch", i)) for i in range(n)]
    )
    share = draw / n / step
    print(f"gpt-nano: a step {1e3 * step:.1f} ms, a batch from the shards {1e6 * draw / n:.0f} µs")
    return say("  share of a step", f"{share:.2%}", f"{LOADER:.0%}", share <= LOADER)


RUN = """
import dataclasses, sys, torch
from pathlib import Path
from zerotohero.gpt import GPT
from zerotohero.shards import Shards
from zerotohero.training import Trainer
from zerotohero.training.recipes import RECIPES
recipe, its = RECIPES["gpt-nano"], Shards([Path(sys.argv[1])])
model = GPT(dataclasses.replace(recipe.model, vocab_size=its.vocab_size))
config = dataclasses.replace(recipe.train, steps=100, warmup=5, precision="fp32")
Trainer(config, model, its, its, device="cpu", progress=False).run()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(status["VmHWM"].split()[0])
"""


def memory(folder: Path) -> bool:
    peaks = []
    for size in (10**7, 2 * 10**9):
        path = folder / "memory.bin"
        shard(path, size)
        command = [sys.executable, "-c", RUN, path]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        peaks.append(int(done.stdout) / 1e3)
        path.unlink()
    more = peaks[1] - peaks[0]
    print(f"a run on 10 MB takes {peaks[0]:.0f} MB of memory, on 2 GB {peaks[1]:.0f}")
    return say("  more", f"{more:.0f} MB", f"{MEMORY}", abs(more) <= MEMORY)


def main() -> int:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder, start = Path(name), time.perf_counter()
        good = [part(folder) for part in (checkpoint, making, loading, memory)]
    print(f"{time.perf_counter() - start:.0f} s")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
