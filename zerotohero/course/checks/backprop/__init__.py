"""The exercises of lecture 05: every gradient by hand, then fused, then a training loop of them.

The reference answers are plain NumPy in float64. No answer can call autograd: see `_by_hand` in
the adapters. Exercise 5.1 judges each node by the gradients that the answer itself has for the
nodes after it, so that one mistake is named once, where it was made.
"""
