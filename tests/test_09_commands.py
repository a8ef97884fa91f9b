"""Lecture 09 at the command line: a vocabulary is learned, and every command carries it along."""

import json
import math
import random
import re
from pathlib import Path

import pytest
import torch

from commands import call
from zerotohero import tokenizer_files
from zerotohero.course.run import load
from zerotohero.tokenizer import Tokenizer

TINY = ["n_layer=1", "n_head=2", "n_embd=16", "block_size=16", "batch_size=4", "precision=fp32"]
STEPS = ["steps=6", "eval_every=3", "eval_batches=2"]
WORDS = ["the fox\n", "a dog ", "THE DOG: ", "runs away. ", "naïve 漢字 ", "it's 1234 "]
TEXT = "".join(random.Random(9).choices(WORDS, k=400))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with a text of one's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run in pieces of its own, and what it printed. Tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "my.txt").write_text(TEXT)
    data = ["--data", folder / "my.txt", "--out", folder / "run"]
    said = call("train", "--tokenizer", "280", *TINY, *STEPS, *data)
    assert said.exit_code == 0, said.output
    return folder / "run", said


def test_the_vocabulary_is_learned_from_what_is_trained_on(trained):
    folder, _ = trained
    kept = tokenizer_files.load(folder)
    assert kept == Tokenizer.learn(TEXT[: int(0.9 * len(TEXT))], 280)
    run, model = load(folder)
    assert model.config.vocab_size == len(kept) == 280
    assert run.tokenizer.encode(TEXT).tolist() == kept.encode(TEXT)


def test_bits_per_byte_are_the_loss_of_the_whole_text_by_its_bytes(trained):
    folder, said = trained
    run, model = load(folder)
    tokens = run.tokenizer.encode(TEXT)
    val = tokens[int(0.9 * len(tokens)) :]
    windows = [val[i : i + 17] for i in range(0, len(val) - 1, 16)]
    total = sum(
        torch.nn.functional.cross_entropy(model(w[None, :-1])[0], w[1:], reduction="sum").item()
        for w in windows
    )
    bits = total / math.log(2) / len(run.tokenizer.decode(val[1:]).encode())
    shown = float(re.search(r"That is ([\d.]+) bits per byte", said.stdout)[1])
    assert shown == pytest.approx(bits, rel=0.01)
    characters = call(
        "train", *TINY, *STEPS, "--data", folder.parent / "my.txt", "--out", folder.parent / "c"
    )
    of_tokens = float(re.search(r"loss of ([\d.]+)", characters.stdout)[1]) / math.log(2)
    of_bytes = float(re.search(r"That is ([\d.]+) bits", characters.stdout)[1])
    assert of_bytes == pytest.approx(of_tokens * len(TEXT) / len(TEXT.encode()), rel=0.02)


def test_a_sample_is_text(trained):
    folder, _ = trained
    said = call("sample", folder, "--prompt", "the 漢", "--tokens", "30", "--seed", "4")
    assert said.exit_code == 0 and said.stdout.startswith("the 漢"), said.output
    assert (
        said.stdout
        == call("sample", folder, "--prompt", "the 漢", "--tokens", "30", "--seed", "4").stdout
    )


def test_a_run_in_pieces_goes_on_with_the_same_losses(here):
    def log(folder: str) -> list[tuple]:
        rows = [json.loads(row) for row in (here / folder / "log.jsonl").read_text().splitlines()]
        return [(row["step"], row["loss"], row["val_loss"]) for row in rows]

    plan = [*TINY, "schedule=constant", "eval_every=3", "--tokenizer", "280", "--data", "my.txt"]
    for arguments in (
        ["train", *plan, "steps=6", "--out", "part"],
        ["train", "--resume", "steps=9", "--out", "part"],
        ["train", *plan, "steps=9", "--out", "whole"],
    ):
        said = call(*arguments)
        assert said.exit_code == 0, said.output
    assert log("part") == log("whole")
    assert tokenizer_files.load(here / "part") == tokenizer_files.load(here / "whole")


def test_an_export_is_loaded_by_transformers_and_by_the_course(here, trained):
    transformers = pytest.importorskip("transformers")
    folder, _ = trained
    said = call("export", folder, "hf")
    assert said.exit_code == 0, said.output
    run, model = load(folder)
    theirs = transformers.GPT2LMHeadModel.from_pretrained("hf").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained("hf")
    text = "THE fox: naïve 漢字, it's 5678!\n\n 👍"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert ids[0].equal(run.tokenizer.encode(text)) and tokenizer.decode(ids[0]) == text
    torch.testing.assert_close(theirs(ids[:, :16]).logits, model(ids[:, :16]), atol=1e-4, rtol=0)
    for source in ("hf", folder):
        out = here / f"again-{Path(source).name}"
        said = call("train", "--init-from", source, "--data", "my.txt", "steps=2", "--out", out)
        assert said.exit_code == 0, said.output
        assert tokenizer_files.load(out) == run.pieces.tokenizer


def test_gpt2s_vocabulary_by_name(here):
    said = call(
        "train", "--tokenizer", "gpt2", *TINY, "steps=1", "--data", "my.txt", "--out", "run"
    )
    assert said.exit_code == 0, said.output
    run, model = load(here / "run")
    assert model.config.vocab_size == 50_257
    assert run.tokenizer.encode("the fox").tolist() == Tokenizer.named("gpt2").encode("the fox")


def test_a_text_with_too_little_to_merge_says_so(here):
    said = call(
        "train", "--tokenizer", "5000", *TINY, "steps=1", "--data", "my.txt", "--out", "run"
    )
    assert said.exit_code == 0, said.output
    assert "there is no pair left" in said.stdout
    _, model = load(here / "run")
    assert 256 < model.config.vocab_size == len(tokenizer_files.load(here / "run")) < 5000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--tokenizer", "255", "--data", "my.txt"], "vocab_size is 255; it must be at least 256"),
        (["--tokenizer", "gpt5", "--data", "my.txt"], "There is no vocabulary 'gpt5'"),
        (["adder", "--tokenizer", "300"], "vocabulary of its own: leave --tokenizer out"),
        (["--init-from", "x", "--tokenizer", "300", "--data", "my.txt"], "leave --tokenizer out"),
        (["--tokenizer", "-5", "--data", "my.txt"], "There is no vocabulary '-5'"),
    ],
)
def test_wishes_that_cannot_be(here, arguments, sentence):
    said = call("train", *arguments, "steps=1", "--out", "run")
    assert said.exit_code == 1 and sentence in " ".join(said.stderr.split()), said.output
    assert not (here / "run").exists()


def test_a_run_keeps_its_vocabulary(here, trained):
    folder, _ = trained
    said = call("train", "--resume", "--tokenizer", "300", "--out", folder)
    assert said.exit_code == 1 and "goes on with its own vocabulary" in said.stderr


@pytest.mark.parametrize("damage", ["missing", "cut off", "another"])
def test_a_run_without_its_vocabulary_is_refused_in_one_sentence(here, trained, damage):
    folder, _ = trained
    for file in folder.iterdir():
        (here / file.name).write_bytes(file.read_bytes())
    path = here / tokenizer_files.NAME
    if damage == "missing":
        path.unlink()
    elif damage == "cut off":
        path.write_bytes(path.read_bytes()[:500])
    else:
        tokenizer_files.save(Tokenizer.learn(TEXT, 270), here)
    said = call("sample", here, "--tokens", "5")
    assert said.exit_code == 1 and "tokenizer.json" in said.stderr
    assert "Traceback" not in said.output
