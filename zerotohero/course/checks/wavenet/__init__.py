"""The exercises of lecture 06: fusing, a bug in the statistics, convolutions, 1.993, the paper.

The reference answers are plain NumPy in float64. Exercise 6.4 takes a trained model: its adapter
runs the model on windows, and the verdict holds the characters that follow them.
"""
