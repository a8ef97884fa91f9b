"""3.4 · Beat 2.17: training a network of your own until the number is good, and judging it
honestly.
"""

import math
import string

import numpy as np

from zerotohero.course.checks.mlp.shared import NAMES, examples, hidden_layer, parameter
from zerotohero.course.checks.names import STOI, V, all_names
from zerotohero.course.checks.numerics import mean_loss
from zerotohero.course.exercise import (
    Exercise,
    Wrong,
)

TARGET = 2.17
PAIRS = 2.454  # of the bigram
MOST_NUMBERS = 50_000
LONGEST = 16  # characters of context
GUESSED = 0.22  # share of characters that only a network that has learned guesses right


beat = Exercise(
    number="3.4",
    title="Beat 2.17",
    difficulty=4,
    minutes=60,
    practises="training a network of your own until the number is good, and judging it honestly",
    answers=("train_mlp",),
    takes=20,
    summary=(
        "Train the lecture's network until its loss on held-out names is below 2.17. "
        "You choose context, sizes, start, batches, optimiser and learning rates."
    ),
    statement=f"""
`train_mlp(words: list[str], stoi: dict[str, int]) -> tuple`

`words` are the training names. Build contexts and targets from them (3.1 may help), train, and
return the parameters `wte` (27, C), `W1` (T · C, H), `b1` (H,), `W2` (H, 27) and `b2` (27,) of the
network `tanh(x @ W1 + b1) @ W2 + b2`, where x holds the embeddings of a context of T characters
side by side, the oldest first. You choose T (at most {LONGEST}), C and H; together at most
{MOST_NUMBERS:,} numbers.

```python
wte, W1, b1, W2, b2 = train_mlp(words, stoi)
[tuple(p.shape) for p in (wte, W1, b1, W2, b2)]   # [(27, 10), (30, 200), (200,), (200, 27), (27,)]
```

The check splits the names anew, and takes every name of dev out of the training names. Your
function never meets a dev name: it hands in its parameters, and the check runs the network with
them. It also swaps the letters, each for another, so that what is known of names beforehand is no
help. {TARGET} was the figure of the lecture's network after 200,000 plain steps.

The check takes as long as your function does; on one thread, which is what the grader has, ten
seconds are enough. Stay under half a minute. Write it with PyTorch alone: `zerotohero.mlp` is not
there when it is graded.
""",
    hints=(
        "The lecture's last recipe gets there: batches of 256, AdamW, a learning rate that ends at "
        "zero. An honest start (3.2) saves it the first few hundred steps.",
        "Context 3, embedding 10, hidden 200; 6,000 steps of `torch.optim.AdamW` at 0.01, with "
        "`group['lr'] = 0.01 * 0.5 * (1 + math.cos(math.pi * step / 6000))` before each.",
        "Draw `rows = torch.randint(len(X), (256,), generator=g)` and use `X[rows]` and `Y[rows]`: "
        "the same rows for both. At the start, W2 times 0.01, W1 times 0.2, and biases of zero; "
        "`requires_grad_()` on all five. Return these five after the last step.",
    ),
)


def _split(seed: int) -> tuple[list[str], list[str]]:
    """Train and dev names; no dev name stands in train, or memory would count as skill."""
    order = np.random.default_rng(seed).permutation(len(all_names()))
    held_out = len(order) // 10
    dev = [all_names()[i] for i in order[:held_out]]
    known = set(dev)
    return [w for w in (all_names()[i] for i in order[held_out:]) if w not in known], dev


def _training_names(rng: np.random.Generator) -> dict:
    train, dev = _split(int(rng.integers(2**31)))
    # With other letters, parameters or names that come with the answer are worth nothing.
    swap = str.maketrans(
        string.ascii_lowercase, "".join(rng.permutation([*string.ascii_lowercase]))
    )
    train, dev = ([word.translate(swap) for word in words] for words in (train, dev))
    return {"words": train, "stoi": STOI, "_dev": dev}


