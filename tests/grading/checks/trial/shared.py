"""What the exercises of the trial lecture are made by."""

from zerotohero.course.exercise import Exercise


class Trial(Exercise):
    time_limit = 1.5  # so that an endless loop does not hold the tests up


def trial(number, *answers, adapters="trial"):
    hints = ("one", "two", "three")
    card = (number, "Trial", 1, 1, "grading", answers, "Two. Sentences.", "A card.", hints)
    return Trial(*card, adapters=adapters)
