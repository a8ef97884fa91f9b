"""The exercises of lecture 10: GPT-2's weights, its start, its updates and its schedule; endings
scored, shards read by several processes, what a run costs, and a scaling law.

Nothing trains. Models are small functions with random numbers, made when a check asks. The adapters
of 10.5 to 10.8 are in `gpt2_runs.py`.
"""
