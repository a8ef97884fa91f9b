"""The exercises of lecture 03: a data set, an honest start, a learning rate, 2.17, an idea.

The reference answers are plain NumPy in float64. Exercise 3.4 never sends a held-out name to the
answer: the answer returns its logits for every context, and the verdict looks them up.
"""
