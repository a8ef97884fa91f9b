"""3.5 · Direct connections: reading a formula in a paper, and counting what it costs."""

import numpy as np

from zerotohero.course.checks.numerics import softmax
from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    expect,
)

connections = Exercise(
    number="3.5",
    title="Direct connections",
    difficulty=3,
    minutes=35,
    practises="reading a formula in a paper, and counting what it costs",
    answers=("direct_logits", "count_parameters"),
    summary=(
        "Add the paper's direct connections, a second path from the embeddings to the logits, past "
        "the hidden layer. Count what they cost, and measure what they bring."
    ),
    statement="""
Bengio and colleagues (2003, equation 1) write the logits as y = b + W x + U tanh(d + H x), where x
holds the embeddings of the context side by side. U tanh(d + H x) is the hidden layer's path, which
the lecture has. W x goes **directly** from the embeddings to the logits; the lecture left it out.

`direct_logits(X, wte, W1, b1, W2, b2, W3) -> Tensor` of shape (B, V)

Here `X` (B, T) holds contexts, `wte` (V, C), `W1` (T · C, H), `b1` (H,), `W2` (H, V), `b2` (V,) are
the lecture's parameters, and `W3` (T · C, V) the direct connections (all floats but X).

`count_parameters(block_size: int, n_embd: int, n_hidden: int, V: int, direct: bool) -> int`

returns how many numbers the network learns, with the direct connections or without.

```python
count_parameters(3, 10, 200, 27, direct=False)    # 11897
```

Afterwards, train both for the same number of steps. The paper found that direct connections make
the network converge faster, but that it generalises better without. What do you find on names?
""",
    hints=(
        "Write the shapes beneath the formula: which of the six tensors can x be multiplied with?",
        "x = embeddings of the context, reshaped to (B, T · C). The lecture's logits, plus one "
        "more product of x. Count parameters by multiplying out each shape, wte included.",
        "`x = wte[X].view(len(X), -1)`, then `torch.tanh(x @ W1 + b1) @ W2 + b2 + x @ W3`; the "
        "count is V*C + T*C*H + H + H*V + V, and T*C*V more with direct connections.",
    ),
)


def _network(rng: np.random.Generator) -> dict:
    B, T, C, H, V = 7, 5, 4, 8, 9  # T isn't the lecture's
    shapes = [(V, C), (T * C, H), (H,), (H, V), (V,), (T * C, V)]
    return {
        "X": rng.integers(0, V, (B, T)),
        "parameters": [rng.normal(size=shape) for shape in shapes],
    }


@connections.case(
    "the logits",
    points=2,
    adapter="direct",
    inputs=_network,
    crashes={
        "x12 and 20x": "Three tokens of each context are put side by side, and here T is "
        "5: `X.shape[1]` says how many there are.",
        "cannot be multiplied": "x is `wte[X]` put side by side, of shape (B, T · C); W1 and W3 "
        "both take it as it is.",
        "is invalid for input of size": "The sizes here aren't the lecture's: read them "
        "off the tensors' shapes.",
        "same dtype": "The parameters are float64 here: leave the data types as they are.",
    },
)
def logits_of_the_network(given, got):
    X, (wte, W1, b1, W2, b2, W3) = given["X"], given["parameters"]
    x = wte[X].reshape(len(X), -1)
    h = np.tanh(x @ W1 + b1)
    plain = h @ W2 + b2
    unbent, e = (x @ W1 + b1) @ W2 + b2 + x @ W3, np.exp(plain + x @ W3)
    newest = wte[X[:, ::-1]].reshape(len(X), -1)
    turned = wte[X].transpose(0, 2, 1).reshape(len(X), -1)
    mixed = np.tanh(turned @ W1 + b1) @ W2 + b2 + turned @ W3
    expect(
        "direct_logits",
        got["logits"],
        plain + x @ W3,
        mistakes=[
            Mistake(plain, "That is the network of the lecture: the path x @ W3 is missing."),
            Mistake(x @ W3 + b2, "Only the direct path is there: add the hidden layer's."),
            Mistake(
                np.tanh(plain + x @ W3),
                "The sum of both paths went through tanh; it bends only the hidden layer. Logits "
                "may be any number.",
            ),
            Mistake(
                plain + np.tanh(x @ W3),
                "The direct path went through tanh: it is plain multiplication.",
            ),
            Mistake(
                plain + x @ W3 + b2,
                "b2 is added twice, once with each path; there is one bias for both.",
            ),
            Mistake(
                mixed,
                "The numbers of a context are in the wrong order: first all of the oldest "
                "character, then all of the next. `view` or `flatten(1)` keeps them so; a "
                "transposition before it doesn't.",
            ),
            Mistake(
                np.tanh(newest @ W1 + b1) @ W2 + b2 + newest @ W3,
                "The newest character stands first: keep the order in which X has them.",
            ),
            Mistake(unbent, "The tanh of the hidden layer is missing."),
            Mistake(plain + x @ W3 - b2, "b2 is missing."),
            Mistake(np.tanh(x @ W1) @ W2 + b2 + x @ W3, "b1 is missing: it is added before tanh."),
            Mistake(
                e / e.sum(1, keepdims=True),
                "These are probabilities; return the logits, before softmax.",
            ),
        ],
    )
    expect("direct_logits of a single context", got["alone"], (plain + x @ W3)[:1])


