"""Lecture 07: the trainer: what a step computes, on what, how precisely, with how many."""

import base64
import functools
import json
import math
import os
import re
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from patience import patience
from small import (
    PLAN,
    TEXT,
    Plain,
    T,
    V,
    environment,
    forks,
    gpt,
    masked_rows,
    measures,
    plan,
    read_log,
    same_each_time,
    sgd,
    stopped_at,
    trainer,
)
from untyped import jaxtyping_off
from zerotohero.training import (
    Trainer,
    batches,
    evaluate,
    load_checkpoint,
    machine,
    update,
)
from zerotohero.training import trainer as trainer_module

# --- what a step computes -------------------------------------------------------------------------


@pytest.mark.parametrize("data", [TEXT, masked_rows()], ids=["text", "masked rows"])
def test_micro_batches_equal_one_batch(data, monkeypatch):
    """In float64 and with plain SGD, in which a wrong weight of a micro-batch would show."""
    monkeypatch.setattr(update, "configure_optimizers", sgd)
    runs = []
    for accumulate in (1, 2, 4):
        model = gpt().double()
        config = plan(batch_size=8, accumulate=accumulate, lr=0.1, log_every=1)
        run = trainer(config, model, data, data).run()
        runs.append((run.losses, nn.utils.parameters_to_vector(model.parameters())))
    for losses, weights in runs[1:]:
        assert losses == pytest.approx(runs[0][0], abs=1e-12)
        torch.testing.assert_close(weights, runs[0][1], rtol=0, atol=1e-12)


def test_the_masks_of_that_test_tell_a_mean_of_means_from_the_mean():
    X, Y = masked_rows()
    model = gpt().double()
    halves = [
        F.cross_entropy(model(X[i]).flatten(0, 1), Y[i].flatten()) for i in (slice(4), slice(4, 8))
    ]
    whole = F.cross_entropy(model(X[:8]).flatten(0, 1), Y[:8].flatten())
    assert abs(sum(halves) / 2 - whole) > 1e-6, (
        "Unequal masks should matter, or nothing was tested."
    )


def test_the_logged_loss_is_the_mean_over_the_batch(monkeypatch):
    seen = []
    rows = batches.Split.rows

    def spy(self, numbers):
        seen.append(rows(self, numbers))
        return seen[-1]

    monkeypatch.setattr(batches.Split, "rows", spy)
    model = gpt()
    run = trainer(plan(steps=1, warmup=0, batch_size=6), model, masked_rows(), None).run()
    ((x, y),) = seen
    assert x.shape == (1, 6, T)
    loss = F.cross_entropy(gpt()(x[0]).flatten(0, 1), y[0].flatten())
    assert run.losses == [pytest.approx(loss.item(), rel=1e-6)]


def test_rows_without_a_target_are_not_drawn():
    """Most rows of instruction data that was cut may have none; a mean over nothing is not 0."""
    X, Y = masked_rows()
    kept = torch.arange(len(Y)) == 17
    few = (X, Y.masked_fill(~kept[:, None], -100))
    run = trainer(plan(lr=1e-9), data=few, val=few).run()
    loss = F.cross_entropy(gpt()(X[kept]).flatten(0, 1), Y[kept].flatten()).item()
    assert run.losses == pytest.approx([loss] * len(run.losses), rel=1e-5)
    assert [v for _, v in run.val_losses] == pytest.approx([loss] * 4, rel=1e-5)
    assert evaluate(run.model, few) == pytest.approx(loss, rel=1e-5)
    # And all of those that have one can be.
    some = batches.Split(
        (X, Y.masked_fill(torch.arange(len(Y))[:, None] % 2 == 0, -100)), T, run.device
    )
    drawn = some.rows(some.draw(1000, 1))[0]
    assert {tuple(row) for row in drawn.tolist()} == {tuple(row) for row in X[1::2].tolist()}


def test_inputs_and_targets_are_neighbours():
    split = batches.Split(torch.arange(50), T, torch.device("cpu"))
    x, y = split.rows(torch.tensor([[0, 41]]))
    assert split.n_rows == 42 and x.shape == y.shape == (1, 2, T)
    assert torch.equal(y, x + 1) and y.max() == 49
    assert split.targets(torch.tensor([0, 41])) == 2 * T


