"""6.5 · How far a stack sees: deriving a formula layer by layer, and testing it on cases
that are known.
"""

import math

import numpy as np

from zerotohero.course.exercise import (
    Exercise,
    Mistake,
    expect,
)

reach = Exercise(
    number="6.5",
    title="How far a stack sees",
    difficulty=3,
    minutes=25,
    practises="deriving a formula layer by layer, and testing it on cases that are known",
    answers=("receptive_field",),
    summary=(
        "Compute the receptive field of any stack of convolutions. "
        "That is how many positions of the input one output sees, from the oldest to the newest."
    ),
    statement="""
`receptive_field(layers: list[tuple[int, int, int]]) -> int`

Each layer is (kernel, dilation, stride), from the input upwards. A layer with kernel k and dilation
d computes each of its outputs from k of its inputs, which lie d apart; with stride s, its next
output reads s inputs further on, so that it has one output for every s inputs. Return how many
positions of the stack's input lie between the oldest and the newest that one output of the last
layer depends on, both included. A stack without layers sees one position.

```python
receptive_field([(2, 1, 1), (2, 2, 1), (2, 4, 1)])   # 8: the convolutions of the lecture
receptive_field([(2, 1, 2), (2, 1, 2), (2, 1, 2)])   # 8: the tree, which moves on by pairs
receptive_field([(3, 1, 1), (3, 1, 1)])              # 5
```

The stack that the paper gives as an example, kernel 2 with dilations 1, 2, 4, …, 512, three times
over, sees 3,070 samples. That is 0.19 seconds of sound at 16,000 samples a second.
""",
    hints=(
        "A single layer with kernel k and dilation d: how far is its oldest input from its newest? "
        "Then put a second layer on it. How far apart on the *first* layer's input do two "
        "neighbouring outputs of the first layer begin?",
        "Each layer adds (k − 1) · d steps of its own input. A step of its own input is as many "
        "steps of the stack's input as the strides of all layers *below* it multiply to.",
        "`size, jump = 1, 1`; for each layer: `size += (kernel - 1) * dilation * jump`, then `jump "
        "*= stride`; return size.",
    ),
)


def _size(layers, own=False, jumps="multiply", reach=lambda k, d: (k - 1) * d) -> int:
    """The receptive field; the switches are what learners get wrong."""
    size, jump = 1, 1
    for k, d, s in layers:
        after = {"multiply": jump * s, "last": s, "add": jump + s - 1, "none": 1}[jumps]
        size += reach(k, d) * (after if own else jump)
        jump = after
    return size


