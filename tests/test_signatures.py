"""An answer leaves its arguments as they are and returns what the card's signature says: planted
answers that compute what is right, and break this alone, fail with the sentence that says so."""

import ast
import cProfile
import random
import sys

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from notebook_answers import answers
from zerotohero.batchnorm import BatchNorm1d, Layer, Linear, Sequential
from zerotohero.course import answering, checks
from zerotohero.course.answering import run_case
from zerotohero.course.checking import examine, judge
from zerotohero.course.plain import pack, unpack
from zerotohero.course.signatures import SERVES, complaint, signature
from zerotohero.micrograd import Value

QUICK = [e for e in checks.handed_in() if not e.takes]
each_quick = pytest.mark.parametrize("exercise", QUICK, ids=lambda e: e.number)


def instead(number: str, name: str, change):
    """The outcomes of the course's answers with one of them in another form."""
    exercise = checks.find(number)
    mine = dict(zip(exercise.answers, answers(exercise, "solutions"), strict=True))
    mine[name] = change(mine[name])
    return examine(exercise, list(mine.values()))


def told(outcomes) -> str:
    return "\n".join(f"{o.message} | {o.hint}" for o in outcomes if not o.points)


# --- the cards ----------------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", checks.all_exercises(), ids=lambda e: e.number)
def test_every_card_has_signatures_that_can_be_read(exercise):
    known = {*SERVES, "str", "tuple", "dict", "Tensor", "Callable", "model", "Value", "Linear"}
    known |= {"GPT", "ndarray"}
    arguments = set()
    for name in exercise.answers:
        card = signature(exercise.statement, name)
        assert card is not None, f"no signature of {name} in the statement"
        arguments |= set(card.arguments)
        if card.returns is not None:
            names = {n.id for n in ast.walk(card.returns) if isinstance(n, ast.Name)}
            assert names <= known, f"{name} returns what signatures.py doesn't know"
        elif name[0].islower():
            raise AssertionError(f"the signature of {name} doesn't say what is returned")
    for method in answering.METHODS:
        if card := signature(exercise.statement, method):
            arguments |= set(card.arguments)
    assert set(exercise.changes) <= arguments, "an argument that isn't on the card"


def test_a_signature_is_read_over_two_lines_and_a_call_is_none():
    card = signature("`f(x, n: int)`\n`-> list[float]`\n\n`x` is a list", "f")
    assert card.arguments == ("x", "n") and ast.unparse(card.returns) == "list[float]"
    assert signature("such that `f(x)(y)` is 3, and `f(2)`", "f") is None
    both = signature("`f(a)` is short for\n\n`f(a, b: int = 3) -> int`", "f")
    assert both.arguments == ("a", "b")


# --- arguments ----------------------------------------------------------------------------------


def spoil(value) -> bool:
    """Change a tensor, a list, a dict, a Value or a model, or the first in a tuple; if there is."""
    if isinstance(value, Value):
        value.data += 1
    elif isinstance(value, torch.nn.Module | Layer):
        value.train(not value.training)
    elif isinstance(value, torch.Tensor):
        value.data.copy_(~value if value.dtype == torch.bool else value.data + 1)
    elif isinstance(value, list):
        value.append(value[0] if value else None)
    elif isinstance(value, dict):
        value["spoilt"] = []
    else:
        return isinstance(value, tuple) and any(map(spoil, value))
    return True


@each_quick
def test_a_right_answer_that_then_spoils_an_argument_fails(exercise):
    """Whichever function, and whichever of its arguments, but for what it changes by right."""
    for name in exercise.answers:
        for place, argument in enumerate(signature(exercise.statement, name).arguments):
            if argument in exercise.changes:
                continue
            spoilt = []

            def spoiling(answer, place=place, spoilt=spoilt):
                def call(*given, **named):
                    returned = answer(*given, **named)
                    if len(given) > place and spoil(given[place]):
                        spoilt.append(place)
                    return returned

                return answer if isinstance(answer, type) else call

            outcomes = instead(exercise.number, name, spoiling)
            if spoilt:
                assert any(not o.points for o in outcomes), f"{name} spoilt its {argument}"


