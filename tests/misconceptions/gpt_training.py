"""Wrong answers to the exercises of lecture 07 that train, and the hint each must get."""
