"""The four stages of lecture 08 at a tiny budget, the worlds, and `zerotohero train assistant`."""

import dataclasses
import random
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from zerotohero import stages, sums
from zerotohero.assistant import ChatTemplate, answer_rows, sft_rows
from zerotohero.course import cli, data, train_assistant
from zerotohero.course.run import Run, load
from zerotohero.plays import Labeller, Plays, speeches
from zerotohero.preferences import RewardModel
from zerotohero.stages import Preference, StagesConfig
from zerotohero.training import evaluate, load_checkpoint

TINY = ("n_layer=1", "n_head=2", "n_embd=32", "steps=24", "batch_size=8", "precision=fp32")


def call(*words):
    return CliRunner().invoke(cli.app, list(map(str, words)), catch_exceptions=False)


def shorter(plan, steps, **changes):
    return dataclasses.replace(plan, steps=steps, warmup=2, precision="fp32", **changes)


@pytest.fixture(scope="module")
def text():
    return data.other_plays()[:1_000_000]


@pytest.fixture(scope="module")
def plays(text):
    return Plays(text)


def spoken(plays, words, ends=True):
    return plays.tokenizer.encode_ordinary(words) + [plays.template.end] * ends


# --- the world of the plays -----------------------------------------------------------------------


def test_speeches_are_lines_and_what_is_held_out_is_not_read(text, plays):
    assert speeches("A:\nOne\ntwo?\n\nSecond B:\nThree.\n\n") == [
        ("A", "One two?"),
        ("Second B", "Three."),
    ]
    assert len(plays.held_out) == 200 and len(plays.tokenizer) == 1024
    assert not {*plays.held_out} & {*plays.questions}
    read = plays.tokenizer.decode(torch.cat([plays.train, plays.val]).tolist())
    said = {words for _, words in speeches(text)}
    assert all(q in said and a in said and q.endswith("?") for q, a in plays.held_out)
    lone = [q for q, _ in plays.held_out if text.count(q) == 1]
    assert len(lone) > 100 and not any(f": {q}\n" in read for q in lone)
    with pytest.raises(ValueError, match="short questions"):
        Plays("A:\nOne?\n\nB:\nTwo.\n\n")


@pytest.mark.parametrize(
    ("words", "score"),
    [
        ("No.", 0),
        ("No, my lord.", 1),
        ("No, my lord, sir.", 0),  # twice
        ("No, my good lordly.", -0.5),  # "lordly" is no address, and it is not in the plays
        ("", -1),
        ("No, friends. Sir, madam!", -1),
    ],
)
def test_the_rule_is_what_it_says(plays, words, score):
    assert "lordly" not in plays.known
    assert plays.true_score(spoken(plays, words)) == pytest.approx(score)
    assert plays.true_score(spoken(plays, words, ends=False)) == pytest.approx(score - 1)


def test_the_judge_gives_means(plays):
    its = plays.judge([spoken(plays, "No, my lord."), spoken(plays, "Sir, sir", ends=False)])
    assert its["score"] == pytest.approx(0.0) and its["ended"] == 0.5
    assert (its["polite"], its["twice"], its["known"], its["distinct"]) == (1, 0.5, 1, 1)


def test_the_labeller_follows_the_rule_but_for_slips(plays):
    good, bad = spoken(plays, "No, my lord."), spoken(plays, "No.")
    never, often = Labeller(plays, 0.0), Labeller(plays, 0.25, seed=1)
    assert never.prefers_first(good, bad) is True and never.prefers_first(bad, good) is False
    assert never.prefers_first(bad, spoken(plays, "Ay.")) is None
    wrong = sum(not often.prefers_first(good, bad) for _ in range(2000))
    assert 440 < wrong < 560


# --- the stages -----------------------------------------------------------------------------------


