"""Wrong answers to the exercises of lecture 05, and the hint each must get."""
