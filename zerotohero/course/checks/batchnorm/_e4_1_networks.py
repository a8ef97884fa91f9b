"""The networks of 4.1, and which of their parameters move in which step."""

import copy
from itertools import combinations

import numpy as np

NAMES = ("wte", "W1", "b1", "W2", "b2")


def blame(zero, h_needs_b1=True, through_tanh=False) -> dict[str, list[str]]:
    """Return the factors that are zero in each gradient; the switches are learners' mistakes."""
    x = "wte" in zero
    h = (x or "W1" in zero) and ("b1" in zero or not h_needs_b1)
    found = {
        "wte": [w for w in ("W1", "W2") if w in zero],
        "W1": ["W2"] * ("W2" in zero) + ["x"] * x,
        "b1": ["W2"] * ("W2" in zero),
        "W2": ["h"] * h,
    }
    if through_tanh and h:
        for name in ("wte", "W1", "b1"):
            found[name] = sorted([*found[name], "h"])
    return {name: factors for name, factors in found.items() if factors}


def steps_of(zero, steps: int) -> list[list[str]]:
    """Return which parameters get a gradient in each step: what has moved is zero no more."""
    moved, zero = [], set(zero)
    for _ in range(steps):
        moved.append(sorted(set(NAMES) - blame(zero).keys()))
        zero -= set(moved[-1])
    return moved


ALL_ZERO_SETS = [list(zero) for n in range(6) for zero in combinations(NAMES, n)]
# Sets with which the first step isn't like the next.
SLOW = [zero for zero in ALL_ZERO_SETS if len({str(step) for step in steps_of(zero, 4)}) > 1]


def network(rng: np.random.Generator, zero, N: int = 40) -> dict:
    """Return a network whose parameters in `zero` are zero, and what to train it on."""
    T, C, H, V = 3, int(rng.integers(4, 6)), int(rng.integers(8, 12)), 7
    shapes = {"wte": (V, C), "W1": (T * C, H), "b1": (H,), "W2": (H, V), "b2": (V,)}
    parameters = {n: (n not in zero) * 0.5 * rng.normal(size=shape) for n, shape in shapes.items()}
    # The last character is in no context: its embedding gets no gradient.
    X, Y = rng.integers(0, V - 1, (N, T)), rng.integers(0, V, N)
    return {"parameters": parameters, "X": X, "Y": Y, "rate": 0.05}


def plain(rng: np.random.Generator, zero_sets, steps: int) -> dict:
    about = [
        about_a("everything at zero" if len(z) == 5 else " and ".join(z) + " at zero", z, steps)
        for z in zero_sets
    ]
    return {"runs": [network(rng, z) for z in zero_sets], "steps": steps, "_about": about}


def simple(rng: np.random.Generator) -> dict:
    """Return two networks; the second sees every character, so that all of wte gets a gradient.

    In the second, to leave wte out is something else than never to take a step: with W1 alone at
    zero, the steps after the first differ from it in wte only.
    """
    told = [zero for zero in SLOW if {*zero} - {"b2"} != {"W1"}]
    asked = plain(rng, [list(NAMES), *some_of(rng, told, 1)], 4)
    asked["runs"][1]["X"][0, 0] = 6
    return asked


def about_a(what: str, zero, steps: int, want=None, known=()) -> dict:
    return {"what": what, "zero": zero, "want": want or steps_of(zero, steps), "known": list(known)}


def some_of(rng: np.random.Generator, sets, n: int):
    return [sets[i] for i in rng.choice(len(sets), n, replace=False)]