def _mistakes(layers: list) -> list[Mistake]:
    """What wrong formulas say of one stack, always in the same order."""
    kernels, dilations = ([layer[i] for layer in layers] for i in range(2))
    want = _size(layers)
    strides = "The strides are ignored: above a layer of stride s, neighbours lie s positions "
    strides += "of its input apart."
    return [
        Mistake(
            want - 1,
            "One too few: a stack without layers already sees 1 position, and each layer "
            "adds to that.",
        ),
        Mistake(_size(layers, jumps="none"), strides),
        Mistake(
            _size(layers, own=True),
            "A layer's own stride is counted too early: it moves the outputs, so only the "
            "layers *above* it feel it.",
        ),
        Mistake(
            _size(layers, jumps="last"),
            "Only the stride of the layer just below is counted: strides multiply from "
            "layer to layer.",
        ),
        Mistake(
            _size(layers[::-1]),
            "The layers are taken from the top downwards: they come from the input "
            "upwards, so jumps grow along the list.",
        ),
        Mistake(
            2 ** len(layers),
            "2 to the number of layers is right where all kernels are 2 and dilations or strides "
            "double: ask what each layer adds.",
        ),
        Mistake(
            math.prod(kernels),
            "You multiply the kernels: a layer *adds* positions to what the one below "
            "sees, because neighbouring outputs see much of the same.",
        ),
        Mistake(
            1 + sum(dilations),
            "You add up the dilations: that is right for kernel 2 alone; k inputs have k − "
            "1 gaps between them, each of d.",
        ),
        Mistake(
            sum(dilations),
            "You add up the dilations: a layer adds its k − 1 gaps of d each, and the "
            "first position counts too.",
        ),
        Mistake(
            _size(layers, reach=lambda k, d: k * d),
            "k inputs have only k − 1 gaps between them: a layer adds (k − 1) · d.",
        ),
        Mistake(
            _size(layers, reach=lambda k, d: k * d) - 1,
            "k inputs have only k − 1 gaps between them: a layer adds (k − 1) · d, and the "
            "stack starts at 1.",
        ),
        Mistake(
            sum(a * b for a, b, _ in layers),
            "You add up k · d: k inputs have k − 1 gaps between them, and the first "
            "position is counted once for the stack.",
        ),
        Mistake(
            _size(layers, reach=lambda k, d: k - 1),
            "The dilations are ignored: the k inputs of a layer lie d apart.",
        ),
        Mistake(
            _size(layers, jumps="add"),
            "The strides are added up: a stride of 2 on top of a stride of 2 moves on by "
            "4, so they multiply.",
        ),
        Mistake(
            max([1, *((a - 1) * b + 1 for a, b, _ in layers)]),
            "That is the layer that reaches furthest by itself; the layers' reaches add up.",
        ),
        Mistake(_size(layers[:-1]), "The last layer is left out."),
        Mistake(_size(layers[1:]), "The first layer is left out."),
    ]


def field_counted(given: dict, got: dict) -> None:
    stacks, sizes = given["stacks"], got["sizes"]
    # A single stack may come out alike by two formulas: a hint is for one that explains all.
    columns = zip(*map(_mistakes, stacks), strict=True)
    explains = {c[0].hint for c in columns if [mistake.value for mistake in c] == sizes}
    for layers, size in zip(stacks, sizes, strict=True):
        hint = next(iter(explains)) if len(explains) == 1 else None
        if hint is None and not layers and isinstance(size, int | float):
            hint = "A stack without layers sees one position."
        what = f"receptive_field({[tuple(layer) for layer in layers]!r:.90})"
        expect(what, size, _size(layers), tol=0, mistakes=[Mistake(size, hint)] if hint else [])


reach.case(
    "dilations that double",
    adapter="sized",
    inputs=lambda rng: {
        # The second of kernel 3, from dilation 3 on: with kernel 2 and 1, 2, 4, … many a wrong
        # formula is right.
        "stacks": [
            [[kernel, first * 2**i, 1] for i in range(n)]
            for kernel, first, n in zip(
                (2, 3, 2), (1, 3, 1), rng.choice(range(3, 11), 3, False), strict=True
            )
        ]
    },
)(field_counted)


def _stacks(rng: np.random.Generator, strides: list[int]) -> dict:
    """Kernels and dilations of every kind; the strides of a stack are all those given."""
    return {
        "stacks": [
            [
                [int(rng.integers(2, 8)), int(rng.integers(2, 12)), int(s)]
                for s in rng.permutation(strides)
            ]
            for _ in range(5)
        ]
    }


reach.case("any kernels and dilations", adapter="sized", inputs=lambda rng: _stacks(rng, [1] * 4))(
    field_counted
)


reach.case(
    "strides as well", points=2, adapter="sized", inputs=lambda rng: _stacks(rng, [1, 2, 3, 2, 4])
)(field_counted)


reach.case(
    "no layers, layers of kernel 1, and the tree",
    adapter="sized",
    inputs=lambda rng: {
        "stacks": [
            [],
            [[1, int(rng.integers(2, 9)), 1]],
            [[1, 1, int(rng.integers(2, 9))]],
            [[2, 1, 2]] * int(rng.integers(3, 9)),
            [[int(rng.choice([4, 6])), 1, 1], [1, 1, int(rng.integers(2, 5))], [3, 1, 1]],
        ]
    },
)(field_counted)
