"""The exercises of lecture 07: all heads at once, addition, fine-tuning, a paper, the KV cache,
top-p, a test of causality, your own data.

The reference answers are plain NumPy in float64. What trains returns numbers, not verdicts:
weights for 7.2, 7.3 and 7.8, which are put into a `zerotohero.gpt.GPT` here and tried on what the
answer never saw; logits for 7.4. Their adapters are in `gpt_training.py` and `gpt_improvements.py`,
those of 7.7 in `gpt_causality.py`.
"""