def particular(rng: np.random.Generator) -> dict:
    """Return some networks, and then those in which each context, rate and mean loss count."""
    steps = 6
    asked = plain(rng, [list(NAMES), *some_of(rng, SLOW, 5)], steps)
    runs, about = asked["runs"], asked["_about"]
    all_move = [sorted(NAMES)] * steps
    skipped = (
        [["b1", "b2", "wte"], *all_move[1:]],
        "With all of X in each step this network moves at once: a part of it won't do.",
    )
    # Gradients as small as W2, and of one sign in b1.
    tiny = network(rng, [])
    tiny["Y"][:] = 0
    tiny["parameters"]["W2"][:] = 1e-20 * (np.arange(7) == 0)
    large = "A gradient of 10⁻²¹ is not zero: ask of the gradient itself, and with no threshold."
    runs.insert(1, tiny)
    known = [([["W2", "b2"], *all_move[1:]], large)]
    about.insert(1, about_a("a W2 of 10⁻²⁰", [], steps, all_move, known))

    for which, place in (("first", 0), ("last", -1), ("some one", int(rng.integers(1, 999)))):
        run = network(rng, ["b1"], N=1000)
        run["rate"] = 0.01
        run["X"][place] = 6
        run["parameters"]["wte"][:6] = 0
        runs.append(run)
        what = f"embeddings of zero but in the {which} of 1,000 contexts"
        about.append(about_a(what, ["b1"], steps, all_move, [skipped]))

    # With one target and a large rate, step 1 makes its probability 1 in every digit.
    sure, zero = network(rng, ["W1", "b1", "b2"]), ["W1", "b1"]
    sure["Y"][:] = target = int(sure["Y"][0])
    sure["parameters"]["wte"] *= 0.2
    sure["parameters"]["W2"][:] = 0
    sure["parameters"]["W2"][:, target] = rng.choice([-0.3, 0.3], len(sure["parameters"]["W2"]))
    sure["rate"] = 800.0
    first, later = steps_of(zero, 2)
    rest = steps - 1
    known = [
        (
            [first] * steps,
            "Step 1 takes the loss to exactly 0, after which no parameter has a gradient, and you "
            "go on listing those of step 1: are the gradients set to zero before each backward "
            "pass, and is the list of names begun anew in each step?",
        ),
        (
            [first] + [later] * rest,
            "Step 1 is to take the loss to exactly 0, at which no parameter has a gradient; yours "
            "was shorter: move by `rate` times the gradient, whatever the rate.",
        ),
        (
            [first] + [["W2", "b2"]] * rest,
            "Step 1 is to take the loss to exactly 0, and yours doesn't: *subtract* rate times the "
            "gradient of the cross-entropy, with nothing added to it or cut off.",
        ),
    ]
    runs.append(sure)
    about.append(about_a("one target and a rate of 800", zero, steps, [first] + [[]] * rest, known))

    # With one target that is almost certain, a step is short whatever the rate, and whether the
    # losses are added up or not; unless it is divided by the gradient's own size.
    quiet = network(rng, [])
    quiet["Y"][:] = target
    quiet["parameters"]["b2"] = 30.0 * (np.arange(7) == target)
    quiet["parameters"]["W2"] *= 0.1
    quiet["rate"] = 1e8
    runs.append(quiet)
    about.append(about_a("a target of 1 - 10⁻¹² and a rate of 10⁸", [], steps))
    about[-1]["later"] = (
        "`rate` times the gradient is less than 0.001 here, and your parameters moved much further "
        "in the step before: Adam and its like, which divide by the gradient's size, are no plain "
        "gradient descent."
    )

    # With one target that is nearly certain, gradients are small, and so are the steps.
    calm = network(rng, [], N=1500)
    calm["Y"][:] = target
    one = np.arange(7) == target
    sign = np.sign(calm["parameters"]["b1"])
    for name in ("wte", "W1"):
        calm["parameters"][name] *= 0.1
    calm["parameters"]["b1"] = 0.5 * sign
    calm["parameters"]["W2"] = 0.05 * sign[:, None] * one
    calm["parameters"]["b2"] = 11.0 * one
    calm["rate"] = 6000.0
    far = (
        "This step is far too long: take `rate` times the gradient of the *mean* over all contexts."
    )
    known = [([all_move[0]] + [[]] * rest, far)]
    runs.append(calm)
    about.append(about_a("a target of 99.99 % and a rate of 6000", [], steps, known=known))

    # Hidden values of exactly 1 or −1.
    full = network(rng, [])
    full["parameters"]["wte"] *= 0.1
    full["parameters"]["b1"] = 40 * np.sign(full["parameters"]["b1"])
    lets = "A hidden value of exactly 1 or −1 lets nothing through: there is a tanh."
    runs.append(full)
    known = [(all_move, lets)]
    about.append(about_a("b1 at 40 or −40", [], steps, [["W2", "b2"]] * steps, known))

    # With hidden values of exactly 1 or −1 and one target that is 9000 behind another character,
    # each step makes up 2000: four leave it behind, and the fifth takes the loss to exactly 0.
    behind = copy.deepcopy(full)
    other = (target + 1) % 7
    behind["Y"][:] = target
    behind["parameters"]["b2"][:] = -30000.0
    behind["parameters"]["b2"][[target, other]] = -9000.0, 0.0
    behind["rate"] = 1000.0 / (1 + len(behind["parameters"]["b1"]))
    two, start = ["W2", "b2"], "The fifth step is to take the loss to exactly 0, and yours "
    further = start + (
        "get there earlier: each subtracts `rate` times its own gradient and no more. With "
        "momentum, say, the gradients of earlier steps go on."
    )
    less = start + (
        "don't get there: each subtracts `rate` times its gradient, the last as the first."
    )
    known = [([two] * n + [[]] * (steps - n), further) for n in range(1, 5)]
    known.append(([two] * steps, less))
    runs.append(behind)
    what = "b1 at 40 or −40 and a target that is far behind"
    about.append(about_a(what, [], steps, [two] * 5 + [[]], known))
    return asked