@connections.case(
    "the gradients of both paths",
    points=2,
    adapter="direct_gradients",
    inputs=lambda rng: {**_network(rng), "Y": rng.integers(0, 9, 7)},
    crashes={
        "does not require grad": "The logits don't depend on the parameters any more: do not "
        "detach them, and stay with torch's operations.",
    },
)
def gradients_of_both_paths(given, got):
    X, Y, (wte, W1, b1, W2, b2, W3) = given["X"], given["Y"], given["parameters"]
    x = wte[X].reshape(len(X), -1)
    h = np.tanh(x @ W1 + b1)
    logits = h @ W2 + b2 + x @ W3
    dlogits = (softmax(logits) - np.eye(len(b2))[Y]) / len(Y)

    def to_table(dx: np.ndarray) -> np.ndarray:
        dwte = np.zeros_like(wte)
        np.add.at(dwte, X, dx.reshape(*X.shape, -1))
        return dwte

    dact = (dlogits @ W2.T) * (1 - h * h)
    hidden_dx = dact @ W1.T
    wants = {"W3": x.T @ dlogits, "b2": dlogits.sum(0), "W2": h.T @ dlogits}
    wants |= {"b1": dact.sum(0), "W1": x.T @ dact}
    part = "it has no part in the logits, was detached, or its data copied"
    for name, want in wants.items():
        lost = Mistake(0 * want, f"{name} learns nothing: {part}.")
        expect(f"{name}'s gradient", got[name], want, mistakes=[lost])
    expect(
        "wte's gradient",
        got["wte"],
        to_table(hidden_dx + dlogits @ W3.T),
        mistakes=[
            Mistake(
                np.zeros_like(wte),
                "The embeddings learn nothing at all: x was detached, or copied by `torch.tensor` "
                "or `.data`.",
            ),
            Mistake(
                to_table(hidden_dx),
                "The embeddings learn nothing through the direct path: x was detached there, or "
                "its data copied.",
            ),
            Mistake(
                to_table(dlogits @ W3.T),
                "The embeddings learn nothing through the hidden layer: x was detached there, or "
                "its data copied.",
            ),
        ],
    )


@connections.case(
    "the number of parameters",
    adapter="counted",
    inputs=lambda rng: {
        "block_size": int(rng.integers(2, 9)),
        "n_embd": int(rng.integers(2, 20)),
        "n_hidden": int(rng.integers(10, 300)),
        "V": int(rng.integers(20, 90)),
    },
)
def parameters_counted(given, got):
    T, C, H, V = (given[key] for key in ("block_size", "n_embd", "n_hidden", "V"))
    plain = V * C + T * C * H + H + H * V + V
    wrong = [
        (plain - H - V, "The biases b1 and b2 are parameters too."),
        (plain - V, "The output bias b2 is missing: V numbers."),
        (plain - H, "The hidden bias b1 is missing: H numbers."),
        (plain + T * C * V, "W3 is counted even without direct connections: look at `direct`."),
        (plain - V * C, "The embedding table is learned too: V · C numbers."),
        (
            plain - V * C + T * V * C,
            "One embedding table serves all positions: V · C numbers, not one table a position.",
        ),
        (plain - T * C * H + C * H, "W1 reads the embeddings of all T positions: T · C rows."),
    ]
    expect(
        "without direct connections",
        got["plain"],
        plain,
        mistakes=[Mistake(n, hint) for n, hint in wrong],
    )
    expect(
        "with direct connections",
        got["direct"],
        plain + T * C * V,
        mistakes=[
            Mistake(plain, "W3 isn't counted: look at `direct`."),
            Mistake(plain + C * V, "W3 reads the embeddings of all T positions: T · C rows."),
            Mistake(
                plain + H * V,
                "W3 starts from the embeddings, T · C numbers, not from the hidden units.",
            ),
            Mistake(
                plain + T * C * V + V, "The direct path has no bias of its own: b2 serves both."
            ),
            Mistake(
                plain + T * V * V,
                "W3 starts from the embeddings, which are T · C numbers, not from one-hot "
                "contexts, which would be T · V.",
            ),
        ],
    )
