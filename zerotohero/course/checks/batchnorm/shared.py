"""What the exercises of lecture 04 share: the hint for an answer of None."""

from zerotohero.course.exercise import (
    NOTHING,
)

NONE = {r"(gave|returned) a NoneType": NOTHING}
