"""Every exercise keeps the course's promises: its stub says "not yet", its solution passes, and
each of its misconceptions fails with the hint that names it. One without these is an orphan."""

import copy
import dataclasses
import importlib
import inspect
import re
import sys
import types
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from misconceptions import misconceptions
from notebook_answers import answers, cells, source
from zerotohero.course import checks, marking, notebooks, sandbox
from zerotohero.course.answering import define, run_case
from zerotohero.course.checking import examine, judge, report
from zerotohero.course.checks.batchnorm.e4_5_diagnosis import PATIENTS
from zerotohero.course.exercise import Case
from zerotohero.course.plain import pack, unpack

ROOT = Path(__file__).parent.parent
EXERCISES = checks.all_exercises()
HANDED_IN = checks.handed_in()
WRONG = misconceptions()
WRONG_BY_NUMBER = defaultdict(list)
for _wrong in WRONG:
    WRONG_BY_NUMBER[_wrong.number].append(_wrong)
MODULES = {
    name: getattr(module, name.rsplit(".", 1)[1].split("_", 2)[2])
    for name, module in list(sys.modules.items())
    if re.fullmatch(r"zerotohero\.course\.checks\.\w+\.e\d+_\d+_\w+", name)
}
each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.number)
each_handed_in = pytest.mark.parametrize("exercise", HANDED_IN, ids=lambda e: e.number)


@pytest.fixture(autouse=True, scope="module")
def inputs_are_drawn_once():
    """A thousand answers are asked the same, and some of it takes a second to make."""
    draw, drawn = Case.given, {}

    def given(case, rng):
        key = id(case), str(rng.bit_generator.state)
        if key not in drawn:
            drawn[key] = draw(case, rng)
        return copy.deepcopy(drawn[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Case, "given", given)
        yield


def hints(outcomes) -> str:
    return "\n".join(outcome.hint for outcome in outcomes)


@each_exercise
def test_the_card_is_whole(exercise):
    assert exercise.cases, "an exercise without cases passes everything"
    assert exercise.number.startswith(f"{checks.LECTURES[checks.lecture_of(exercise)]}.")
    assert len(re.findall(r"[.:?](?:\s|$)", exercise.summary)) == 2, "the summary is two sentences"
    for name in exercise.answers:
        assert f"{name}(" in exercise.statement, f"the statement lacks the signature of {name}"
    adapters = importlib.import_module(checks.adapters_of(exercise))
    for case in exercise.cases:
        assert inspect.isfunction(getattr(adapters, case.adapter))
        unpack(pack(case.given(np.random.default_rng(7))))


@each_exercise
def test_a_verdict_has_a_name(exercise):
    """It stands in a traceback, and a search finds it."""
    for case in exercise.cases:
        verify = getattr(case.verify, "func", case.verify)  # that of a partial
        assert re.fullmatch(r"[a-z_]*[a-z]{3}[a-z_0-9]*", verify.__name__), case.name


@each_exercise
def test_its_wrong_answers_are_in_a_module_of_the_same_name(exercise):
    module = next(m for m, made in MODULES.items() if made is exercise)
    mirrored = module.replace("zerotohero.course.checks", "misconceptions")
    assert {w.make.__module__ for w in WRONG_BY_NUMBER[exercise.number]} == {mirrored}


def test_numbers_sort_as_numbers(monkeypatch):
    made = {"e9_10_ten": "9.10", "e9_9_nine": "9.9", "e9_2_two": "9.2"}
    package = types.ModuleType("zerotohero.course.checks.ninth")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, package.__name__, package)
    for name, number in made.items():
        exercise = dataclasses.replace(EXERCISES[0], number=number)
        module = types.ModuleType(f"{package.__name__}.{name}")
        setattr(module, name.split("_")[2], exercise)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    modules = [types.SimpleNamespace(name=name) for name in (*sorted(made), "shared")]
    monkeypatch.setattr(checks.pkgutil, "iter_modules", lambda path: modules)
    monkeypatch.setattr(checks, "LECTURES", {"ninth": 9})
    assert [e.number for e in checks.exercises("ninth")] == ["9.2", "9.9", "9.10"]


def test_a_module_that_does_not_hold_its_exercise_is_named(monkeypatch, tmp_path):
    package = types.ModuleType("zerotohero.course.checks.tenth")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setattr(checks, "LECTURES", {"tenth": 10})
    (tmp_path / "e10_1_first.py").write_text("second = 2\n")
    with pytest.raises(ValueError, match=r"e10_1_first has to define exercise 10\.1 as first"):
        checks.exercises("tenth")


def test_nothing_is_kept_from_the_formatter():
    skipped = "fmt: " + "skip"
    files = [
        p for folder in ("zerotohero", "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py")
    ]
    assert not [path for path in files if skipped in path.read_text(encoding="utf-8")]


