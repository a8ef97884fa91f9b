"""The exercises of lecture 11: GPT-2's parts in NumPy, its cache, sampling, classification,
adapters, eight-bit weights, and a transformer block on `Value`.

Parameters are nested dicts of arrays with the article's names, made when a check asks. An answer
needs NumPy alone, and in 11.8 lecture 01's `Value` alone.
"""