def test_each_stage_does_what_it_is_for(plays):
    usual = StagesConfig(seed=1)
    config = dataclasses.replace(
        usual,
        model=dataclasses.replace(usual.model, n_layer=1, n_embd=64),
        pretrain=shorter(usual.pretrain, 60, batch_size=8),
        fine_tune=shorter(usual.fine_tune, 40, batch_size=24),
        compared=500,
        held_out=150,
        slips=0.0,
        reward=shorter(usual.reward, 40),
        reinforce=shorter(usual.reinforce, 8, lr=1e-3),
        dpo=shorter(usual.dpo, 20),
    )
    base = stages.pretrain(plays, config)
    before = [p.clone() for p in base.parameters()]
    tuned = stages.fine_tune(base, plays, config)
    assert all(torch.equal(a, b) for a, b in zip(before, base.parameters(), strict=True))
    rows = sft_rows(plays.conversations(plays.held_out), plays.template)
    assert evaluate(tuned, rows) < evaluate(base, rows) - 0.5
    prompts, g = plays.prompts(plays.held_out), torch.Generator().manual_seed(0)
    raw, drawn = (stages.ask(model, prompts, plays, g) for model in (base, tuned))
    assert plays.judge(raw)["ended"] < 0.1 and plays.judge(drawn)["ended"] > 0.25

    preferences = stages.compare(tuned, plays, config)
    assert 300 < len(preferences) <= 500
    for p in preferences[:50]:
        assert plays.true_score(p.chosen) > plays.true_score(p.rejected)
    swapped = [Preference(p.prompt, p.rejected, p.chosen) for p in preferences[:9]]
    assert stages.by_the_rule(swapped, plays) == preferences[:9]
    unseen, learned = preferences[:150], preferences[150:]
    rm = stages.fit_reward(tuned, learned, plays, config)
    assert stages.agreement(RewardModel(tuned), unseen) == 0  # all are equal to it
    assert stages.agreement(rm, unseen) > 0.58 and stages.agreement(rm, learned) > 0.65
    rewards = stages.judge(rm, answer_rows(prompts, drawn))
    assert abs(rewards.mean()) < 0.4 and 0.6 < rewards.std() < 1.5

    policy, history = stages.reinforce(tuned, rm, plays, config)
    assert history[0]["divergence"] == pytest.approx(0, abs=1e-4)
    written = answer_rows(prompts, stages.ask(policy, prompts, plays, g))
    assert stages.judge(rm, written).mean() > rewards.mean() + 0.2
    assert stages.divergence(policy, tuned, written) > 0.05
    assert stages.divergence(tuned, tuned, written) == 0

    preferred = stages.fit_dpo(tuned, learned, config)
    with torch.no_grad():
        both, i = stages.both(learned), torch.arange(len(learned))
        margins = [
            stages.whole_logprobs(m, both, i) @ torch.tensor([1.0, -1.0])
            for m in (preferred, tuned)
        ]
    assert (margins[0] > margins[1]).float().mean() > 0.6


# --- the sums -------------------------------------------------------------------------------------


def test_a_sum_is_right_by_its_answer_whatever_was_thought():
    assert sums.question(7, 45, True) + sums.solution(7, 45, True) == "007+045:2500=0052\n"
    assert sums.question(7, 45, False) + sums.solution(7, 45, False) == "007+045=0052\n"
    assert sums.right("9999=0052\n", (7, 45)) and sums.right("0052\n", (7, 45))
    assert not sums.right("2500=0053\n", (7, 45)) and not sums.right("2500=0052", (7, 45))
    assert not sums.right("2500\n", (7, 45)) and not sums.right("0052\n=0052\n", (7, 46))


def test_a_question_is_no_target_of_a_sum():
    for think in (True, False):
        X, Y = sums.rows([(7, 45), (999, 999)], think)
        assert X.shape == Y.shape and X.shape[1] <= sums.CONTEXT
        learned = sums.VOCABULARY.decode(Y[0][Y[0] >= 0])
        assert learned == sums.solution(7, 45, think)
        start = int((Y[0] >= 0).nonzero()[0])
        assert sums.VOCABULARY.decode(X[0, : start + 1]) == sums.question(7, 45, think)


def test_votes_and_passes_are_counted():
    written = ["1=0003\n", "2=0004\n", "0003\n", "5=0005\n"]
    assert sums.majority(written) == "0003"
    assert sums.votes([written], [(1, 2)], 3) == 1 and sums.votes([written], [(2, 2)], 4) == 0
    assert sums.pass_at_k(4, 2, 1) == 0.5
    assert sums.pass_at_k(4, 2, 2) == pytest.approx(5 / 6)  # of 6 pairs, one has both wrong
    assert sums.pass_at_k(4, 2, 3) == 1 and sums.pass_at_k(4, 0, 4) == 0
    assert sums.passes([written], [(1, 2)], 2) == pytest.approx(5 / 6)
    with pytest.raises(ValueError, match="k is 5"):
        sums.pass_at_k(4, 2, 5)


def test_grpo_learns_from_being_right():
    """Of a few sums of two digits, again and again; the training before stops at about half."""
    draw = random.Random(0)
    pairs = [(draw.randrange(50), draw.randrange(50)) for _ in range(2000)]
    config = sums.SumsConfig()
    grpo = dataclasses.replace(config.grpo, steps=12, batch_size=256, precision="fp32")
    begun = sums.learn(pairs, True, config, until=0.5)
    assert 0.2 < sums.share_right(begun, pairs[:200], True) < 0.98
    few = pairs[:16]
    _, history = sums.grpo(begun, few, True, dataclasses.replace(config, grpo=grpo))
    assert len(history) == 12 and sum(history[-3:]) > sum(history[:3]) + 0.3


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("assistant")
    (folder / "plays.txt").write_text(text[:800_000])
    run = folder / "run"
    said = call("train", "assistant", *TINY, "--data", folder / "plays.txt", "--out", run)
    assert said.exit_code == 0, said.output
    return run, said.stdout