PLANTED = [
    # of each lecture, an answer that changes an argument and returns the right value
    ("1.2", "softplus", 0, "x", lambda x: setattr(x, "data", 0.0)),
    ("1.3", "operands_first", 0, "operands", lambda operands: operands.clear()),
    ("1.4", "nll", 0, "logits", lambda logits: (logits[0] * 2).backward()),
    ("1.5", "train", 1, "points", lambda points: random.Random(1).shuffle(points)),
    ("1.5", "train", 1, "points", lambda points: [p.reverse() for p in points]),
    ("2.2", "ngram_loss", 0, "train", lambda words: words.sort(reverse=True)),
    ("2.4", "row_logits", 0, "W", lambda W: W.mul_(2)),
    ("2.5", "cross_entropy", 0, "logits", lambda x: x.data.sub_(1)),
    ("3.3", "choose_rate", 1, "losses", lambda losses: losses.sort()),
    ("3.5", "direct_logits", 0, "X", lambda X: X.add_(1)),
    ("4.2", "fold", 0, "linear", lambda linear: linear.weight.data.mul_(2)),
    ("4.2", "fold", 1, "norm", lambda norm: norm.train()),
    ("4.3", "measured_gain", 1, "z", lambda z: z.pow_(2)),
    ("4.6", "rms_norm", 1, "gamma", lambda gamma: gamma.neg_()),
    ("5.5", "layernorm_fused", 2, "gamma", lambda gamma: gamma.add_(1)),
    ("5.6", "attention_fused", 3, "v", lambda v: v.zero_()),
    ("6.1", "flatten_consecutive", 0, "x", lambda x: x.data.add_(1)),
    ("6.3", "tree_everywhere", 1, "layers", lambda layers: layers.reverse()),
    ("6.5", "receptive_field", 0, "layers", lambda layers: layers.pop()),
    ("7.5", "generate_cached", 0, "model", lambda model: model.wpe.weight.data.zero_()),
    ("7.6", "top_p", 0, "logits", lambda logits: logits.div_(2)),
    ("7.7", "is_causal", 0, "model", lambda model: model.wte.data.zero_()),
]


@pytest.mark.parametrize(
    ("number", "name", "place", "argument", "change"), PLANTED, ids=lambda v: str(v)[:20]
)
def test_the_argument_that_was_changed_is_named(number, name, place, argument, change):
    def destroying(answer):
        def call(*given, **named):
            returned = answer(*given, **named)
            if isinstance(returned, torch.Tensor):
                returned = returned.clone()
            change(given[place])
            return returned

        return call

    outcomes = instead(number, name, destroying)
    assert sum(o.points for o in outcomes) < checks.find(number).points
    assert f"{name} changed its argument {argument}, " in told(outcomes)


def test_what_a_class_is_called_on_stays_as_it_was():
    class Double(torch.nn.Module):
        def forward(self, x):
            y = 2 * x
            x.zero_()
            return y

    forward = Double.forward
    reply = unpack(run_case(lambda answer: {"y": answer()(torch.ones(2))}, [Double], pack({})))
    ((answer, method, changed, _),) = reply["calls"]
    assert [answer, method, changed] == [0, "forward", [[0, "Tensor", False]]]
    assert Double.forward is forward, "the class has its method back"


def test_an_attention_that_writes_into_its_input_is_named():
    def in_place(FusedAttention):
        class InPlace(FusedAttention):
            def forward(self, x):
                y = super().forward(x)
                x.data.add_(1)
                return y

        return InPlace

    outcomes = instead("7.1", "FusedAttention", in_place)
    assert "FusedAttention's forward changed its argument x," in told(outcomes)
    assert "`x = x.clone()`" in told(outcomes)


