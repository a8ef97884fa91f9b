"""Lecture 07: checkpoints: a run goes on to the bit, and no file is trusted or half-written."""

import functools
import itertools
import math
import os
import pickle
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from small import (
    PLAN,
    SMALL,
    TEXT,
    Plain,
    V,
    forks,
    gpt,
    plan,
    read_log,
    same_each_time,
    stopped_at,
    trainer,
)
from zerotohero.gpt import GPTConfig
from zerotohero.training import (
    CheckpointError,
    TrainConfig,
    evaluate,
    load_checkpoint,
)
from zerotohero.training import trainer as trainer_module
from zerotohero.training.checkpoint import save_checkpoint

# --- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_goes_on_to_the_bit(optimizer, precision, tmp_path):
    config = plan(optimizer=optimizer, precision=precision, accumulate=2)
    whole = trainer(config, gpt(dropout=0.2), folder=tmp_path / "whole").run()
    part = tmp_path / "part"
    stopped_at(21, config, part, model=gpt(dropout=0.2))
    with open(part / "log.jsonl", "a") as file:
        file.write('{"step": 22, "lo')  # the line that was being written
    resumed = trainer(config, gpt(seed=9, dropout=0.2), folder=part, resume=True)
    assert resumed.step == 16
    resumed.run()
    assert same_each_time(resumed.log) == same_each_time(whole.log)
    assert read_log(part) == resumed.log and resumed.seconds > 0
    for mine, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for name in ("best.pt", "last.pt"):
        mine, theirs = (load_checkpoint(tmp_path / run / name) for run in ("whole", "part"))
        assert mine["step"] == theirs["step"]
        assert all(torch.equal(p, theirs["model"][key]) for key, p in mine["model"].items())


def test_a_finished_run_is_not_run_again(tmp_path):
    first = trainer(folder=tmp_path).run()
    stamp = (tmp_path / "last.pt").stat().st_mtime_ns
    again = trainer(folder=tmp_path, resume=True).run()
    assert again.log == first.log and (tmp_path / "last.pt").stat().st_mtime_ns == stamp
    # More steps are a new schedule, and allowed.
    longer = trainer(plan(steps=36), folder=tmp_path, resume=True).run()
    assert longer.step == 36 and longer.log[: len(first.log)] == first.log


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path):
    stopped_at(5, PLAN, tmp_path)
    run = trainer(folder=tmp_path, resume=True).run()
    assert same_each_time(read_log(tmp_path)) == same_each_time(trainer().run().log)
    assert run.step == 30


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    trainer(folder=tmp_path).run()
    with pytest.raises(FileExistsError, match=r"at step 30: resume it"):
        trainer(folder=tmp_path)
    with pytest.raises(ValueError, match="needs the folder"):
        trainer(resume=True)


def test_best_and_last(tmp_path):
    # 12 tokens are soon known by heart, and the validation loss rises again.
    config = plan(steps=60, lr=0.01, eval_every=5)
    extra = {"chars": "abc", "sizes": [1, 2.5, None]}
    run = trainer(config, data=TEXT[:12], folder=tmp_path, extra=extra).run()
    best, last = (load_checkpoint(tmp_path / name) for name in ("best.pt", "last.pt"))
    step, loss = min(run.val_losses, key=lambda pair: pair[1])
    assert best["step"] == step < last["step"] == 60 and run.best_val == loss
    assert best["extra"] == last["extra"] == extra
    assert GPTConfig(**best["model_config"]) == SMALL
    assert TrainConfig(**best["train_config"]) == config
    model = gpt(seed=3)
    model.load_state_dict(best["model"])
    assert trainer(config, model)._val is not None
    again = trainer(config, model)
    again._prepare()
    assert again._evaluate() == loss
    assert read_log(tmp_path) == run.log


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer().run()
    assert not list(tmp_path.iterdir())


def test_extra_must_be_plain():
    with pytest.raises(ValueError, match="extra can't be kept"):
        trainer(extra={"tokenizer": object()})


