"""10.7 · What a run costs: operations, memory, the share of the peak that is reached, and hours."""

from functools import partial

from zerotohero.course.checks.gpt.shared import expect_slowly
from zerotohero.course.checks.gpt2._e10_7_wrong import (
    HOUR,
    bytes_a_device,
    flops_of,
    parameters_of,
    wrong_bytes,
    wrong_flops,
    wrong_hours,
    wrong_parameters,
    wrong_rates,
)
from zerotohero.course.exercise import NOTHING, Exercise, Wrong

bill = Exercise(
    number="10.7",
    title="What a run costs",
    difficulty=2,
    minutes=35,
    practises="an estimate from a few multiplications, before anything is started",
    answers=("model_costs", "state_bytes", "utilisation", "run_hours"),
    adapters="gpt2_runs",
    summary=(
        "Count a GPT-2's parameters, its operations for each token, and the bytes of its training. "
        "Then say how busy a machine was, and how long a run will take."
    ),
    statement="""
`model_costs(config: dict) -> dict[str, float]`

config has GPT-2's sizes: vocab_size V, block_size T, n_layer L, n_head and n_embd C. Its
parameters are a table of V tokens and one of T positions, C numbers each; L blocks; and a last
LayerNorm. A block has two LayerNorms and linear layers from C to 3C, from C to C, from C to 4C and
from 4C to C. Each linear layer has a bias, each LayerNorm a gain and a bias of C. The output layer
**is** the table of tokens, without a bias. Return `"parameters"`, how many there are, and
`"flops"`, the operations of training for **one token**:

- A parameter is one multiplication and one addition forward, and twice that backward. By custom
  biases and gains count like weights. The table of tokens counts, since it is the output layer; the
  positions are only looked up.
- Attention multiplies numbers that are no parameters: in each layer the query of a token meets T
  keys, and T weights meet their values, C channels in all heads together. Again that is forward,
  and twice as much backward. By custom the keys that the mask hides count, too.

`state_bytes(config: dict, half: bool, devices: int, shard: bool) -> dict[str, float]`

Return what the state of training takes on **each** of the devices, in bytes:

- `"weights"`: 4 for each parameter. If `half`, products are in bfloat16, and need a copy with 2
  bytes of each weight that is in a matrix: those of the linear layers and the table of tokens, but
  neither positions nor biases and gains.
- `"gradients"`: 4 for each parameter; twice that on several devices without `shard`, since there
  the gradients that travel need room as well.
- `"optimiser"`: AdamW keeps two averages for each parameter, of 4 bytes each.

If `shard`, each device has its share of weights, gradients and averages alone, 1/devices of them;
the copies for products it has as a whole.

`utilisation(flops: float, tokens_per_s: float, devices: int, peak: float) -> float`

Return the MFU, from 0 to 1: the operations a second that are the model's, as a share of what the
devices could do. `flops` are those of one token, as above; tokens_per_s is of all devices together,
and `peak` are the operations a second of one device.

`run_hours(flops: float, tokens: float, devices: int, peak: float, mfu: float) -> float`

Return the hours in which so many devices train on so many tokens, at that utilisation.

```python
config = dict(vocab_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768)
model_costs(config)                        # {"parameters": 124439808, "flops": 855166464}
state_bytes(config, True, 8, True)         # weights 309283968, gradients 62219904, optimiser twice
utilisation(855166464, 1.5e6, 8, 312e12)   # 0.514, eight A100
run_hours(855166464, 10e9, 8, 312e12, 0.5) # 1.90
```
""",
    hints=(
        "How many numbers has each layer, with its bias? Which of them is a token multiplied with, "
        "how often in a training step, and how many operations is that?",
        "A block has 12C² numbers in its matrices, 9C in their biases and 4C in its LayerNorms. "
        "Every multiplication is 2 operations forward and 4 backward, so 6 in all: for each "
        "parameter but the positions, and for the products of attention, of which a layer has 2 · "
        "C · T for a token.",
        "N = V·C + T·C + L·(12C² + 13C) + 2C; flops = 6·(N − T·C) + 12·L·C·T. In matrices are V·C "
        "+ L·12C². The MFU is flops · tokens_per_s / (devices · peak); the hours are flops · "
        "tokens / (devices · peak · mfu) / 3600.",
    ),
)


