"""10.4 · Which weights decay, and a learning rate that rises, falls as a cosine, and stays."""

import math

from zerotohero.course.checks.gpt2._e10_4_rates import known_rates, rates
from zerotohero.course.exercise import Exercise, Wrong, expect_that, number

schedule = Exercise(
    number="10.4",
    title="Decay and schedule",
    difficulty=2,
    minutes=30,
    practises="edges of a schedule, and sorting what a model holds",
    answers=("decay_groups", "rate"),
    summary=(
        "Sort a model's parameters into those that decay and those that don't. Then compute the "
        "learning rate of each step, from the first of the warm-up to the last and beyond."
    ),
    statement="""
`decay_groups(model: nn.Module, weight_decay: float) -> list[dict]`

Two groups, as `torch.optim.AdamW` takes them, each a dict with `"params"`, a list of parameters,
and `"weight_decay"`, a number: first the group that decays, by `weight_decay`, then the one that
doesn't, by 0.

1. Those with **two axes or more** decay: matrices, tables, and whatever has more. Those with one
   axis or none don't: biases, the weights of LayerNorms, single numbers. Names and kinds of layers
   don't matter.
2. A parameter that is frozen (`requires_grad` is False) is in neither group.
3. A parameter that is tied, and so has two names, is there once.
4. Both groups are always there, even if one is empty.

`rate(step: int, steps: int, warmup: int, lr: float, min_lr: float) -> float`

The learning rate of update number `step`, counted from 0, in a run of `steps` updates, the first
`warmup` of which are the warm-up:

5. In the warm-up it rises by equal amounts: it is lr / warmup in the **first** step, even if that
   is below min_lr, and lr in the **last** of the warm-up, step warmup − 1.
6. Then it falls along half a cosine wave, from lr at step warmup to min_lr at step `steps`: halfway
   between these two it is the mean of lr and min_lr, and in the last update, step steps − 1, it is
   not quite min_lr.
7. At step `steps` and at **any later** one it is min_lr.
8. warmup may be 0, and it may be as large as `steps`.

```python
optimizer = torch.optim.AdamW(decay_groups(model, 0.1), lr=6e-4)
[rate(step, 6, 2, 1.0, 0.1) for step in range(8)]
# [0.5, 1, 1, 0.8682, 0.55, 0.2318, 0.1, 0.1]
```
""",
    hints=(
        "What tells a bias and a LayerNorm's weight from a matrix, whatever they are called? And "
        "which of the three parts of the schedule does a step belong to, if `warmup` or what "
        "follows it has no steps?",
        "`p.ndim`, and `model.parameters()`, which has a tied parameter once. For the cosine: how "
        "much of the way from warmup to steps is done, from 0 to 1, and the factor "
        "(1 + cos(π · done)) / 2, from 1 to 0, of the distance lr − min_lr.",
        "`trained = [p for p in model.parameters() if p.requires_grad]`, and `p.ndim >= 2`. In "
        "`rate`, in this order: `if step < warmup: return lr * (step + 1) / warmup`; `if step >= "
        "steps: return min_lr`; `done = (step - warmup) / (steps - warmup)`; `return min_lr + "
        "(lr - min_lr) * 0.5 * (1 + math.cos(math.pi * done))`.",
    ),
)

# --- decay_groups -------------------------------------------------------------------------------

GROUP_CRASHES = {
    "KeyError: '?params": 'Each group is a dict with "params" and "weight_decay".',
    "KeyError: '?weight_decay": "Each group has a weight_decay, and that of the second is 0: "
    "without one AdamW takes its own, 0.01.",
    "and holds a (tuple|list)": "Pairs of a name and a parameter stand there, as "
    "`named_parameters()` gives them: of each pair take the parameter alone.",
    "and holds a str": "Names stand there: hand over the parameters themselves.",
    "not iterable": '"params" is a list of parameters.',
}
NO_DECAY = "The second group doesn't decay: its weight_decay is 0, whatever is passed."
FROZEN = (
    "A frozen parameter has no gradient, and yet AdamW would be told to decay it: leave it out."
)
TWICE = (
    "`model.modules()`, `state_dict()` and `remove_duplicate=False` show a tied parameter under "
    "each of its names; `model.parameters()` has it once."
)


