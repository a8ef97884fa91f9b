"""Wrong answers to the exercises of lecture 07, and the hint each must get."""