def _config(rng) -> dict:
    """Return sizes no two of which are alike, and none of which follows from another."""
    n_head = int(rng.integers(3, 7))
    return {
        "vocab_size": int(rng.integers(8_000, 60_000)),
        "block_size": int(rng.integers(200, 900)),
        "n_layer": int(rng.integers(7, 15)),
        "n_head": n_head,
        "n_embd": n_head * int(rng.choice([24, 40, 56])),
    }


def _entry(what: str, came, name: str):
    if not isinstance(came, dict):
        hint = NOTHING if came is None else None
        raise Wrong(f"{what}: expected a dict, got {came!r:.60}", hint)
    if name not in came:
        raise Wrong(f'{what}: "{name}" is missing, among {", ".join(map(repr, came))[:80]}')
    return came[name]


def _sizes(config: dict) -> str:
    return ", ".join(f"{name}={n}" for name, n in config.items())


def parameters_counted(given, got):
    for config, came in zip(given["configs"], got["found"], strict=True):
        what = f"model_costs({_sizes(config)})"
        wrong = partial(wrong_parameters, config)
        expect_slowly(
            f"{what}: parameters",
            _entry(what, came, "parameters"),
            parameters_of(config),
            wrong,
            tol=0,
        )


def flops_counted(given, got):
    for config, came in zip(given["configs"], got["found"], strict=True):
        what, wrong = f"model_costs({_sizes(config)})", partial(wrong_flops, config)
        flops = _entry(what, came, "flops")
        expect_slowly(f"{what}: flops", flops, flops_of(config), wrong, tol=1e-9)


for name, points, verdict in (
    ("parameters", 3, parameters_counted),
    ("operations for a token", 3, flops_counted),
):
    bill.case(
        name,
        points=points,
        adapter="costs_of",
        inputs=lambda rng: {"configs": [_config(rng) for _ in range(3)]},
    )(verdict)


def state_counted(given, got):
    config = given["config"]
    for run, came in zip(given["runs"], got["found"], strict=True):
        half, devices, shard = run
        what = f"state_bytes(config, half={half}, devices={devices}, shard={shard})"
        for part, want in bytes_a_device(config, *run).items():
            wrong = partial(wrong_bytes, part, config, *run)
            expect_slowly(f"{what}: {part}", _entry(what, came, part), want, wrong, tol=1e-5)


for name, points, runs in (
    ("memory of one device", 2, [[False, 1, False], [True, 1, False], [True, 1, True]]),
    (
        "memory of several devices, which share or don't",
        3,
        [[False, 4, False], [True, 8, False], [False, 8, True], [True, 4, True]],
    ),
):
    bill.case(
        name,
        points=points,
        adapter="bytes_of",
        inputs=lambda rng, runs=runs: {"config": _config(rng), "runs": runs},
    )(state_counted)


def _run(rng) -> list:
    """Return operations of a token, tokens a second, devices, their peak, and a share of it."""
    flops, share = float(rng.integers(10**8, 10**10)), float(rng.uniform(0.2, 0.6))
    devices, peak = int(rng.integers(3, 60)), float(rng.choice([125e12, 312e12, 989e12]))
    return [flops, share * devices * peak / flops, devices, peak, share]


@bill.case(
    "utilisation",
    points=2,
    adapter="rates_of",
    inputs=lambda rng: {"runs": [_run(rng)[:4] for _ in range(3)]},
)
def share_of_the_peak(given, got):
    for run, came in zip(given["runs"], got["found"], strict=True):
        flops, rate, devices, peak = run
        what = f"utilisation({flops:.4g}, {rate:.4g}, {devices}, {peak:.4g})"
        want = flops * rate / (devices * peak)
        expect_slowly(what, came, want, partial(wrong_rates, *run), tol=1e-6)


def _hours(rng) -> list:
    flops, _, devices, peak, share = _run(rng)
    days = float(rng.uniform(0.5, 20))
    return [flops, days * 24 * HOUR * devices * peak * share / flops, devices, peak, share]


@bill.case(
    "hours",
    points=2,
    adapter="hours_of",
    inputs=lambda rng: {"runs": [_hours(rng) for _ in range(3)]},
)
def hours_of_a_run(given, got):
    for run, came in zip(given["runs"], got["found"], strict=True):
        flops, tokens, devices, peak, share = run
        what = f"run_hours({flops:.4g}, {tokens:.4g}, {devices}, {peak:.4g}, {share:.3f})"
        want = flops * tokens / (devices * peak * share) / HOUR
        expect_slowly(what, came, want, partial(wrong_hours, *run), tol=1e-6)
