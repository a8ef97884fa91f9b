"""The exercises of lecture 09: UTF-8, byte pairs learned and applied, the split, special tokens,
GPT-4's ranks, a fast trainer, and sentencepiece.

No vocabulary is needed: texts and vocabularies are made when a check asks, so that they are new to
every answer. What an answer gives as bytes travels as a list of numbers.
"""
