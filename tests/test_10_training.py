"""Lecture 10 at the command line: trained by one and by two, killed, judged, handed on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from commands import call
from patience import patience
from zerotohero import scoring, tokenizer_files
from zerotohero.course import data
from zerotohero.course.run import load
from zerotohero.text import BytePairTokens
from zerotohero.training import load_checkpoint

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="finds processes as Linux lists them")
WORDS = ["the fox ", "a dog. ", "THE DOG:\n", "it's ", "Ünïcode ", "12 345 ", "\n\n", "字。", "\t"]
TINY = ["n_layer=1", "n_head=2", "n_embd=16", "block_size=16", "batch_size=4", "eval_batches=2"]
TINY += ["precision=fp32", "steps=300", "eval_every=30"]
QUESTIONS = [
    {"context": "the fox", "endings": ["it's a dog.", "12 345 字。", "the"], "label": 1},
    {
        "activity_label": "Dogs",
        "ctx_a": "A dog is sitting.",
        "ctx_b": "the dog",
        "endings": ["runs [title] away.", "is a fox.", "12 345", "it's"],
        "label": "0",
    },
] * 3


def log(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    clock = ("tokens_per_s", "mfu", "seconds")
    return [{key: row[key] for key in row if key not in clock} for row in rows]


def figures(said) -> list[str]:
    """The lines that `evaluate` prints of what it was given."""
    assert said.exit_code == 0, said.output
    return said.stdout.splitlines()[1:]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with texts, shards of them, questions, and a run that was asked them meanwhile."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "texts").mkdir()
    for i in range(8):
        words = "".join(random.Random(i).choices(WORDS, k=300))
        (folder / "texts" / f"{i}.txt").write_text(words)
    lines = [json.dumps(question) for question in QUESTIONS]
    (folder / "questions.jsonl").write_text("\n".join(lines))
    shards = ["data", "shards", folder / "texts", folder / "shards", "--tokenizer", "300"]
    assert call(*shards, "--processes", "1").exit_code == 0
    said = call(*training(folder), "--out", folder / "whole")
    assert said.exit_code == 0, said.output
    return folder, said


def training(folder: Path) -> list[str]:
    words = ["train", "gpt-nano", *TINY, "measure_every=2", "--data", folder / "shards"]
    words += ["--hellaswag", folder / "questions.jsonl", "--prompt", "the fox"]
    return [str(word) for word in words]


def test_a_run_shows_what_it_knows_and_writes_by_then(made):
    folder, said = made
    rows = {row["step"]: row for row in log(folder / "whole")}
    asked = [step for step, row in rows.items() if "hellaswag" in row]
    assert asked == [60, 120, 180, 240, 300] == [s for s, row in rows.items() if "sample" in row]
    assert all(rows[step]["sample"].startswith("the fox") for step in asked)
    for step in asked:
        assert f"HellaSwag {rows[step]['hellaswag']:.1%}\n{rows[step]['sample']}" in said.stdout
    assert (folder / "whole" / "curve.png").read_bytes().startswith(b"\x89PNG")
    # The last row is of the weights that are kept.
    run, model = load(folder / "whole", last=True)
    questions = scoring.read_questions(folder / "questions.jsonl")
    right = scoring.multiple_choice(model, run.tokenizer, questions)
    assert rows[300]["hellaswag"] == pytest.approx(right.by_character)


@LINUX
def test_begun_by_two_processes_killed_and_gone_on_by_one(made, tmp_path):
    """Each of the two keeps its part of the model; the losses are those of one process."""
    folder, _ = made
    out = tmp_path / "killed"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", "2", "-m", "zerotohero.course.cli", *training(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*torchrun, "shard=true", "--out", str(out)], **pipes)
    deadline = time.monotonic() + patience(60)
    while not (out / "last.pt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)  # torchrun ends the other
    printed, _ = process.communicate()
    assert process.returncode and printed.count("Model:") == 1
    assert 0 < load_checkpoint(out / "last.pt")["step"] < 300
    said = call("train", "--resume", "--out", out)
    assert said.exit_code == 0 and " are made, " in said.stdout, said.output
    for row, whole in zip(log(out), log(folder / "whole"), strict=True):
        for name in whole:
            its = whole[name]
            assert row[name] == (its if isinstance(its, str) else pytest.approx(its, abs=1e-5))


def test_judged_and_handed_on_the_figures_stay(made, tmp_path):
    folder, _ = made
    run, questions = folder / "whole", folder / "questions.jsonl"
    (tmp_path / "text.txt").write_text((folder / "texts" / "0.txt").read_text()[:300])
    given = ["--text", tmp_path / "text.txt", "--hellaswag", questions]
    bits, right = figures(call("evaluate", run, *given))
    its, model = load(run)
    text = (tmp_path / "text.txt").read_text()
    expected = scoring.bits_per_byte(model, its.tokenizer, text)
    assert f": {expected:.4f} bits per byte" in bits and f"{len(text.encode()):,} bytes" in bits
    by_hand = scoring.multiple_choice(model, its.tokenizer, scoring.read_questions(questions))
    assert f": {by_hand.by_character:.1%} ±" in right and "of 6 questions" in right
    finer = figures(call("evaluate", run, "--text", tmp_path / "text.txt", "--stride", 1))
    assert float(finer[0].split()[1]) != float(bits.split()[1])

    assert call("sample", run, "--tokens", "20", "--seed", "1").exit_code == 0
    assert call("export", run, tmp_path / "hf").exit_code == 0
    assert figures(call("evaluate", tmp_path / "hf", *given)) == [bits, right]
    from transformers import AutoTokenizer, GPT2LMHeadModel

    theirs = GPT2LMHeadModel.from_pretrained(tmp_path / "hf")
    ids = AutoTokenizer.from_pretrained(tmp_path / "hf").encode(text)
    assert ids == tokenizer_files.load(folder / "shards").encode_ordinary(text)
    tokens = torch.tensor([ids[:16]])
    torch.testing.assert_close(theirs(tokens).logits, model(tokens), atol=1e-4, rtol=0)
    last = figures(call("evaluate", run, "--last", "--text", tmp_path / "text.txt"))
    _, model = load(run, last=True)
    expected = scoring.bits_per_byte(model, BytePairTokens(its.tokenizer.tokenizer), text)
    assert f": {expected:.4f} bits per byte" in last[0]


def test_hellaswags_own_questions_are_fetched_by_name(made, monkeypatch):
    folder, _ = made
    monkeypatch.setattr(data, "path", lambda name: folder / "questions.jsonl")
    (right,) = figures(call("evaluate", folder / "whole", "--hellaswag", "val"))
    assert right.startswith("val: ") and "of 6 questions" in right


def test_what_cannot_be_evaluated_is_one_sentence(made, tmp_path):
    folder, _ = made
    run, questions = folder / "whole", folder / "questions.jsonl"
    (tmp_path / "empty").write_text("")
    (tmp_path / "bad.jsonl").write_text('{"context": "a"}')
    (tmp_path / "long.jsonl").write_text(
        json.dumps({"context": "a", "endings": ["12 345" * 20, "b"], "label": 0})
    )
    for words, says in (
        ([run], "Name what to evaluate on"),
        ([tmp_path / "no", "--text", questions], "There is no folder"),
        ([tmp_path, "--text", questions], "config.json"),
        ([run, "--text", tmp_path / "no.txt"], "no.txt"),
        ([run, "--text", tmp_path / "empty"], "is empty; name a file that holds text"),
        ([run, "--text", questions, "--stride", 17], "from 1 to the model's context, 16"),
        ([run, "--text", questions, "--batch-size", 0], "batch_size is 0"),
        ([run, "--text", questions, "--precision", "fp8"], "no precision 'fp8'; it is auto"),
        ([run, "--text", questions, "--device", "cud"], "The device 'cud' can't be used"),
        ([run, "--hellaswag", "no.jsonl"], "HellaSwag's is at https://raw.githubusercontent"),
        ([run, "--hellaswag", tmp_path / "bad.jsonl"], "line 1, is no question"),
        ([run, "--hellaswag", tmp_path / "long.jsonl"], "the model's context holds 16"),
    ):
        said = call("evaluate", *words)
        assert said.exit_code == 1 and says in said.stderr, said.output
        assert said.stderr.count("\n") == 1 and not said.stdout, said.output


def test_a_run_goes_on_with_the_questions_that_it_had(made, tmp_path):
    folder, _ = made
    short = ["train", "gpt-nano", *TINY, "steps=2", "--data", folder / "shards"]
    for words, says in (
        (["--hellaswag", tmp_path / "no"], "There is no file"),
        (["--hellaswag", folder / "texts" / "0.txt"], "is no question"),
    ):
        said = call(*short, *words, "--out", tmp_path / "run")
        assert said.exit_code == 1 and says in said.stderr, said.output
        assert not (tmp_path / "run").exists()
    resume = ["train", "--resume", "--out", folder / "whole"]
    for words, says in (
        (["--prompt", "a dog"], "was begun with prompt the fox, not a dog"),
        (["--hellaswag", "val"], "was begun with hellaswag"),
    ):
        said = call(*resume, *words)
        assert said.exit_code == 1 and says in said.stderr, said.output
    questions = folder / "questions.jsonl"
    before = questions.read_text()
    questions.write_text(before.replace("a dog", "a cat"))
    said = call(*resume)
    questions.write_text(before)
    assert said.exit_code == 1 and "has other questions than when the run began" in said.stderr
