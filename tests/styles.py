"""What lectures' tests ask of right answers in other styles, and of wrong ones and their hints."""

from zerotohero.course import checks
from zerotohero.course.checking import examine, report


def assert_passes(number: str, answers: tuple) -> None:
    """The answers get all points, whatever inputs are drawn."""
    exercise = checks.find(number)
    for seed in range(3):
        outcomes = examine(exercise, answers, seed)
        assert all(o.status == "passed" for o in outcomes), report(exercise, outcomes)


def assert_not_told(number: str, answers: object, words: str) -> None:
    """The wrong answers, or answer, lose points, and no hint has these words."""
    exercise = checks.find(number)
    outcomes = examine(exercise, answers if isinstance(answers, tuple) else (answers,))
    assert sum(outcome.points for outcome in outcomes) < exercise.points
    assert not any(words in outcome.hint for outcome in outcomes), report(exercise, outcomes)