def test_the_copy_that_is_advised_is_one_that_helps():
    """A dict has no `clone`, and a list of the same tensors shares them."""

    def writing(which_move):
        def call(parameters, *given):
            moved = which_move(parameters, *given)
            parameters["b1"].data.add_(1)
            return moved

        return call

    exercise = checks.find("4.1")
    found = complaint(exercise, [[0, "", [[0, "Tensor", True]], {}]])
    assert found.message.startswith("which_move changed its argument parameters, ")
    assert "`parameters = copy.deepcopy(parameters)`" in found.hint
    assert not all(o.points for o in instead("4.1", "which_move", writing))
    nameless = complaint(checks.find("4.4"), [[0, "__call__", [[0, "Tensor", False]], {}]])
    assert nameless.message.startswith("BatchNorm1d's __call__ changed an argument, ")
    assert "`x = x.clone()`" in nameless.hint


def small_network():
    """A model of torch with one inside it, whose layer is in eval mode."""
    return torch.nn.Sequential(
        torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Linear(2, 2).eval())
    )


def calls(answer, *given, **named):
    """What is noted of one call."""
    reply = unpack(run_case(lambda f: {"y": f(*given, **named) is None}, [answer], pack({})))
    return reply["calls"]


@pytest.mark.parametrize(
    "given",
    [
        torch.tensor([1.0, float("nan")]),
        torch.tensor([True, False]),
        torch.ones(2, dtype=torch.bfloat16),
        np.array([1.0, np.nan]),
        [1, float("nan"), [2, (torch.ones(2), "a")]],
        {"a": [1], "b": {"c": np.zeros(2)}},
        torch.Generator(),
        {1, 2},
        (Value(1.0), Value(float("nan"))),
        torch.nn.BatchNorm1d(2),
        Sequential(Linear(2, 3, bias=False), BatchNorm1d(3)),
        torch.nn.Linear,
    ],
)
def test_what_was_only_read_or_written_as_it_was_is_unchanged(given):
    def read(x):
        if isinstance(x, list):
            x[0] = int("1")
        repr(x)

    assert calls(read, given)[0][2] == []


@pytest.mark.parametrize(
    ("given", "change", "kind"),
    [
        (torch.ones(2), lambda x: x.resize_(3), ["Tensor", False]),
        (torch.nn.Parameter(torch.ones(2)), lambda x: x.data.zero_(), ["Tensor", False]),
        ([1.0], lambda x: x.append(1.0), ["list", False]),
        ([1], lambda x: x.__setitem__(0, 1.0), ["list", False]),
        ([[1], [2]], lambda x: x[1].pop(), ["list", True]),
        ({"a": 1}, lambda x: x.pop("a"), ["dict", False]),
        ({"a": 1, "b": 2}, lambda x: x.update(a=2), ["dict", False]),
        ({"a": ([1, 2],)}, lambda x: x["a"][0].sort(reverse=True), ["list", True]),
        ((torch.zeros(3),), lambda x: x[0].add_(1), ["Tensor", True]),
        ({"a"}, lambda x: x.clear(), ["set", False]),
        ([{1, 2}], lambda x: x[0].add(3), ["set", True]),
        (np.zeros(3), lambda x: x.fill(1), ["ndarray", False]),
        (Value(1.0), lambda x: setattr(x, "data", 2.0), ["Value", False]),
        ([Value(1.0)], lambda x: setattr(x[0], "data", 2.0), ["Value", True]),
        ([Value(1.0), Value(2.0)], lambda x: (x[0] * x[1]).backward(), ["grad", True]),
        (torch.nn.Linear(2, 2), lambda m: m.bias.data.add_(1), ["model", False]),
        (torch.nn.Linear(2, 2), lambda m: m.double(), ["model", False]),
        (torch.nn.Linear(2, 2), lambda m: m.eval(), ["mode", False]),
        (torch.nn.BatchNorm1d(2), lambda m: m(torch.randn(5, 2)), ["model", False]),
        (small_network(), lambda m: m[1][0].train(), ["mode", False]),
        (small_network(), lambda m: m[1].append(torch.nn.Linear(2, 2)), ["model", False]),
        ({"m": small_network()}, lambda d: d["m"][1][0].weight.data.zero_(), ["model", True]),
        (Linear(2, 3), lambda m: setattr(m, "weight", m.weight * 2), ["model", False]),
        (Linear(2, 3, bias=False), lambda m: setattr(m, "bias", torch.ones(3)), ["model", False]),
        (BatchNorm1d(2), lambda m: m.running_var.mul_(2), ["model", False]),
        (BatchNorm1d(2), lambda m: setattr(m, "eps", 0.5), ["model", False]),
        (Sequential(Linear(2, 3)), lambda m: m.layers[0].eval(), ["mode", False]),
    ],
)
def test_a_change_is_noted_however_deep_it_is(given, change, kind):
    assert calls(change, given)[0][2] == [[0, *kind]]


