"""The exercises of lecture 02: n-grams, splits, smoothing, cross-entropy, broadcasting, a leak.

The reference answers are plain NumPy in float64, written another way than the lecture's.
"""