@pytest.mark.parametrize("broken", ["save", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(broken, tmp_path, monkeypatch):
    content = {"model": {}, "model_config": {}, "train_config": {}, "extra": {}, "log": []}
    path = tmp_path / "last.pt"
    save_checkpoint(path, {**content, "step": 1})

    def fail(*args):
        if broken == "save":
            args[1].write(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch if broken == "save" else os, broken, fail)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, {**content, "step": 2})
    monkeypatch.undo()
    assert load_checkpoint(path)["step"] == 1
    save_checkpoint(path, {**content, "step": 3})
    assert load_checkpoint(path)["step"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


class Malicious:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("kind", ["torch", "pickle", "inside"])
def test_a_hostile_file_is_refused_and_nothing_runs(kind, tmp_path):
    target, path = tmp_path / "owned", tmp_path / "last.pt"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Malicious(target), protocol=2))
    elif kind == "torch":
        torch.save(Malicious(target), path)
    else:
        save_checkpoint(path, {"model": {"w": torch.zeros(2)}, "extra": {"x": Malicious(target)}})
    with pytest.raises(CheckpointError, match="nothing in it was run"):
        load_checkpoint(path)
    with pytest.raises(ValueError):
        trainer(folder=tmp_path, resume=True)
    assert not target.exists()
    # The trap does work: whoever reads it with trust is caught.
    torch.load(path, weights_only=False) if kind != "pickle" else pickle.loads(path.read_bytes())
    assert target.exists()


def test_a_truncated_file_is_refused(tmp_path):
    trainer(folder=tmp_path).run()
    whole = (tmp_path / "last.pt").read_bytes()
    for share in (0, 0.01, 0.3, 0.7, 0.99, 1 - 1 / len(whole)):
        (tmp_path / "cut.pt").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(CheckpointError, match="cut off"):
            load_checkpoint(tmp_path / "cut.pt")


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_checkpoint(path)
    path.write_text("To be, or not to be")
    with pytest.raises(CheckpointError, match="can't be read"):
        load_checkpoint(path)
    good = {"model": {}, "model_config": {}, "train_config": {}, "extra": {}, "log": [], "step": 1}
    for content in (gpt().state_dict(), [1, 2], torch.zeros(3), {**good, "format": "another"}):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=r"not a checkpoint of this course"):
            load_checkpoint(path)
    save_checkpoint(path, {**good, "step": "many"})
    with pytest.raises(CheckpointError, match=r"not a checkpoint of this course"):
        load_checkpoint(path)


def test_what_does_not_fit_is_named(tmp_path):
    trainer(folder=tmp_path).run()
    options = {"folder": tmp_path, "resume": True}
    with pytest.raises(CheckpointError, match=r"another model.*n_layer was 2 and is 3"):
        trainer(model=gpt(n_layer=3), **options)
    with pytest.raises(CheckpointError, match=r"another plan.*lr was 0.001 and is 0.002"):
        trainer(plan(lr=0.002), **options)
    saved = load_checkpoint(tmp_path / "last.pt")
    del saved["model"]["transformer.wte.weight"], saved["format"]
    save_checkpoint(tmp_path / "last.pt", saved)
    with pytest.raises(CheckpointError, match="doesn't fit this model"):
        trainer(**options)


@pytest.mark.parametrize("changed", ["training", "validation", "both"])
def test_a_resumed_run_needs_the_data_that_it_had(changed, tmp_path):
    trainer(folder=tmp_path).run()
    data, val = TEXT, TEXT[:100]
    if changed != "validation":
        data = data.flip(0)
    others = [val] if changed == "training" else [val.flip(0), TEXT[:99], None]
    what = "training and validation" if changed == "both" else changed
    for other in others:
        model = gpt(seed=2)
        with pytest.raises(CheckpointError, match=f"with other {what} data. Resume with the same"):
            trainer(model=model, data=data, val=other, folder=tmp_path, resume=True)
        assert torch.equal(model.lm_head.weight, gpt(seed=2).lm_head.weight), "it is as it was"
    run = trainer(data=TEXT.to(torch.uint8), val=TEXT[:100].int(), folder=tmp_path, resume=True)
    assert run.step == 30, "the same tokens as another kind of integer are the same data"