@beat.case(
    "the loss on names that were held out",
    points=6,
    adapter="trained",
    inputs=_training_names,
    crashes={"zerotohero": "This one is written with PyTorch alone: the library stays outside."},
)
def loss_on_held_out_names(given, got):
    wte, W1, b1, W2, b2 = _trained_parameters(got["parameters"])
    T = W1.shape[0] // wte.shape[1]
    words, dev = given["words"], given["_dev"]
    asked = examples(dev, T)

    def loss_of(rows, W1: np.ndarray = W1, activation=np.tanh, only=None) -> float:
        X, Y, _ = rows
        some = slice(None) if only is None else only(Y)
        return mean_loss(hidden_layer(X[some], wte, W1, b1, activation) @ W2 + b2, Y[some])

    def share_of_right_guesses() -> float:
        X, Y, _ = asked
        return float(((hidden_layer(X, wte, W1, b1) @ W2 + b2).argmax(1) == Y).mean())

    loss = loss_of(asked)
    if loss < TARGET:
        return
    targets = asked[1]
    shares = np.bincount(targets, minlength=V) / len(targets)
    blind = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    turned = W1.reshape(T, -1, W1.shape[1])[::-1].reshape(W1.shape)
    # What the loss would be if the network were run otherwise: less only if it was trained so.
    otherwise = [
        (
            loss_of(asked, turned),
            "With its context turned round, your network would be better: contexts are in reading "
            "order, the oldest character first, in training as well.",
        ),
        (
            loss_of(examples(dev, T, pad_right=True)),
            "With the dots behind the first characters of a name, your network would be better: "
            "contexts end with the newest character, and are filled up with dots in front.",
        ),
        (
            loss_of(examples(dev, T, reset=False)),
            "With the end of the name before in its contexts, your network would be better: every "
            "name begins with a context of dots.",
        ),
        (
            loss_of(examples(dev, T, leak=True)),
            "With the target as the last character of its context, your network would be better: "
            "store the context before the target is shifted into it.",
        ),
        *(
            (
                loss_of(asked, activation=activation),
                f"With {name}, your network would be better: the card's has tanh there.",
            )
            for name, activation in (
                ("ReLU in the hidden layer", lambda z: np.maximum(z, 0)),
                ("a sigmoid in the hidden layer", lambda z: (1 + np.tanh(z / 2)) / 2),
            )
        ),
    ]
    best, why = min(otherwise)
    ends, others = (loss_of(asked, only=which) for which in (lambda Y: Y == 0, lambda Y: Y != 0))
    if best < min(loss, blind, PAIRS) - 0.02 or best < min(loss, blind) - 0.2:
        hint = why
    elif ends > others + 4 and others < math.log(V):
        hint = (
            f"Where a name ends, its loss is {ends:.1f}, and {others:.1f} elsewhere: the last "
            "target of each name is the dot."
        )
    elif loss > math.log(V) + 0.05:
        hint = f"That is worse than knowing nothing ({math.log(V):.2f}): it is confidently wrong. "
        if (right := share_of_right_guesses()) > GUESSED:
            hint += (
                f"And yet its likeliest character is right {right:.0%} of the time, so it has "
                "learned, and is far too sure. Does `F.cross_entropy` get the logits? It takes the "
                "softmax itself, and after another one only enormous logits are good. Was the "
                "learning rate too high?"
            )
        else:
            hint += (
                "Are the gradients set to zero before each `backward()`? Are these the parameters "
                "that were trained, or a copy from before? Does the loop train the card's network, "
                "with these five alone? Was the learning rate too high?"
            )
    elif abs(loss - blind) < 0.08:
        hint = (
            f"That is what letter frequencies alone would get ({blind:.2f}): the context isn't "
            "used. Are X and Y taken at the same rows in each minibatch?"
        )
    elif loss - (train_loss := loss_of(examples(words, T))) > 0.1:
        hint = (
            f"On the training names it is {train_loss:.3f}, far less: it has learned them by "
            "heart. Fewer numbers or fewer steps."
        )
    elif loss > PAIRS:
        hint = (
            f"Counting pairs of characters gets {PAIRS}. Calculate the loss of your own X and Y "
            "once more from the five that you return, as the card says: is it that of the last "
            f"steps? Then train longer. On all training names it is {train_loss:.3f}."
        )
    else:
        hint = (
            f"On all training names it is {train_loss:.3f}, nearly as much: more steps, a longer "
            "context, larger batches and a learning rate that falls to zero make both smaller."
        )
    raise Wrong(f"the loss on dev: expected less than {TARGET}, got {loss:.3f}", hint)


def _trained_parameters(got) -> list[np.ndarray]:
    if not isinstance(got, list) or len(got) != 5:
        raise Wrong(f"train_mlp: expected five parameters: {', '.join(NAMES)}")
    if any(isinstance(p, np.ndarray) and not np.isfinite(p).all() for p in got):
        raise Wrong(
            "the parameters: expected finite numbers, got some that are infinite or NaN",
            "The training has diverged: try a tenth of the learning rate.",
        )
    parameters = [parameter(name, p) for name, p in zip(NAMES, got, strict=True)]
    wte, W1, b1, W2, b2 = parameters
    H, C = b1.shape[0] if b1.ndim == 1 else 0, wte.shape[-1] if wte.ndim else 0
    if W1.ndim == W2.ndim == 2 and (W1.shape[0], W2.shape) == (H, (V, H)) != (W1.shape[0], (H, V)):
        raise Wrong(
            f"the shapes: W1 is {W1.shape} and W2 is {W2.shape}, b1 is {b1.shape}",
            "`torch.nn.Linear` keeps its weight the other way round, (out, in): return its "
            "transpose, `weight.T`.",
        )
    if (
        wte.shape != (V, C)
        or C == 0
        or W1.ndim != 2
        or W1.shape[0] % C
        or W1.shape[0] == 0
        or (W1.shape[1], W2.shape, b2.shape) != (H, (H, V), (V,))
    ):
        shapes = ", ".join(f"{n} {p.shape}" for n, p in zip(NAMES, parameters, strict=True))
        raise Wrong(
            f"the shapes don't fit together: {shapes}",
            f"They must be wte ({V}, C), W1 (T · C, H), b1 (H,), W2 (H, {V}), b2 ({V},).",
        )
    if (total := sum(p.size for p in parameters)) > MOST_NUMBERS:
        raise Wrong(
            f"the network has {total:,} numbers; at most {MOST_NUMBERS:,} are allowed",
            "The target is within reach of 12,000 numbers.",
        )
    if (T := W1.shape[0] // C) > LONGEST:
        raise Wrong(
            f"the context has {T} characters; at most {LONGEST} are allowed",
            "The target is within reach of three characters.",
        )
    return parameters