def test_a_module_is_short_enough_to_be_read_at_once():
    lines = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in (ROOT / "zerotohero").rglob("*.py")
    }
    assert not {path: n for path, n in lines.items() if n > 350}, "split it by topic"


def test_numbers_and_names_are_unique():
    numbers = [exercise.number for exercise in EXERCISES]
    assert len(set(numbers)) == len(numbers)
    for lecture in checks.LECTURES:
        names = [name for e in checks.exercises(lecture) for name in e.answers]
        assert len(set(names)) == len(names), f"two exercises of {lecture} share a name"


@each_exercise
def test_the_starter_fails_politely(exercise):
    outcomes = examine(exercise, answers(exercise, "exercises"))
    assert all(outcome.status != "passed" for outcome in outcomes) or any(
        notebooks.INSTEAD in cell for cell in cells("solutions", checks.lecture_of(exercise))
    ), "a stub must pass nothing"
    assert sum(o.points for o in outcomes) < exercise.points
    if all(outcome.status == "not yet" for outcome in outcomes):
        assert "not yet" in report(exercise, outcomes)
    else:
        assert hints(outcomes), "a starter with a bug in it must get the bug's hint"


# What trains is trained once: where there is a sandbox, test_grading.py marks all solutions in it.
HERE = [e for e in HANDED_IN if not e.takes or sandbox.available() is not None]


@pytest.mark.parametrize("exercise", HERE, ids=lambda e: e.number)
def test_the_solution_passes(exercise):
    outcomes = examine(exercise, answers(exercise, "solutions"))
    assert all(o.status == "passed" for o in outcomes), report(exercise, outcomes)


def raises(exercise) -> bool:
    return "raise ValueError" in source(exercise, "solutions")


@pytest.mark.parametrize("exercise", filter(raises, HERE), ids=lambda e: e.number)
def test_an_error_of_a_class_of_its_own_is_the_error_that_it_is_a_kind_of(exercise):
    text = source(exercise, "solutions")
    own = "class Refused(ValueError): pass\n\nValueError = Refused\n"
    outcomes = examine(exercise, define(own + text, exercise.answers))
    assert all(o.status == "passed" for o in outcomes), report(exercise, outcomes)


class Blank:
    """What has every method and no content."""

    def __call__(self, *given, **named):
        return 0.0


def constants():
    """What can be returned without a look at what is given."""
    inf, nan = float("inf"), float("nan")
    yield from (None, True, False, 0, 1.0, nan, inf, "", [], {}, ([], []), (0.0, 0.0))
    yield from (torch.tensor(number) for number in (0.0, 1.0, nan, inf))
    yield from ((torch.zeros(()),) * n for n in (2, 3, 5))
    yield from (np.array(0.0), np.zeros(3), np.ones((2, 3)), (np.zeros((2, 3)), np.ones(2)))
    yield from (Blank(), lambda *given: torch.zeros(len(given[0]), 27))


def refuse(*given):
    """Raise an error that says all that one could ask of it."""
    numbers = [n for g in given for n in getattr(g, "shape", (g,)) if isinstance(n, int)]
    raise ValueError(f"a batch of one or more that can't be divided, with {numbers} in it")


def in_place_of(answer, function):
    """`function` in place of an answer, or of what calling its objects does, if it is a class."""
    if not isinstance(answer, type):
        return function
    return type("Trivial", (answer,), {"__call__": lambda self, *given: function(*given)})


def filled(value, number):
    """A value of the same kind and shape in which everything is one number, or nothing."""
    if isinstance(value, torch.Tensor):
        number = 1 / (*value.shape, 1)[value.ndim - 1] if number == "even" else number
        whole = not value.is_floating_point()
        return torch.full_like(value, number == number and int(number) if whole else number)
    if isinstance(value, np.ndarray):
        number = 1 / (*value.shape, 1)[value.ndim - 1] if number == "even" else number
        whole = value.dtype.kind != "f"
        return np.full_like(value, number == number and int(number) if whole else number)
    if isinstance(value, list | tuple):
        return type(value)(filled(v, number) for v in value)
    if isinstance(value, dict):
        return {name: filled(v, number) for name, v in value.items()}
    if isinstance(value, str):
        return ""
    number = 1.0 if number == "even" else number
    return type(value)(number) if isinstance(value, float) or number in (0, 1) else number


