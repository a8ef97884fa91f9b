"""Wrong answers to the exercises of lecture 07, and the hint each must get."""

import misconceptions.gpt_training  # noqa: F401  (its wrong answers register)