def test_a_model_that_was_put_back_as_it_was_is_unchanged():
    def measure(model, x):
        was = model.training
        model.eval()
        (model(x) + Linear(2, 2)(x)).sum().backward()  # a gradient is no part of the state
        model.train(was)

    norm = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))
    assert calls(measure, norm, torch.ones(3, 2))[0][2] == []


def test_to_make_new_values_is_no_change():
    def softplus(x):
        return (x.exp() + 1).log()

    assert calls(softplus, Value(2.0))[0][2] == []


def test_an_argument_given_by_name_has_its_name():
    def clear(first, *, words):
        words.clear()

    assert calls(clear, 1, words=["a"])[0][2] == [["words", "list", False]]


# --- what is returned ---------------------------------------------------------------------------


def double(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


KINDS = [
    ("1.1", "numerical_gradient", list, "a list", "tuple[float, float, float]", "without brackets"),
    ("1.3", "operands_first", iter, "a list_iterator", "list[str]", "list(…)"),
    ("1.3", "operands_first", tuple, "a tuple", "list[str]", "list(…)"),
    ("1.5", "train", tuple, "a tuple", "list[float]", "list(…)"),
    (
        "2.2",
        "split_words",
        lambda parts: (*parts[:2], tuple(parts[2])),
        "a tuple at [2]",
        "tuple[list[str], list[str], list[str]]",
        "list(…)",
    ),
    ("2.7", "without_leak", tuple, "a tuple", "list[str]", "list(…)"),
    (
        "4.1",
        "which_move",
        lambda steps: [tuple(step) for step in steps],
        "a tuple in its list",
        "list[list[str]]",
        "list(…)",
    ),
    (
        "4.1",
        "why_still",
        lambda found: {n: why[0] if len(why) == 1 else why for n, why in found.items()},
        "a str as a value",
        "dict[str, list[str]]",
        "`[text]` is a list of one text",
    ),
    ("1.4", "softmax", iter, "a list_iterator", "list[Value]", "list(…)"),
    ("2.2", "ngram_loss", torch.tensor, "a 0-dimensional tensor", "float", ".item()"),
    ("2.3", "tune_smoothing", list, "a list", "tuple[float, float]", "without brackets"),
    (
        "2.3",
        "tune_smoothing",
        lambda pair: (pair[0], torch.tensor(pair[1])),
        "a 0-dimensional tensor at [1]",
        "tuple[float, float]",
        ".item()",
    ),
    ("2.4", "row_logits", lambda y: y.detach().numpy(), "a NumPy array", "Tensor", "NumPy"),
    ("2.6", "is_distribution", torch.tensor, "a 0-dimensional tensor", "bool", ".item()"),
    ("2.6", "is_distribution", int, "an int", "bool", "bool(…)"),
    ("2.7", "leak_share", np.array, "a 0-dimensional NumPy array", "float", ".item()"),
    ("3.1", "build_dataset", list, "a list", "tuple", "without brackets"),
    ("3.2", "loss_knowing_nothing", torch.tensor, "a 0-dimensional tensor", "float", ".item()"),
    (
        "3.3",
        "sweep",
        lambda pair: (pair[0], [double(x) for x in pair[1]]),
        "a 0-dimensional tensor in its list at [1]",
        "tuple[list[float], list[float]]",
        ".item()",
    ),
    ("3.5", "count_parameters", torch.tensor, "a 0-dimensional tensor", "int", ".item()"),
    ("3.5", "count_parameters", float, "a float", "int", ""),
    ("4.3", "sizes_by_layer", torch.tensor, "a tensor", "list[float]", ".tolist()"),
    (
        "4.5",
        "diagnosis",
        lambda said: {k: list(v) for k, v in said.items()},
        "a list as a value",
        "dict[str, tuple[str, str]]",
        "without brackets",
    ),
    ("4.6", "depends", lambda y: y.numpy(), "a NumPy array", "Tensor", "NumPy"),
    ("5.2", "cross_entropy_fused", list, "a list", "tuple[Tensor, Tensor]", "without brackets"),
    (
        "5.2",
        "cross_entropy_fused",
        lambda pair: (pair[0].item(), pair[1]),
        "a float at [0]",
        "tuple[Tensor, Tensor]",
        "without `.item()`",
    ),
    ("5.4", "train_by_hand", double, "a tensor", "list[float]", ".tolist()"),
    (
        "6.2",
        "find_bug",
        lambda found: found and list(found),
        "a list",
        "tuple[int, tuple[int, ...]] | None",
        "without brackets",
    ),
    ("6.5", "receptive_field", torch.tensor, "a 0-dimensional tensor", "int", ".item()"),
    ("7.6", "top_p", lambda p: p.numpy(), "a NumPy array", "Tensor", "NumPy"),
    ("7.7", "is_causal", torch.tensor, "a 0-dimensional tensor", "bool", ".item()"),
]


def returning(change):
    def turned(answer):
        def call(*given, **named):
            return change(answer(*given, **named))

        return call

    return turned


@pytest.mark.parametrize(("number", "name", "change", "came", "says", "hint"), KINDS)
def test_another_kind_than_the_card_says_is_named(number, name, change, came, says, hint):
    outcomes = instead(number, name, returning(change))
    assert sum(o.points for o in outcomes) < checks.find(number).points
    assert f"{name} returned {came}, and the card says `{says}` | " in told(outcomes)
    assert hint in told(outcomes)


@pytest.mark.parametrize(
    ("number", "name", "change"),
    [
        ("1.1", "numerical_gradient", lambda g: tuple(map(np.float64, g))),
        ("2.2", "ngram_loss", np.float64),
        ("2.6", "is_distribution", np.bool_),
        ("3.3", "choose_rate", np.float64),
        ("3.5", "count_parameters", np.int64),
        ("5.2", "cross_entropy_fused", lambda pair: type("Pair", (tuple,), {})(pair)),
        ("5.4", "train_by_hand", lambda losses: [np.float64(x) for x in losses]),
        ("6.5", "receptive_field", np.int64),
        ("7.6", "top_p", torch.nn.Parameter),
    ],
)
def test_what_a_learner_takes_for_the_same_passes(number, name, change):
    outcomes = instead(number, name, returning(change))
    assert all(o.points for o in outcomes), told(outcomes)


# --- what is noted, and how ---------------------------------------------------------------------


def test_nothing_that_watches_an_answer_sees_the_notes():
    seen = []

    class Functions(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    class Operators(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    class Looked(dict):
        def __getitem__(self, name):
            seen.append("looked up")

        def items(self):
            seen.append("gone through")

    def adapter(answer):
        x, graph, depth = torch.ones(3, requires_grad=True), Looked(a=[1], b=[]), [0, 0]

        def watch(frame, event, argument):
            depth[0] += (event == "call") - (event == "return")
            depth[1] = max(depth)

        before = sys.getprofile()
        with Functions(), Operators():
            sys.setprofile(watch)
            try:
                answer(x, graph)
                assert sys.getprofile() is watch
            finally:
                sys.setprofile(before)
        return {"deepest": depth[1], "left": depth[0]}

    reply = unpack(run_case(adapter, [lambda x, graph: [x]], pack({})))
    assert seen == []
    assert reply["calls"][0][3]["items"] == [
        {"is": ["Tensor", "_TensorBase", "TensorBase", "object"], "ndim": 1}
    ] or (reply["calls"][0][3]["items"][0]["ndim"] == 1)
    assert reply["got"] == {"deepest": 2, "left": 0}, "the answer's own call, in the wrapper's"


def test_a_check_can_be_profiled():
    """As by `%prun check(…)`."""
    profiler = cProfile.Profile()
    profiler.runcall(run_case, lambda f: {"y": f([1]) + f([2])}, [lambda x: x[0]], pack({}))
    names = {entry.code.co_name for entry in profiler.getstats() if hasattr(entry.code, "co_name")}
    assert {"noted", "describe"} & names == {"noted"} and "pack" in names


def nodes(kind) -> int:
    return 1 + sum(map(nodes, [*kind.get("keys", []), *kind.get("items", [])]))


class Endless(list):
    def __iter__(self):
        while True:
            yield 1.0


def itself():
    one = [1.0]
    one.append(one)
    return one


def deep():
    value = []
    for _ in range(10_000):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        deep(),
        itself(),
        Endless(),
        [[[[i] * 99] * 99] * 99 for i in range(99)],
        {i: {i: i} for i in range(9999)},
    ],
)
def test_a_note_is_short_whatever_is_returned(value):
    ((_, _, _, kind),) = calls(lambda: value)
    assert nodes(kind) <= answering.VALUES + 1


def test_what_is_noted_of_many_calls_is_bounded():
    def adapter(answer):
        for i in range(1000):
            answer(type(f"Kind{i}", (), {})())

    reply = unpack(run_case(adapter, [lambda x: x], pack({})))
    assert len(reply["calls"]) == answering.CALLS


def test_an_object_that_resists_is_not_noted_and_no_error():
    class Odd:
        def __getattribute__(self, name):
            raise RuntimeError(name)

        def __eq__(self, other):
            raise RuntimeError

    odd = Odd()
    assert calls(lambda x: x.append(odd), [1])[0][2] == [[0, "list", False]]
    assert "error" not in unpack(run_case(lambda f: {"y": f() is odd}, [lambda: odd], pack({})))


FORGED = [
    None,
    3,
    [3],
    [[0]],
    [[9, "", [], {}]],
    [[0, "(a+)+$", [], {}]],
    [[0, "", [[9, "x", []]], {}]],
    [[0, "", [[9, "x"]], {}]],
    [[0, "", [], {"is": []}]],
    [[0, "", [], {"is": [None]}]],
    [[0, "", [["\n✓", "\n", 1]], {}]],
    {"a": 1},
    [[0, "", 3, 3]],
    [["0", "", [], {}]],
]


def test_a_verdict_that_stumbles_over_a_value_leaves_it_to_the_card():
    """To compare lists with tensors is an error of its own."""
    said = told(
        instead("8.8", "allowed_next", lambda way: lambda *given: torch.tensor(way(*given)))
    )
    assert "allowed_next returned a tensor, and the card says `list[int]`" in said
    assert "not of the kind asked for" not in said


@pytest.mark.parametrize("calls", FORGED)
def test_forged_notes_gain_nothing_and_raise_nothing(calls):
    case = checks.find("2.7").cases[0]
    given = case.given(np.random.default_rng(1))
    outcome = judge(case, given, {"got": {"share": -1.0}, "calls": calls})
    assert outcome.points == 0
    share = len([w for w in given["dev"] if w in given["train"]]) / max(1, len(given["dev"]))
    outcome = judge(case, given, {"got": {"share": share}, "calls": calls})
    assert outcome.status in ("passed", "wrong") and "\n" not in outcome.message