def _plain(rng) -> dict:
    """Return a model as a list of parameters: name, shape, and whether it is trained."""
    C, V, n = int(rng.integers(3, 6)), int(rng.integers(7, 10)), int(rng.integers(2, 4))
    parameters = [["wte.weight", [V, C], True], ["wpe.weight", [V + 3, C], True]]
    for i in range(n):
        parameters += [
            [f"h.{i}.ln_1.weight", [C], True],
            [f"h.{i}.ln_1.bias", [C], True],
            [f"h.{i}.attn.c_attn.weight", [3 * C, C], True],
            [f"h.{i}.attn.c_attn.bias", [3 * C], True],
        ]
    parameters += [["ln_f.weight", [C], True], ["ln_f.bias", [C], True]]
    return {"models": [_model(rng, parameters)]}


def _model(rng, parameters: list, ties: dict | None = None) -> dict:
    decay = round(float(rng.uniform(0.05, 0.4)), 4)
    return {"parameters": parameters, "ties": ties or {}, "weight_decay": decay}


def _unusual(rng) -> dict:
    """Return models with parameters whose names say something else, frozen and tied ones."""
    C, V = int(rng.integers(3, 6)), int(rng.integers(7, 10))
    odd = [
        ["wte.weight", [V, C], True],
        ["attn.relative_bias", [2, 9], True],
        ["attn.temperature", [], True],
        ["conv.weight", [C, C, 3], True],
        ["conv.bias", [C], True],
        ["norm.gain.weight", [C], True],
        ["ln_mix.weight", [C, C], True],
        ["one.weight", [1, C], True],
    ]
    frozen = [
        ["wte.weight", [V, C], True],
        ["wpe.weight", [V, C], False],
        ["mlp.weight", [C, C], True],
        ["mlp.bias", [C], False],
        ["ln_f.weight", [C], True],
    ]
    matrices = [["wte.weight", [V, C], True], ["head.weight", [V, C], True]]
    vectors = [["scale", [], True], ["shift", [C], True]]
    return {
        "models": [
            _model(rng, odd),
            _model(rng, frozen, {"head.weight": "wte.weight"}),
            _model(rng, matrices),
            _model(rng, vectors),
        ]
    }


def groups_of_all(given: dict, got: dict) -> None:
    for model, reply in zip(given["models"], got["models"], strict=True):
        trained = {name: len(shape) for name, shape, on in model["parameters"] if on}
        frozen = {name for name, _, on in model["parameters"] if not on}
        groups, decay = reply["groups"], model["weight_decay"]
        what = f"decay_groups(model, {decay:g}), a model with {len(trained)} trained parameters"
        expect_that(
            len(groups) == 2,
            f"{what}: expected two groups, got {len(groups)}",
            "Both groups are there, even if one is empty." if len(groups) < 2 else None,
        )
        want = [
            [n for n, axes in trained.items() if (axes >= 2) == first] for first in (True, False)
        ]
        names = [group["names"] for group in groups]
        for place, group in enumerate(groups):
            expect_that(
                group["kind"] == "list",
                f'{what}: group {place}: "params" is a {group["kind"]}, and the card says a list',
                "`[p for p in …]` makes a list of what can be gone through.",
            )
        decays = [number(f'{what}: "weight_decay"', g["weight_decay"]) for g in groups]
        turned = sorted(names[0]) == sorted(want[1]) and decays[0] == 0
        expect_that(
            not (turned and sorted(names[1]) == sorted(want[0])) or names[0] == names[1],
            f"{what}: the groups stand in the other order",
            "First the group that decays.",
        )
        for place, (of_group, right) in enumerate(zip(decays, (decay, 0.0), strict=True)):
            expect_that(
                abs(of_group - right) < 1e-12,
                f"{what}: group {place}: expected weight_decay {right:g}, got {of_group:g}",
                NO_DECAY if place else None,
            )
        for place, mine in enumerate(names):
            _sorted_right(f"{what}: group {place}", mine, place == 0, trained, frozen)
        for place, mine in enumerate(names):
            lost = [name for name in want[place] if name not in mine]
            expect_that(
                not lost,
                f"{what}: group {place} lacks {', '.join(lost[:3])}",
                "In neither group: AdamW would never change it.",
            )


