"""The exercises of lecture 04: zeros, folding, gains, BatchNorm, a diagnosis, its relatives.

The reference answers are plain NumPy in float64. Each hint belongs to a value that the wrong
implementation gives; `_batch_norm` and `_folded` give most of them by their switches.
"""