def weights_of(folder: Path):
    return load_checkpoint(folder / "last.pt")["model"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_the_command_makes_all_stages_in_one_folder(made):
    folder, said = made
    assert [line[:2] for line in said.splitlines() if line[:1].isdigit()] == [
        "1.",
        "2.",
        "3.",
        "4.",
    ]
    assert f"zerotohero chat {folder}" in said
    assert {path.name for path in folder.iterdir()} == {
        *("run.json", "tokenizer.json", "tokenizer_config.json", "last.pt"),
        *("1-pretrained", "2-fine-tuned", "3-reward-model"),
    }
    states = [weights_of(folder / part) for part in (".", "1-pretrained", "2-fine-tuned")]
    assert not same(states[0], states[2]) and not same(states[1], states[2])
    assert Run.read(folder).recipe == "assistant"


@pytest.mark.parametrize("stage", [".", "1-pretrained", "2-fine-tuned"])
def test_each_folder_holds_a_run_with_a_chat_template(made, stage):
    run, model = load(made[0] / stage)
    template = ChatTemplate(run.tokenizer.tokenizer)
    prompt = template.chat([{"role": "user", "content": "Who is <|end|> there?"}])
    assert prompt.count(template.end) == 1 and len(template.tokenizer) == model.config.vocab_size
    ids = model.generate([prompt], 5, stop=[template.end])[0]
    assert isinstance(template.decode(ids), str)
    said = call("sample", made[0] / stage, "--tokens", 5, "--prompt", "King: ")
    assert said.exit_code == 0 and said.stdout.startswith("King: ")


def test_what_is_done_is_not_done_again(made, monkeypatch):
    folder, said = made

    def never(*_, **__):
        raise AssertionError("done again")

    for name in ("fine_tune", "compare", "fit_reward", "reinforce"):
        monkeypatch.setattr(stages, name, never)
    before = weights_of(folder)
    again = call("train", "--resume", "--out", folder)
    assert again.exit_code == 0 and again.stdout == said
    assert same(weights_of(folder), before)


def test_a_run_that_was_stopped_goes_on_to_the_same_end(made, tmp_path, monkeypatch):
    folder = shutil.copytree(made[0], tmp_path / "run")
    (folder / "last.pt").unlink()
    shutil.rmtree(folder / "3-reward-model")

    def pressed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stages, "reinforce", pressed)
        said = call("train", "assistant", "--resume", "--out", folder)
    assert said.exit_code == 130 and f"zerotohero train --resume --out {folder}" in said.stdout
    assert (folder / "3-reward-model" / "reward.pt").exists()
    assert "no checkpoint yet" in call("sample", folder).stderr
    assert call("train", "assistant", "--resume", "--out", folder).exit_code == 0
    assert same(weights_of(folder), weights_of(made[0]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tokenizer", "gpt2"], "don't take --tokenizer"),
        (["--init-from", "gpt2"], "don't take --init-from"),
        (["--dry-run"], "don't take --dry-run"),
        (["block_size=16"], "block_size=16"),
        (["--data", "names"], "short questions"),
    ],
)
def test_what_the_stages_cannot_do_is_refused_and_nothing_is_written(words, says, tmp_path):
    said = call("train", "assistant", "--out", tmp_path / "run", *words)
    assert said.exit_code == 1 and says in said.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_as_it_was_begun(made):
    said = call("train", "--resume", "--out", made[0], "n_layer=3")
    assert said.exit_code == 1 and "was begun with n_layer=1" in said.stderr
    said = call("train", "--resume", "--out", made[0], "--data", "names")
    assert said.exit_code == 1 and "SHA-256" in said.stderr
    said = call("train", "assistant", "--out", made[0])
    assert said.exit_code == 1 and "holds a run already" in said.stderr


def test_at_the_recipes_length_the_stages_are_those_of_the_lecture(made):
    run = Run.read(made[0])
    whole = dataclasses.replace(run, model=stages.RECIPE.model, train=stages.RECIPE.train)
    expected = dataclasses.replace(StagesConfig(), seed=stages.RECIPE.train.seed)
    assert train_assistant.scaled(whole) == expected
    assert train_assistant.scaled(run).fine_tune.steps == 4  # 50 · 24 / 300