def _sorted_right(what: str, mine: list, decays: bool, trained: dict, frozen: set) -> None:
    """Expect of each name in a group that it belongs there, and is there once."""
    for name in mine:
        expect_that(
            name != "",
            f"{what} holds a tensor that is no parameter of the model",
            "Hand over the parameters themselves: what AdamW writes into a copy, or into `.data`, "
            "the model's gradients don't reach.",
        )
        expect_that(name not in frozen, f"{what}: {name} is frozen", FROZEN)
        expect_that(
            mine.count(name) == 1, f"{what}: {name} is there {mine.count(name)} times", TWICE
        )
        axes = trained[name]
        if (axes >= 2) == decays:
            continue
        hint = "The number of axes decides, whatever the parameter is called."
        if axes == 1 and decays and name.endswith("bias"):
            hint = "A bias has one axis, and doesn't decay."
        elif axes == 1 and decays:
            hint = "A LayerNorm's weight is no matrix: it has one axis, and doesn't decay."
        elif axes == 0 and decays:
            hint = "A single number has no axis, and doesn't decay."
        elif name in ("wte.weight", "wpe.weight"):
            hint = "A table has two axes, and decays as the matrices do."
        elif axes == 3:
            hint = "Three axes are more than one: it decays."
        axis = "no axis" if axes == 0 else "one axis" if axes == 1 else f"{axes} axes"
        raise Wrong(f"{what}: {name} with {axis} doesn't belong there", hint)


schedule.case(
    "matrices, tables and the rest",
    points=2,
    adapter="grouped",
    inputs=_plain,
    crashes=GROUP_CRASHES,
)(groups_of_all)
schedule.case(
    "odd names, frozen and tied ones",
    points=3,
    adapter="grouped",
    inputs=_unusual,
    crashes=GROUP_CRASHES,
)(groups_of_all)


# --- rate ---------------------------------------------------------------------------------------

RATE_CRASHES = {
    "ZeroDivisionError": "warmup may be 0, and steps − warmup, too: ask first which part of the "
    "schedule the step is in, and divide then.",
}


def _run(rng) -> dict:
    warmup = int(rng.integers(5, 10))
    lr = round(float(rng.uniform(3e-4, 9e-4)), 6)
    return {
        "steps": warmup + 4 * int(rng.integers(5, 9)),
        "warmup": warmup,
        "lr": lr,
        "min_lr": round(lr * float(rng.uniform(0.05, 0.3)), 7),
    }


def _asked(run: dict, steps) -> dict:
    return {"asked": [run | {"step": int(step)} for step in steps]}


def _warming(rng) -> dict:
    """Return the steps of a warm-up that begins below min_lr."""
    run = _run(rng)
    run["min_lr"] = round(run["lr"] * float(rng.uniform(0.3, 0.5)), 7)
    return _asked(run, range(run["warmup"]))


def _falling(rng) -> dict:
    run = _run(rng)
    return _asked(run, range(run["warmup"], run["steps"]))


def _ended(rng) -> dict:
    run = _run(rng)
    n = run["steps"]
    return _asked(run, [n - 5, n - 2, n - 1, n, n + 1, n + 7, 2 * n, 2 * n - run["warmup"], 10 * n])


def _edges(rng) -> dict:
    run = _run(rng)
    n = run["warmup"] + 3
    asked = _asked(run | {"warmup": 0}, [0, 1, run["steps"] - 1])["asked"]
    asked += _asked(run | {"warmup": n, "steps": n}, [0, n - 1, n, n + 1])["asked"]
    asked += _asked(run | {"warmup": 1, "steps": 2}, [0, 1, 2])["asked"]
    return {
        "asked": asked + _asked(run | {"min_lr": 0.0}, [run["steps"] - 1, run["steps"]])["asked"]
    }


def rates_of_the_steps(given: dict, got: dict) -> None:
    asked = given["asked"]
    mine = [number(_call(one), came) for one, came in zip(asked, got["rates"], strict=True)]
    hint = known_rates(asked, mine)
    for one, came, want in zip(asked, mine, rates(asked), strict=True):
        expect_that(
            math.isclose(came, want, rel_tol=1e-6, abs_tol=1e-9 * one["lr"]),
            f"{_call(one)}: expected {want:.6g}, got {came:.6g}",
            hint,
        )


def _call(one: dict) -> str:
    return "rate({step}, {steps}, {warmup}, {lr:g}, {min_lr:g})".format(**one)


for case_name, points, inputs in (
    ("the warm-up, from its first step to its last", 1, _warming),
    ("the cosine, to the last step", 2, _falling),
    ("the last step, and after it", 1, _ended),
    ("no warm-up, and nothing else", 1, _edges),
):
    schedule.case(case_name, points=points, adapter="rated", inputs=inputs, crashes=RATE_CRASHES)(
        rates_of_the_steps
    )
