"""Zero to Hero: an executable course on neural networks, from a scalar autograd engine to a GPT.

One module a lecture (`micrograd`, `bigram`, `mlp`, …), each complete in itself or built on an
earlier one; the machinery around the lectures is `zerotohero.course`. Importing this package
loads none of them.
"""

__version__ = "0.1.0"

IGNORED = -100  # a target that is none: `F.cross_entropy` and all losses here pass over it
