"""The exercises of lecture 01: nudging, an operation, an order, softmax, a broken loop, moons.

Reference answers are plain floats and NumPy; only 1.5 is held against the library itself.
"""
