"""The exercises of lecture 07: fused heads, the KV cache, top-p, and a test of causality.

Those that train (7.2, 7.3, 7.4, 7.8) are in `gpt_training.py`.
"""

from zerotohero.course.checks import gpt_training

EXERCISES = tuple(sorted((*gpt_training.EXERCISES,), key=lambda exercise: exercise.number))
