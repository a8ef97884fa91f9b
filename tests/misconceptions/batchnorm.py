"""Wrong answers to the exercises of lecture 04, and the hint each must get."""
