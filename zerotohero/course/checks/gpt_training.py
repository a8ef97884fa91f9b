"""The exercises of lecture 07 that train: addition, fine-tuning, a paper, your own data."""

EXERCISES = ()
