"""Wrong answers to the exercises of lecture 10."""