class Deep(Plain):
    """With modules in modules, so that some of them can be wrapped."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(V, V), nn.Tanh()) for _ in range(2))

    def forward(self, idx):
        x = self.table(idx)
        for layer in self.layers:
            x = layer(x)
        return x


def wrapped(kind: str) -> nn.Module:
    torch.manual_seed(3)
    model = Deep()
    compiled = functools.partial(torch.compile, backend="eager")
    if kind == "inside":
        model.layers[1][0] = compiled(model.layers[1][0])
        model.layers[0] = nn.DataParallel(model.layers[0])
        model.table = compiled(nn.DataParallel(model.table))
    if kind == "parallel":
        return nn.DataParallel(model)
    if kind == "compiled":
        return compiled(model)
    return compiled(nn.DataParallel(model)) if kind == "both" else model


KINDS = ["bare", "compiled", "parallel", "both", "inside"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapped_models_checkpoints_are_those_of_the_model(kind, tmp_path):
    expected = trainer(model=wrapped("bare")).run()
    stopped_at(21, PLAN, tmp_path, model=wrapped(kind))
    weights = load_checkpoint(tmp_path / "last.pt")["model"]
    assert list(weights) == list(Deep().state_dict())
    raw = torch.load(tmp_path / "last.pt", weights_only=True)
    assert list(raw["model"]) == list(weights), "the file itself has the names"
    Deep().load_state_dict(weights)
    for other in ("bare", kind):  # each goes on with what the other left
        run = trainer(model=wrapped(other), folder=tmp_path, resume=True)
        assert run.step == 16
    run.run()
    assert run.losses == pytest.approx(expected.losses, abs=1e-6)
    assert evaluate(run.model, TEXT) == pytest.approx(evaluate(expected.model, TEXT), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_files_with_the_names_of_wrappers_load(kind, tmp_path):
    trainer(model=wrapped("bare"), folder=tmp_path).run()
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    names = wrapped(kind).state_dict()
    saved["model"] = dict(zip(names, saved["model"].values(), strict=True))
    assert kind == "bare" or set(names) != set(Deep().state_dict())
    torch.save(saved, tmp_path / "last.pt")
    Deep().load_state_dict(load_checkpoint(tmp_path / "last.pt")["model"])
    for other in KINDS:
        assert trainer(model=wrapped(other), folder=tmp_path, resume=True).step == 30


def test_a_module_that_is_called_module_keeps_its_name(tmp_path):
    class Own(Plain):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(V, V)

        def forward(self, idx):
            return self.module(self.table(idx))

    for model in (Own(), torch.compile(Own(), backend="eager")):
        folder = tmp_path / type(model).__name__
        trainer(model=model, folder=folder).run()
        weights = load_checkpoint(folder / "last.pt")["model"]
        assert list(weights) == ["table.weight", "module.weight", "module.bias"]
        Own().load_state_dict(weights)
        assert trainer(model=Own(), folder=folder, resume=True).step == 30


# --- what goes wrong on the way -------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run(value, tmp_path):
    run = trainer(plan(log_every=5), folder=tmp_path)

    def spoil(t):
        if t.step == 18:
            t.model.transformer.wte.weight.data.fill_(value)

    run.on("step", spoil)
    with pytest.raises(FloatingPointError, match=r"The loss is .* at step 20: lower lr.*last.pt"):
        run.run()
    kept = load_checkpoint(tmp_path / "last.pt")
    assert kept["step"] == 16 and all(p.isfinite().all() for p in kept["model"].values())
    assert [row["step"] for row in read_log(tmp_path)] == [1, 5, 8, 10, 15, 16]


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    class Idle(Plain):
        def __init__(self):
            super().__init__()
            self.idle = nn.Parameter(torch.zeros(2))

    run = trainer(model=Idle(), folder=tmp_path)
    run.on("step", lambda t: t.step == 15 and t.model.idle.data.fill_(math.nan))
    with pytest.raises(
        FloatingPointError, match="A weight is no longer a finite number at step 16"
    ):
        run.run()
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 8


def test_ctrl_c_waits_for_the_step_and_keeps_it(tmp_path):
    whole = trainer(model=gpt(dropout=0.2)).run()
    handler = signal.getsignal(signal.SIGINT)
    for folder in (tmp_path, None):
        run = trainer(model=gpt(dropout=0.2), folder=folder)
        run.on("step", lambda t: t.step == 13 and os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt, match=r"Stopped after step 13; .* goes on"):
            run.run()
        assert signal.getsignal(signal.SIGINT) is handler
        assert not run.running
        if folder:
            run = trainer(model=gpt(seed=4, dropout=0.2), folder=folder, resume=True)
            assert run.step == 13
        run.run()
        assert same_each_time(run.log) == same_each_time(whole.log)


# --- kill -9 --------------------------------------------------------------------------------------


def _run_in_child(folder: Path, deadly: int) -> None:
    """Train, resuming; the process kills itself in its `deadly`-th operation on files."""
    torch.set_num_threads(1)
    countdown = itertools.count(1)

    def dangerous(module, name):
        real = getattr(module, name)

        def call(*args):
            if next(countdown) == deadly:
                if name == "save":  # half of the file is on the disk
                    real(*args)
                    args[1].truncate(args[1].tell() // 2)
                    args[1].flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        setattr(module, name, call)

    for module, name in ((torch, "save"), (os, "fsync"), (os, "replace")):
        dangerous(module, name)
    trainer_module.peak_flops = lambda device, precision: (
        1e12
    )  # measuring it takes longer than the run
    config = plan(steps=120, eval_every=7, log_every=2, lr=0.01)
    trainer(config, gpt(dropout=0.3), folder=folder, resume=True).run()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a POSIX system")
def test_killed_at_any_moment_a_run_goes_on_to_the_bit(tmp_path, root):
    """kill -9 while files are written, between them, and whenever; the log is the same in the end.

    Children are forked from one process that has imported torch, so that many can be killed.
    """
    context = forks(root, "test_07_checkpoint")

    def start(name: str, deadly: int = 0):
        child = context.Process(target=_run_in_child, args=(tmp_path / name, deadly))
        child.start()
        return child

    whole = start("whole")
    whole.join(60)
    assert whole.exitcode == 0
    kills = 0
    for deadly in range(1, 16):  # a checkpoint takes three operations, the log one
        child = start("killed", deadly)
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
        kills += 1
        if (tmp_path / "killed" / "last.pt").exists():
            load_checkpoint(tmp_path / "killed" / "last.pt")
    moments = random.Random(7)
    for _ in range(6):
        child = start("killed")
        time.sleep(moments.uniform(0.05, 0.4))
        child.kill()
        child.join(60)
        kills += child.exitcode == -signal.SIGKILL
    last = start("killed")
    last.join(60)
    assert last.exitcode == 0 and kills >= 15
    expected, log = read_log(tmp_path / "whole"), read_log(tmp_path / "killed")
    assert same_each_time(log) == same_each_time(expected) and log[-1]["step"] == 120
    mine, theirs = (load_checkpoint(tmp_path / run / "best.pt") for run in ("whole", "killed"))
    assert mine["step"] == theirs["step"]
    assert not list((tmp_path / "killed").glob("*.tmp"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_is_the_disks_error(tmp_path):
    (tmp_path / "last.pt.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / "last.pt", {"x": torch.zeros(100_000)})


def test_a_foreign_pickle_is_refused_without_torchs_warnings(tmp_path, recwarn):
    path = tmp_path / "last.pt"
    path.write_bytes(pickle.dumps({"x": 1}, protocol=4))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    assert not recwarn.list
