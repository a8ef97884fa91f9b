"""One training step of the 2-16-16-1 MLP on 100 moons: ours against the package `micrograd`.

    python benchmarks/micrograd_step.py

Both do the same in one run, turn by turn: scores of 100 points, max-margin loss with L2, backward,
gradient descent. Prints the medians and their ratio; exits with 1 when the ratio is above 1/3 or
the losses differ by more than 1e-9.
"""

import random
import statistics
import sys
import time

import micrograd.engine
import micrograd.nn

import zerotohero.micrograd

TARGET = 1 / 3
STEPS = 5


def step(model, make_value, points, labels, rate=0.5) -> float:
    """Do one step; written once for both libraries, as only the classes differ."""
    inputs = [list(map(make_value, point)) for point in points]
    scores = list(map(model, inputs))
    losses = [(1 + -y * score).relu() for y, score in zip(labels, scores, strict=True)]
    data_loss = sum(losses) * (1.0 / len(losses))
    loss = data_loss + 1e-4 * sum(p * p for p in model.parameters())
    model.zero_grad()
    loss.backward()
    for p in model.parameters():
        p.data -= rate * p.grad
    return loss.data


def main() -> int:
    points, labels = zerotohero.micrograd.moons(100, random.Random(1337))
    sides = {
        "micrograd": (micrograd.nn.MLP, micrograd.engine.Value),
        "zerotohero": (zerotohero.micrograd.MLP, zerotohero.micrograd.Value),
    }
    models, seconds, losses = {}, {name: [] for name in sides}, {name: [] for name in sides}
    for name, (mlp, _) in sides.items():
        random.seed(1337)
        models[name] = mlp(2, [16, 16, 1])
    for _ in range(STEPS):
        for name, (_, make_value) in sides.items():
            start = time.perf_counter()
            losses[name].append(step(models[name], make_value, points, labels))
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = median["zerotohero"] / median["micrograd"]
    gap = max(abs(a - b) for a, b in zip(losses["micrograd"], losses["zerotohero"], strict=True))
    for name, value in median.items():
        print(f"{name:<12}{value * 1000:8.1f} ms a step (median of {STEPS})")
    print(f"ratio       {ratio:8.3f}    (target: at most {TARGET:.3f})")
    print(f"loss gap    {gap:8.1e}    (target: at most 1e-9)")
    return 0 if ratio <= TARGET and gap <= 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
