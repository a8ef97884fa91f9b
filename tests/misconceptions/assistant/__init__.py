"""Wrong answers to the exercises of lecture 08."""