MOVES = {
    *("view", "_to_copy", "slice", "split", "select", "unsqueeze", "detach", "alias", "clone"),
    *("expand", "_unsafe_view", "flatten", "reshape", "_reshape_alias", "lift_fresh"),
}


class NoUnsigned(TorchDispatchMode):
    """Refuses what torch 2.6 lacks for unsigned integers above a byte: all but to move them."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        if any(t.dtype in batches.SIGNED for t in tensors):
            name = func.overloadpacket.__name__
            assert name in MOVES, f"{name} is not implemented for {tensors[0].dtype}"
        return func(*args, **(kwargs or {}))


INTEGERS = [
    *(torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.uint64)
]


@pytest.mark.parametrize("kind", [*INTEGERS, np.uint16, np.int32, "memory-mapped"], ids=str)
def test_the_kind_of_integer_does_not_matter(kind, tmp_path):
    def converted(t):
        if isinstance(kind, torch.dtype):
            return t.to(kind)
        array = t.numpy().astype("uint16" if kind == "memory-mapped" else kind)
        if kind != "memory-mapped":
            return array
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.bin"
        array.tofile(path)
        return np.memmap(path, dtype="uint16", mode="r", shape=array.shape)

    text = torch.tensor([i * i % V for i in range(300)])
    rows = (text.view(-1, 5), text.flip(0).reshape(-1, 5))
    with NoUnsigned(), warnings.catch_warnings(action="error"):
        for data in (text, rows):
            short = converted(data) if data is text else tuple(map(converted, data))
            expected = trainer(plan(steps=8), data=data, val=data).run()
            run = trainer(plan(steps=8), data=short, val=short).run()
            assert same_each_time(run.log) == same_each_time(expected.log)
            assert evaluate(expected.model, short) == evaluate(expected.model, data)


def test_large_tokens_of_small_integers_are_themselves():
    """Tokens whose highest bit is set; and 156, which as a byte has the bits of -100."""
    model = Plain(70_000)
    model.table = nn.Embedding(70_000, 1)
    for dtype, tokens in ((torch.uint16, [65_436, 65_535, 7]), (torch.uint8, [156, 255, 7])):
        data = torch.tensor(tokens).repeat(10).to(dtype)
        pair = batches.check_data((data.view(-1, 3), data.view(-1, 3)), "data", model)
        split = batches.Split(pair, T, torch.device("cpu"))
        assert split.n_rows == 10 and split.targets(torch.tensor([0, 1])) == 6
        for t in split.rows(torch.tensor([4])):
            assert t.tolist() == [tokens] and t.dtype == torch.int64
        split = batches.Split(batches.check_data(data, "data", model), T, torch.device("cpu"))
        x, _ = split.rows(torch.tensor([3]))
        assert x[0, :3].tolist() == tokens
        batch = next(batches.windows(data, 3, 2, torch.device("cpu")))
        assert batch[0].tolist() == [tokens] * 2


def test_it_learns():
    data = torch.arange(400) * 3 % V  # each token tells the next
    config = plan(steps=150, lr=0.01, batch_size=8, eval_every=0)
    run = trainer(config, data=data, val=data).run()
    assert run.losses[0] == pytest.approx(math.log(V), abs=0.2)
    assert run.losses[-1] < 0.1 and run.best_val < 0.1
    assert evaluate(run.model, data) == pytest.approx(run.best_val, abs=0.02)


def test_batches_depend_on_seed_and_step_alone():
    torch.manual_seed(1)
    first = trainer(model=gpt(dropout=0.2)).run()
    torch.manual_seed(2)
    torch.rand(7)
    state = torch.get_rng_state()
    run = trainer(model=gpt(dropout=0.2))
    run.on("step", lambda _: torch.rand(3))  # a callback that draws numbers
    run.run()
    assert same_each_time(run.log) == same_each_time(first.log)
    assert torch.equal(torch.get_rng_state(), state), "The run has used up global random numbers."
    other = trainer(plan(seed=7), gpt(dropout=0.2)).run()
    assert other.losses != first.losses


def test_each_step_draws_other_rows_and_evaluations_the_same(monkeypatch):
    drawn = []
    draw = batches.Split.draw

    def spy(self, n, seed, *what):
        drawn.append((what, draw(self, n, seed, *what)))
        return drawn[-1][1]

    monkeypatch.setattr(batches.Split, "draw", spy)
    trainer().run()
    steps = [rows for what, rows in drawn if what[0] == "batch"]
    evals = [rows for what, rows in drawn if what[0] == "eval"]
    assert len(steps) == 30 and len({tuple(rows.tolist()) for rows in steps}) == 30
    assert len(evals) == 4 and all(torch.equal(rows, evals[0]) for rows in evals)


def test_dropout_differs_between_steps_and_micro_batches(monkeypatch):
    seeds = []
    monkeypatch.setattr(update, "seed_device", lambda device, seed: seeds.append(seed))
    trainer(plan(accumulate=2)).run()
    assert len(set(seeds)) == len(seeds) == 60


def test_the_host_waits_only_where_a_loss_is_logged(monkeypatch):
    monkeypatch.setattr(trainer_module, "peak_flops", lambda *_: 1e12)  # read once, where measured

    class Reads(TorchDispatchMode):
        n = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.n += func is torch.ops.aten._local_scalar_dense.default
            return func(*args, **(kwargs or {}))

    counts = []
    for steps in (10, 20):
        config = plan(steps=steps, log_every=1000, eval_every=0, optimizer="muon", accumulate=2)
        with Reads() as reads:
            trainer(config, data=masked_rows(), val=None).run()
        counts.append(reads.n)
    assert counts[0] == counts[1] > 0, "Ten steps more have read numbers from the device."


# --- evaluation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, T, T + 1, T + 2, 5 * T + 4])
def test_evaluate_takes_every_target_once(n):
    model, data = gpt(), TEXT[:n]
    losses = []
    for start in range(0, n - 1, T):
        chunk = data[start : start + T + 1]
        losses += F.cross_entropy(model(chunk[None, :-1])[0], chunk[1:], reduction="none").tolist()
    assert len(losses) == n - 1
    for batch_size in (1, 3, 64):
        loss = evaluate(model, data, batch_size=batch_size)
        assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_evaluate_passes_over_masked_targets_and_leaves_the_mode():
    X, Y = masked_rows()
    model = gpt(dropout=0.5).train()
    loss = evaluate(model, (X, Y), batch_size=7)
    assert model.training
    model.eval()
    expected = F.cross_entropy(model(X).flatten(0, 1), Y.flatten()).item()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert evaluate(model, (X, Y)) == pytest.approx(expected, rel=1e-5) and not model.training
    assert evaluate(model, (X, Y), precision="bf16") == pytest.approx(expected, abs=0.02)


# --- data that cannot work ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (torch.tensor([], dtype=torch.long), ValueError, "has 0 tokens, but 9 are needed"),
        (TEXT[:8], ValueError, "longer text or a smaller block_size"),
        (TEXT + 1, ValueError, "from 1 to 11, but the model knows 0 to 10"),
        (TEXT - 1, ValueError, "from -1"),
        (TEXT.float(), ValueError, "torch.float32"),
        (TEXT > 3, ValueError, "torch.bool"),
        (TEXT.view(30, 10), ValueError, "1-D"),
        (TEXT.tolist(), TypeError, "1-D tensor"),
        ("to be or not to be", TypeError, "1-D tensor"),
        ((TEXT, TEXT), ValueError, r"both must be \(N, T\)"),
        ((TEXT.view(-1, 6), TEXT.view(-1, 5)), ValueError, r"\(50, 6\) and targets of \(60, 5\)"),
        ((TEXT.view(-1, 10), TEXT.view(-1, 10)), ValueError, "cut the rows or raise block_size"),
        ((TEXT.view(-1, 5), TEXT.view(-1, 5) * 0 - 100), ValueError, "nothing to learn"),
        ((TEXT.view(-1, 5) * 0 - 100, TEXT.view(-1, 5)), ValueError, "from -100 to -100"),
        ((torch.empty(0, 5).long(), torch.empty(0, 5).long()), ValueError, "at least one row"),
    ],
)
def test_data_that_cannot_work_is_refused(data, error, words):
    for name in ("train_data", "val_data"):
        given = {"data": data} if name == "train_data" else {"val": data}
        with jaxtyping_off(), pytest.raises(error, match=words) as caught:
            trainer(**given)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_evaluate_refuses_what_it_cannot_evaluate():
    with pytest.raises(ValueError, match="1 tokens"):
        evaluate(gpt(), TEXT[:1])


def test_a_batch_must_be_shared_out_evenly(monkeypatch):
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "3",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "x",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"2 micro-batches for each of 3 processes.*multiple of 6"):
        trainer(plan(batch_size=8, accumulate=2))


# --- precision, compiler, rates -------------------------------------------------------------------


def test_precision_is_chosen_by_trying(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    for ratio, expected in ((5.0, "bf16"), (1.5, "fp32"), (0.1, "fp32")):
        rates = {torch.bfloat16: ratio, torch.float32: 1.0}
        monkeypatch.setattr(machine, "matmul_rate", lambda device, dtype, r=rates: r[dtype])
        assert machine.choose_precision(cpu) == expected
    monkeypatch.setattr(torch.cuda, "device", lambda device: warnings.catch_warnings())
    for has, expected in ((True, "bf16"), (False, "fp16")):
        # torch emulates what the hardware lacks, and says so only if asked.
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True, h=has: h or including_emulation,
        )
        assert machine.choose_precision(cuda) == expected
    assert machine.choose_precision(torch.device("mps")) == "fp32"


def test_a_rate_is_a_rate():
    # Between a slow laptop's and a large server's.
    assert 1e8 < machine.matmul_rate(torch.device("cpu"), torch.float32) < 1e14


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_as_well(precision):
    data = torch.arange(400) * 3 % V
    config = plan(steps=40, lr=0.02, batch_size=8, precision=precision, eval_every=0)
    run = trainer(config, data=data, val=data).run()
    assert run.best_val < 1.0 < run.losses[0]
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}


def test_a_half_precision_run_multiplies_in_it(monkeypatch):
    seen = set()
    linear = F.linear

    def spy(x, weight, bias=None):
        y = linear(x, weight, bias)
        seen.add(y.dtype)
        return y

    monkeypatch.setattr(F, "linear", spy)
    trainer(plan(steps=1, warmup=0, precision="bf16")).run()
    assert seen == {torch.bfloat16}


def test_a_resumed_run_keeps_the_precision_that_was_measured(tmp_path, monkeypatch):
    config = plan(precision="auto")
    monkeypatch.setattr(update, "choose_precision", lambda device: "bf16")
    whole = trainer(config).run()
    assert whole.precision == "bf16"
    stopped_at(17, config, tmp_path)
    monkeypatch.setattr(update, "choose_precision", lambda device: "fp32")
    resumed = trainer(config, folder=tmp_path, resume=True).run()
    assert resumed.precision == "bf16" and resumed.losses == whole.losses


def _compiled(folder):
    traced = []

    def backend(graph, inputs):
        traced.append(graph)
        return graph.forward

    torch.compile = functools.partial(torch.compile, backend=backend)
    models = [gpt(), gpt()]
    run = trainer(plan(compile=True), models[0], folder=folder).run()
    assert traced, "Nothing was compiled."
    expected = trainer(model=models[1]).run().losses
    assert max(abs(a - b) for a, b in zip(run.losses, expected, strict=True)) < 1e-5
    weights = load_checkpoint(folder / "last.pt")["model"]
    assert list(weights) == list(models[1].state_dict())
    assert run.model is models[0] and run.model(TEXT[None, :T]).shape == (1, T, V)


def test_a_compiled_run_leaves_the_model_as_it_is(tmp_path, root):
    """With torch's tracing, but without its C++ compiler, which takes a minute.

    In a process of its own, in which types aren't checked, because that can't be traced.
    """
    process = forks(root, "test_07_trainer").Process(target=_compiled, args=(tmp_path,))
    process.start()
    process.join(patience(60))
    assert process.exitcode == 0


def test_without_a_compiler_the_run_goes_on(monkeypatch):
    def broken(module):
        def call(*args):
            raise RuntimeError("No working C++ compiler found\nand a long story")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(UserWarning, match="doesn't work here .No working C.. compiler found.; the"):
        run = trainer(plan(compile=True)).run()
    assert run.losses == trainer().run().losses


@pytest.mark.slow
def test_the_real_compiler(root):
    """In a process of its own, in which types aren't checked: that can't be compiled."""
    script = textwrap.dedent("""
    import warnings
    from small import gpt, plan, trainer
    warnings.simplefilter("error", UserWarning)
    mine, theirs = (trainer(plan(compile=c), gpt()).run().losses for c in (True, False))
    assert max(abs(a - b) for a, b in zip(mine, theirs, strict=True)) < 1e-4, (mine, theirs)
    """)
    subprocess.run([sys.executable, "-c", script], env=environment(root), check=True)


def test_mfu_is_the_share_of_the_peak(monkeypatch):
    monkeypatch.setattr(trainer_module, "peak_flops", lambda device, precision: 1e12)
    run = trainer().run()
    for row in run.log:
        flops = row["tokens_per_s"] * run.model.flops_per_token()
        assert row["mfu"] == pytest.approx(flops / 1e12)
    assert run.log[-1]["seconds"] == run.seconds > 0
    tokens = sum(
        (b["step"] - a) * 4 * T / b["tokens_per_s"]
        for a, b in zip([0, *(row["step"] for row in run.log)], run.log, strict=False)
    )
    assert tokens * 1.0 == pytest.approx(run.seconds), "Rates and seconds contradict each other."


def test_peaks_are_found_by_the_gpus_name(monkeypatch):
    cuda = torch.device("cuda", 0)
    monkeypatch.setattr(machine, "matmul_rate", lambda device, dtype: 5.0)
    for name, peak in {
        "NVIDIA H100 80GB HBM3": 989e12,
        "NVIDIA A100-SXM4-40GB": 312e12,
        "Tesla T4": 65e12,
        "NVIDIA L4": 121e12,
        "NVIDIA L40S": 5.0,  # not the L4
        "NVIDIA GeForce RTX 4090": 165e12,
    }.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, n=name: n)
        assert machine.peak_flops(cuda, "bf16") == peak


def test_the_bar_says_what_is_reached(monkeypatch, capsys):
    bars = []

    class Bar(trainer_module.tqdm):
        said = ""

        def set_postfix_str(self, s="", refresh=True):
            self.said = s

        def close(self):
            bars.append((self.n, self.total, self.disable, self.said))
            super().close()

    monkeypatch.setattr(trainer_module, "tqdm", Bar)
    monkeypatch.setattr(trainer_module, "peak_flops", lambda device, precision: 1e12)
    trainer(progress=True).run()
    (n, total, disabled, said), *_ = bars
    assert (n, total, disabled) == (30, 30, False)
    assert re.fullmatch(r"loss 2\.\d\d, val 2\.\d\d, [\d.]+k? tokens/s, MFU \d+%", said), said
    capsys.readouterr()
    trainer().run()
    assert capsys.readouterr() == ("", "")


def test_any_module_with_sizes_can_be_trained():
    run = trainer(model=Plain()).run()
    assert run.log[-1]["mfu"] is None and math.isfinite(run.best_val)
    with pytest.raises(TypeError, match="config"):
        trainer(model=nn.Linear(2, 2))


# --- measures -------------------------------------------------------------------------------------


def test_measures_stand_in_the_log_of_every_nth_evaluation_and_the_last(tmp_path):
    seen = []

    def asked(model):
        seen.append((model.training, torch.is_grad_enabled()))
        torch.rand(5)  # another's random numbers are none of the run's
        return len(seen)

    model = gpt(dropout=0.2)
    config = plan(measure_every=2)
    options = {"measures": measures() | {"asked": asked}, "folder": tmp_path / "run"}
    run = trainer(config, model, **options).run()
    at = [row["step"] for row in run.log if "asked" in row]
    assert at == [16, 30] and [row["asked"] for row in run.log if "asked" in row] == [1, 2]
    assert seen == [(False, False)] * 2 and model.training
    assert read_log(tmp_path / "run") == run.log
    assert run.losses == trainer(plan(), gpt(dropout=0.2)).run().losses
    by_hand = measures()["size"](model.eval())
    assert run.log[-1]["size"] == pytest.approx(by_hand, rel=1e-5)
    half = trainer(plan(precision="bf16", steps=8), gpt(), measures=measures()).run()
    whole = trainer(plan(precision="fp32", steps=8), gpt(), measures=measures()).run()
    assert half.log[-1]["size"] != whole.log[-1]["size"], "Measured in another precision."


def test_what_cannot_be_a_measure_is_refused():
    with pytest.raises(ValueError, match="can't be called 'loss'"):
        trainer(measures={"loss": lambda model: 1.0})
    with pytest.raises(TypeError, match=r"'where' returned tensor.*must be a number or a text"):
        trainer(measures={"where": lambda model: torch.zeros(2)}).run()


# --- events ---------------------------------------------------------------------------------------


def test_events_come_in_their_places():
    heard = []
    run = trainer(callbacks=[lambda t: heard.append(("callback", t.step, t.running))])
    for event in ("step", "log", "eval", "end"):
        run.on(event, lambda t, e=event: heard.append((e, t.step)))
    assert run.run() is run
    assert [s for e, s, *_ in heard if e == "step"] == list(range(1, 31))
    logged = [1, 3, 6, 8, 9, 12, 15, 16, 18, 21, 24, 27, 30]
    assert [s for e, s, *_ in heard if e == "log"] == logged
    assert [s for e, s, *_ in heard if e == "eval"] == [8, 16, 24, 30]
    assert [h[1:] for h in heard if h[0] == "callback"] == [
        *((s, True) for s in logged),
        (30, False),
    ]
    assert heard[-1] == ("end", 30)
    assert [step for step, _ in run.val_losses] == [8, 16, 24, 30]
    with pytest.raises(ValueError, match="step, log, eval, end"):
        run.on("batch", print)


def test_the_model_is_in_training_mode_only_while_it_trains():
    model = gpt().eval()
    modes = []
    run = trainer(model=model)
    run.on("step", lambda t: modes.append(t.model.training))
    run.run()
    assert all(modes) and not model.training


def modes(model: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def test_what_was_frozen_in_eval_mode_stays_so():
    model = gpt(dropout=0.5).train()
    frozen = model.transformer.h[0].eval()
    before, heard = modes(model), []
    run = trainer(plan(steps=8), model, val=TEXT)
    run.on("step", lambda t: heard.append(modes(t.model)))
    run.run()
    assert heard == [before] * 8 and not frozen.training
    assert sorted(set(before.values())) == [False, True] and modes(model) == before
    evaluate(model, TEXT)
    model.generate(TEXT[None, :3], 2)
    model.attention_maps(TEXT[None, :3])
    assert modes(model) == before

    model.eval().transformer.drop.train()  # the other way round, as for guesses with dropout
    before = modes(model)
    evaluate(model, TEXT)
    trainer(plan(steps=8), model).run()
    assert modes(model) == before


def test_after_an_error_the_modes_are_what_they_were():
    model = gpt().train()
    model.transformer.h[1].eval()
    before = modes(model)
    run = trainer(model=model)
    run.on("step", lambda t: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.run()
    assert modes(model) == before


# --- several processes ----------------------------------------------------------------------------

SHARD = {"shard": True}
STEADY = {"schedule": "constant"}  # so that more steps don't change the rates of those before
RUNS = {  # in two processes: data, changes of the plan, what may differ from one process
    "rows": (masked_rows(), {"accumulate": 2}, 1e-6),
    "shards": (masked_rows(), SHARD | STEADY | {"accumulate": 2, "grad_clip": 0.1}, 1e-6),
    "muon": (TEXT, SHARD | {"optimizer": "muon", "precision": "fp16"}, 1e-3),  # three digits
}

STEPS, EARLY = 20, 8  # the latter where the log has a row in any case


def two(**changes):
    return plan(batch_size=8, **{"steps": STEPS, **changes})


def _one_of_two(folder, rank, world):
    """What each of the two processes does."""
    os.environ |= world | {"RANK": rank, "LOCAL_RANK": rank}
    syncs = []
    no_sync = DistributedDataParallel.no_sync

    def spy(self):
        syncs.append(1)
        return no_sync(self)

    DistributedDataParallel.no_sync = spy
    for name, (data, changes, _) in RUNS.items():
        del syncs[:]
        heard, parts = [], []
        # Only the first process's weights count.
        model = gpt(seed=int(rank))
        config = two(**changes)
        options = {"folder": folder / name, "measures": measures()}
        run = trainer(config, model, data, data, **options)
        run.on("log", lambda t, heard=heard: heard.append(t.step))
        run.on("step", lambda t, parts=parts: parts.append(set(map(type, t._update.params))))
        run.run()
        micro = 0 if config.shard else config.accumulate - 1
        assert run.world == 2 and len(syncs) == STEPS * micro, syncs
        assert bool(heard) == (run.rank == 0), "Only the first process speaks."
        if config.shard and run.rank == 0:
            assert parts == [{DTensor}] * STEPS, "Not all weights are in parts."
        assert {type(p) for p in model.parameters()} == {torch.nn.Parameter}
        assert not dist.is_initialized(), "The process group is left behind."
        (folder / f"{name}{run.rank}.json").write_text(json.dumps(run.log))
        weights = torch.nn.utils.parameters_to_vector(model.parameters())
        torch.save(weights.detach(), folder / f"{name}{run.rank}.weights")

    # A run of one process goes on in two, which shard it; and one of two will go on in one.
    data, changes, _ = RUNS["shards"]
    for name, steps in (("of one", STEPS), ("of two", EARLY)):
        config = two(**changes | {"steps": steps})
        trainer(config, gpt(), data, data, folder=folder / name, resume=True).run()

    # Each finds the loss that is no number, and none is left waiting for the other.
    for shard in (False, True):
        model = gpt()
        model.transformer.wte.weight.data.fill_(float("nan"))
        try:
            trainer(two(shard=shard), model).run()
        except FloatingPointError:
            (folder / f"refused{shard}{run.rank}").touch()
        assert not dist.is_initialized()


def test_two_processes_do_what_one_does(tmp_path, root):
    """Each with the whole model, or each with its part; and one can go on where two stopped."""
    shards, changes, _ = RUNS["shards"]
    early = two(**changes | {"steps": EARLY})
    trainer(early, data=shards, val=shards, folder=tmp_path / "of one").run()
    # They are told what torchrun tells them, which would be a third process that imports torch.
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": "2"}
    world |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    context = forks(root, "test_07_trainer")
    both = [context.Process(target=_one_of_two, args=(tmp_path, rank, world)) for rank in "01"]
    for process in both:
        process.start()
    try:
        for process in both:
            process.join(patience(60))
            assert process.exitcode == 0
    finally:
        for process in both:
            process.kill()
    assert len(list(tmp_path.glob("refused*"))) == 4
    for name, (data, changes, apart) in RUNS.items():
        config = two(**changes)
        one = trainer(config, data=data, val=data, measures=measures()).run()
        for rank in (0, 1):
            log = json.loads((tmp_path / f"{name}{rank}.json").read_text())
            assert same_losses(log, one, apart)
            sizes = [row.get("size") for row in log]
            assert sizes == [pytest.approx(row.get("size"), abs=apart) for row in one.log]
            if apart < 1e-5:  # else another token may come once
                assert [row.get("text") for row in log] == [row.get("text") for row in one.log]
        both = [torch.load(tmp_path / f"{name}{rank}.weights") for rank in (0, 1)]
        assert torch.equal(*both), "The processes' weights have drifted apart."
        assert read_log(tmp_path / name)[-1]["step"] == STEPS
        kept = load_checkpoint(tmp_path / name / "last.pt")
        kept = [kept["model"][key].flatten() for key, _ in one.model.named_parameters()]
        assert torch.equal(torch.cat(kept), both[0]), "The checkpoint isn't whole."
        if name == "shards":
            for folder in ("of one", "of two"):
                it = trainer(config, gpt(3), data, data, folder=tmp_path / folder, resume=True)
                assert it.step == (STEPS if folder == "of one" else EARLY)
                assert same_losses(it.run().log, one, apart), folder


def same_losses(log: list[dict], run: Trainer, apart: float) -> bool:
    vals = [(row["step"], row["val_loss"]) for row in log if row["val_loss"] is not None]
    assert [row["step"] for row in log] == [row["step"] for row in run.log]
    assert [row["loss"] for row in log] == pytest.approx(run.losses, abs=apart)
    assert vals == [(step, pytest.approx(loss, abs=apart)) for step, loss in run.val_losses]
    return True


# --- on a GPU -------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_a_step_on_a_gpu_never_waits():
    run = trainer(plan(precision="auto", optimizer="muon", accumulate=2), device="cuda")
    forward = run._prepare()
    run._update(forward, 0)  # the first one allocates
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            run._update(forward, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_training_on_a_gpu(tmp_path):
    data = torch.arange(400) * 3 % V
    config = plan(steps=150, lr=0.01, batch_size=8, precision="auto")
    run = trainer(config, data=data, val=data, device="cuda", folder=tmp_path).run()
    assert run.best_val < 0.1 and run.precision in ("bf16", "fp16")
    assert all(0 < row["mfu"] < 1 for row in run.log)


# --- the live curve -------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    from zerotohero.course.widgets import training

    displayed = []
    monkeypatch.setattr(training, "display", lambda what, **_: displayed.append(what))
    return training, displayed


def test_the_curve_is_drawn_once_a_second_and_at_the_end(shown, monkeypatch):
    training, displayed = shown
    now = [0.0]
    monkeypatch.setattr(training.time, "perf_counter", lambda: now[0])
    curve = training.LiveCurve()
    drawn = []
    picture = curve.picture
    monkeypatch.setattr(curve, "picture", lambda t: drawn.append(t.step) or picture(t))

    class Run:
        config, running = PLAN, True
        step, log, losses, val_losses = 0, [], [], []

    run = Run()
    for run.step in range(1, 31):
        run.log = [*run.log, {"step": run.step}]
        run.losses = [*run.losses, 1 / run.step]
        now[0] += 0.3
        curve(run)
    assert drawn == [1, 5, 9, 13, 17, 21, 25, 29]
    assert len(displayed) == 1 and displayed[0].format == "png"
    assert bytes(displayed[0].value) == curve.png
    run.running, run.val_losses = False, [(30, 0.5)]
    closed = []
    monkeypatch.setattr(type(displayed[0]), "close", lambda self: closed.append(self))
    curve(run)
    assert drawn[-1] == 30 and curve.widget is None and closed == [displayed[0]]
    last = base64.b64decode(displayed[1]["image/png"])
    assert last == curve.png, "The picture that stays is not the last one."
    assert "step 30 of 30" in displayed[1]["text/plain"]


def test_the_curve_of_a_real_run(shown):
    training, displayed = shown
    curve = training.LiveCurve()
    run = trainer(callbacks=[curve]).run()
    last = base64.b64decode(displayed[-1]["image/png"])
    assert curve.png.startswith(b"\x89PNG") and last == curve.png
    axes = curve._figure.axes[0]
    train_line, val_line = axes.lines
    assert list(train_line.get_ydata()) == run.losses
    assert list(zip(*val_line.get_data(), strict=True)) == run.val_losses
    assert "step" in axes.get_xlabel() and "loss" in axes.get_ylabel()
    assert re.search(r"step 30 of 30 · training loss \d\.\d+ · validation", axes.get_title())
    assert len(curve._figure.axes) == 1
    measured = training.LiveCurve()
    run = trainer(callbacks=[measured], measures=measures()).run()
    (line,) = measured._figure.axes[1].lines
    assert list(zip(*line.get_data(), strict=True)) == [
        (row["step"], row["size"]) for row in run.log if "size" in row
    ]
    assert measured._figure.axes[1].get_ylabel() == "size", "A text has no place in a curve."
    again = training.LiveCurve()
    trainer(val=None, callbacks=[again]).run()
    assert len(again._figure.axes[0].lines) == 1


def test_a_mixed_up_call_is_told_what_goes_where():
    good = trainer()
    with jaxtyping_off():
        with pytest.raises(TypeError, match=r"in this order, not a .* and a TrainConfig first"):
            Trainer(good.model, good.config, torch.zeros(100, dtype=torch.long))
        for wrong in ([3], "print"):
            with pytest.raises(TypeError, match="can't be a callback"):
                trainer(callbacks=wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_not_replaced_in_silence():
    with pytest.raises(ValueError, match="no CUDA device here"):
        trainer(device="cuda")