def trivial(mine):
    """Answers that do nothing of what is asked, in place of right ones."""

    def all_of(function):
        return [in_place_of(answer, function) for answer in mine]

    def imitation(answer, number):
        def fill(c, d):  # 5.1 puts what it finds into d
            answer(c, d)
            vars(d).update({name: filled(value, number) for name, value in vars(d).items()})

        def imitate(*given, **named):
            return filled(answer(*given, **named), number)

        return fill if answer.__name__ == "all_gradients" else imitate

    for constant in constants():
        yield f"{constant!r:.40}", all_of(lambda *given, constant=constant, **named: constant)
    for i in range(7):
        yield f"argument {i}", all_of(lambda *given, i=i, **named: [*given, *named.values()][i])
    for n in (2, 3, 5):
        yield f"the first {n} arguments", all_of(lambda *given, n=n, **named: given[:n])
    yield "an error", all_of(refuse)
    for number in (0, 1, float("nan"), "even"):
        if not any(isinstance(answer, type) for answer in mine):
            yield f"all {number}", [imitation(answer, number) for answer in mine]


@pytest.mark.parametrize("exercise", [e for e in HANDED_IN if not e.takes], ids=lambda e: e.number)
def test_trivial_answers_get_nothing(exercise):
    adapters = importlib.import_module(checks.adapters_of(exercise))
    asked = []
    for case in exercise.cases:
        given = case.given(np.random.default_rng(1))
        known = unpack(pack(given))
        asked.append((case, getattr(adapters, case.adapter), known, pack(case.asked(given))))
    found = []
    for name, instead in trivial(answers(exercise, "solutions")):
        for case, adapter, known, given in asked:
            reply = unpack(run_case(adapter, instead, given))
            if judge(case, known, reply).points:
                found.append(f"{case.name}: {name}")
    assert not found


def test_one_diagnosis_for_three_networks_gets_nothing():
    for illness in PATIENTS.values():
        outcomes = examine(checks.find("4.5"), [lambda: dict.fromkeys(PATIENTS, illness)])  # noqa: B023
        assert not any(outcome.points for outcome in outcomes)


def test_a_model_that_has_learned_nothing_gets_nothing():
    def the_newest_character_again(xb):
        return 2 * torch.nn.functional.one_hot(xb[:, -1], 27).float() - 1

    outcomes = examine(checks.find("6.4"), [the_newest_character_again])
    assert not any(outcome.points for outcome in outcomes)


@pytest.mark.parametrize("exercise", [e for e in HANDED_IN if not e.takes], ids=lambda e: e.number)
def test_no_case_is_passed_by_heart(exercise):
    """A reply that is right for one seed is wrong for most others.

    A multiple choice (4.5) has one right answer, whatever the inputs.
    """
    if exercise.number == "4.5":
        return
    adapters = importlib.import_module(checks.adapters_of(exercise))
    mine = answers(exercise, "solutions")
    for case in exercise.cases:
        known = case.given(np.random.default_rng(1))
        reply = run_case(getattr(adapters, case.adapter), mine, pack(case.asked(known)))
        passed = 0
        for seed in (100, 101, 102, 103):
            given = unpack(pack(case.given(np.random.default_rng(seed))))
            passed += judge(case, given, unpack(reply)).status == "passed"
        assert passed <= 1, f"{case.name}: {passed} of 4"


def test_to_switch_off_what_watches_an_answer_is_no_way_round_it():
    def recursive(operands, root):
        sys.settrace(None)
        order = []

        def visit(name):
            if name not in order:
                for operand in operands[name]:
                    visit(operand)
                order.append(name)

        visit(root)
        return order

    assert sum(o.points for o in examine(checks.find("1.3"), [recursive])) == 0


@each_exercise
def test_there_are_three_misconceptions(exercise):
    mine = WRONG_BY_NUMBER[exercise.number]
    assert len(mine) >= 3
    assert len({w.hint for w in mine}) == len(mine), "each misconception has its own hint"


def until_its_hint(exercise, wrong):
    """The outcomes of a wrong answer as far as one that costs points and has its hint.

    No case after that can give the points back, or a hint that is the first.
    """
    outcomes, mine = [], wrong.answers
    for case in exercise.cases:
        outcomes += examine(dataclasses.replace(exercise, cases=[case]), mine)
        if outcomes[-1].points < case.points and wrong.hint in hints(outcomes):
            break
    return outcomes


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: f"{w.number}-{w.name}")
def test_a_misconception_gets_its_own_hint(wrong):
    exercise = checks.find(wrong.number)
    outcomes = until_its_hint(exercise, wrong)
    assert sum(o.points for o in outcomes) < exercise.points, "a wrong answer passed"
    assert wrong.hint in hints(outcomes), report(exercise, outcomes)
    others = [w for w in WRONG_BY_NUMBER[wrong.number] if w is not wrong]
    first = next(outcome.hint for outcome in outcomes if outcome.hint)
    assert not any(w.hint in first and wrong.hint not in first for w in others), (
        "the first hint it gets names another mistake: " + first
    )


@each_exercise
def test_the_library_does_not_hold_the_answer(exercise):
    adapters = checks.adapters_of(exercise)
    for name in marking._sources(adapters, exercise.uses):
        if not name.startswith("zerotohero.course"):
            assert not set(exercise.answers) & set(vars(importlib.import_module(name)))
