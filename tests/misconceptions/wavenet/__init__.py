"""Wrong answers to the exercises of lecture 06, and the hint each must get."""
