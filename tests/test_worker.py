"""The worker's frames, and what an answer in it can import."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zerotohero.course import frames, marking, processes, worker


def test_frames_come_through_and_cut_ones_are_refused():
    pipe = io.BytesIO()
    frames.send(pipe, frames.REPLY, b"content")
    frames.send(pipe, frames.DONE)
    whole = pipe.getvalue()
    pipe.seek(0)
    assert frames.receive(pipe) == (frames.REPLY, b"content")
    assert frames.receive(pipe) == (frames.DONE, b"")
    assert frames.receive(pipe) is None
    for forged in (whole[:3], whole[:8], b"\0\0\0\0r", b"\xff\xff\xff\xffr"):
        with pytest.raises(ValueError):
            frames.receive(io.BytesIO(forged))


def test_an_answer_imports_the_course_only_from_what_was_sent():
    # In a process of its own, since the finder stays.
    code = f"""
import sys
sys.path.insert(0, {str(Path(worker.__file__).parents[2])!r})
from zerotohero.course import marking, worker
for name in [n for n in sys.modules if n.startswith("zerotohero")]:
    del sys.modules[name]
sources = dict.fromkeys(["zerotohero", "zerotohero.course"], "")
sources |= {{"zerotohero.a": "x = 5", "zerotohero.course.adapters": ""}}
sys.meta_path.insert(0, worker._Given(sources))
import zerotohero.a, json, wave
assert zerotohero.a.x == 5
for name in ("zerotohero.course.checks", "zerotohero.micrograd", "zerotohero.course.plain"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        assert f"without {{name}}" in str(error), error
    else:
        raise AssertionError(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("used", ["training", "training.trainer", "training.config"])
def test_an_answer_may_import_the_package_that_its_exercise_uses(used):
    """With all that it imports itself, and nothing of it besides."""
    adapters = "zerotohero.course.adapters.gpt"
    sources = marking._sources(adapters, ["gpt", used])
    for name in ("zerotohero.course", "zerotohero.course.adapters"):
        assert sources[name] == "", "the machinery's packages are empty there"
    code = f"""
import importlib, sys
sys.path.insert(0, {str(Path(worker.__file__).parents[2])!r})
from zerotohero.course import marking, worker
for name in [n for n in sys.modules if n.startswith("zerotohero")]:
    del sys.modules[name]
sources = {sources!r}
sys.meta_path.insert(0, worker._Given(sources))
for name in sources:
    importlib.import_module(name)
import torch
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.training import TrainConfig, Trainer, evaluate
from zerotohero.training.muon import Muon
model = GPT(GPTConfig(5, 4, n_layer=1, n_head=1, n_embd=8))
tokens = torch.arange(50) % 5
config = TrainConfig(3, optimizer="muon", precision="fp32")
run = Trainer(config, model, tokens, device="cpu", progress=False).run()
assert run.step == 3 and evaluate(model, tokens) > 0
for name in ("zerotohero.training.recipes", "zerotohero.micrograd", "zerotohero.course.adder"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert f"without {{name}}" in str(error), error
    else:
        raise AssertionError(name)
"""
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="elsewhere there is no fork in a worker")
def test_a_reply_counts_though_the_worker_looks_late():
    """Kept from the processor between two looks, at the pipe and at the child, which ends then."""
    code = """
import contextlib, io, os, time, types
from zerotohero.course import frames, plain, worker
select = worker.select.select
def late(*given):
    ready = select(*given)
    if not ready[0]:
        time.sleep(0.5)
    return ready
worker.select = types.SimpleNamespace(select=late)
exercise = {
    "adapters": "zerotohero.trial",
    "sources": {"zerotohero": "", "zerotohero.trial": "def run(answer): return answer()"},
    "source": "import time\\ndef answer(): return time.sleep(0.3)",
    "answers": ["answer"], "cases": ["run"], "seconds": 60, "wall": 600,
    "reply": 2**20, "without": [],
}
replies = io.BytesIO()
replies.fileno = lambda: os.open(os.devnull, os.O_RDONLY)
requests = os.fdopen(os.pipe()[0], "rb")
setup = {"sandboxed": False, "all_memory": None}
done = worker._supervise(exercise, [plain.pack({})], requests, replies, setup)
assert done["ended"] == "answered", done
replies.seek(0)
assert plain.unpack(frames.receive(replies)[1])["got"] is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_the_first_process_of_a_sandbox_ends_all_others():
    """Outside of one, `kill(-1)` would end every process of the user."""
    assert os.getpid() != 1 and not processes._is_init()
