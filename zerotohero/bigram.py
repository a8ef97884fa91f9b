"""Bigram: the next character given the one before, as a table that is counted or learned.

The idea. A name is a chain of characters with a boundary `.` at both ends. An n-gram model keeps
one row for every context of n − 1 characters and in it one number for every character that may
come next. The bigram (n = 2) looks back one character, the trigram (n = 3) two. There are two
ways to fill the table, and one class, `Ngram`, for what comes out:

- `count_model` counts. The logits of a row are the logarithms of its counts, so that softmax,
  which exponentiates and normalises, gives back the shares;
- `network_model` starts from random logits and descends the gradient of the loss. It is a network
  of one linear layer without bias: a one-hot context times the matrix `W` is a row of `W`.

Both minimise the same convex loss, so they meet. Adding k to every count (smoothing) and adding a
multiple of the mean of W² to the loss (regularisation) pull the rows the same way: to uniform.

The paper: C. E. Shannon, A Mathematical Theory of Communication (1948), which builds exactly
these approximations to English, letter by letter. A. A. Markov counted pairs of letters in 1913.

New against `micrograd`: tensors in place of scalars, data, a likelihood, sampling.
Left out: back-off and interpolation between orders, and anything that lets one context learn from
a similar one. The table grows as V**n; lecture 03 begins where that stops.
"""

import math
from collections.abc import Sequence
from operator import index

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Integer, Shaped
from torch import Tensor

BOUNDARY = "."  # stands before the first and after the last character of a word; always number 0
TABLE_LIMIT = 2**26  # cells; a table of this many floats takes 256 MB


def check_words(words: Sequence[object]) -> None:
    """Raise TypeError or ValueError with one clear sentence unless `words` is a list of words."""
    if isinstance(words, str):
        raise TypeError("words is one string; pass a list of words, such as text.split().")
    if len(words) == 0:
        raise ValueError("The word list is empty; there is nothing to count.")
    for i, word in enumerate(words):
        if not isinstance(word, str):
            raise TypeError(f"words[{i}] is {word!r}, a {type(word).__name__}; a str is needed.")
        if not word:
            raise ValueError(f"words[{i}] is an empty string; drop empty lines first.")
        if BOUNDARY in word:
            raise ValueError(
                f"words[{i}] is {word!r} and holds {BOUNDARY!r}, which marks the ends of a word; "
                "remove it or split the word there."
            )


def as_tokens(tokens: Shaped[Tensor, "*S"], name: str = "The tokens") -> Int64[Tensor, "*S"]:
    """Return tokens of any whole-number type as torch looks them up. Raises TypeError for others.

    A text of 65 characters fits into uint8, GPT-2's tokens into uint16.
    """
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise TypeError(f"{name} must be whole numbers, but their type is {tokens.dtype}.")
    return tokens.long()


def check_tokens(tokens: Int64[Tensor, "*S"], V: int, name: str = "The tokens") -> None:
    """Raise ValueError for a token that is not one of 0 to V − 1.

    Where a lookup fails by itself it is asked afterwards, to say why: looking takes time, and on
    a GPU it waits for all that is computed there.
    """
    if not tokens.numel():
        return
    low, high = tokens.min().item(), tokens.max().item()
    if low < 0 or high >= V:
        raise ValueError(
            f"{name} go from {low} to {high}, but the vocabulary of {V} has the tokens 0 to "
            f"{V - 1}: encode with the vocabulary that the model was made for."
        )


class Vocabulary:
    """The characters of a word list, numbered: the boundary `.` is 0, the rest follow sorted.

    `stoi` maps a character to its number, `itos` a number to its character, `len()` is V.
    """

    def __init__(self, words: Sequence[str]):
        """Collect the characters of `words`.

        Raises ValueError for an empty list, an empty word or a word that holds the boundary, and
        TypeError for anything that isn't a list of strings.
        """
        check_words(words)
        self.itos: list[str] = [BOUNDARY, *sorted(set("".join(words)))]
        self.stoi: dict[str, int] = {s: i for i, s in enumerate(self.itos)}

    def __len__(self) -> int:
        return len(self.itos)

    def encode(self, word: str) -> list[int]:
        """Return the numbers of a word's characters, without boundaries.

        Raises ValueError for a character outside the vocabulary.
        """
        try:
            return [self.stoi[s] for s in word]
        except KeyError as missing:
            raise ValueError(
                f"The character {missing.args[0]!r} in {word!r} is not in the vocabulary "
                f"({''.join(self.itos)})."
            ) from None

    def decode(self, ids: Sequence[int] | Integer[Tensor, " T"]) -> str:
        """Return the characters of the numbers.

        Raises ValueError for a number that isn't between 0 and V − 1.
        """
        ids = list(map(index, ids))
        for i in ids:
            if not 0 <= i < len(self):
                raise ValueError(
                    f"{i} is no character's number; they run from 0 to {len(self) - 1}."
                )
        return "".join(self.itos[i] for i in ids)


def ngrams(
    words: Sequence[str], vocabulary: Vocabulary, n: int = 2, device: torch.device | str = "cpu"
) -> Int64[Tensor, "N n"]:
    """Return every run of n characters in the words: n − 1 of context, then the one to predict.

    A word of length L gives L + 1 of them whatever n is: one for each character and one for the
    end; n − 1 boundaries stand before the first character. So losses of models with different n
    are means over the same number of predictions and can be compared.

    Raises ValueError for bad words, a character outside the vocabulary, or n < 1.
    """
    check_words(words)
    if n < 1:
        raise ValueError(f"n is {n}; it counts the predicted character too, so 1 is the least.")
    # One long stream instead of a loop over words: ..emma..olivia.. for n = 3.
    gap = BOUNDARY * max(n - 1, 1)
    try:
        ids = [vocabulary.stoi[s] for s in gap + gap.join(words) + gap]
    except KeyError:
        for word in words:
            vocabulary.encode(word)  # raises, and names the word
        raise
    windows = torch.tensor(ids, device=device).unfold(0, max(n, 2), 1)
    between_words = (windows[:, -1] == 0) & (windows[:, -2] == 0)
    return windows[~between_words][:, -n:]


def count(grams: Integer[Tensor, "N n"], V: int) -> Int64[Tensor, "contexts V"]:
    """Return how often each character follows each context: V**(n − 1) rows, one a context.

    The row of a context (i, j, …) is the number with these digits in base V. All N are counted in
    one pass over the tensor.

    Raises ValueError if the table would have more than 2**26 cells, or for a number that isn't
    below V.
    """
    grams, n = as_tokens(grams), grams.shape[1]
    check_tokens(grams, V)
    if V**n > TABLE_LIMIT:
        raise ValueError(
            f"A table for n = {n} and {V} characters has {V}**{n} = {V**n:,} cells; choose a "
            "smaller n. Counting can't look far back, which is what lecture 03 is about."
        )
    return torch.bincount(_index(grams, V), minlength=V**n).view(-1, V)


def _index(ids: Int64[Tensor, "N k"], V: int) -> Int64[Tensor, " N"]:
    """Return each row of digits in base V as one number; 0 for rows without digits."""
    place = V ** torch.arange(ids.shape[1] - 1, -1, -1, device=ids.device)
    return (ids * place).sum(1)


def _softmax(logits: Float[Tensor, "*rows V"], temperature: float) -> Float[Tensor, "*rows V"]:
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be above 0 and finite.")
    # The largest becomes 0 first, or a small temperature would make it infinite. A row of −∞
    # gives 0 / 0, which becomes a row of zeros.
    shifted = logits - logits.amax(-1, keepdim=True)
    return F.softmax(shifted / temperature, dim=-1).nan_to_num(0.0)


class Ngram:
    """An n-gram model: one row of logits for each context of n − 1 characters.

    `vocabulary`, `n` and `logits` (shape `contexts V`, contexts = V**(n − 1)) are all it holds.
    A logit of −∞ is a probability of zero. Make one with `count_model` or `network_model`.
    """

    def __init__(self, vocabulary: Vocabulary, n: int, logits: Float[Tensor, "contexts V"]):
        """Raise ValueError unless the table has the shape that vocabulary and n ask for."""
        V = len(vocabulary)
        if n < 1 or logits.shape != (V ** (n - 1), V):
            raise ValueError(
                f"The table has shape {tuple(logits.shape)}; n = {n} with {V} characters needs "
                f"({V}**{n - 1}, {V})."
            )
        self.vocabulary, self.n, self.logits = vocabulary, n, logits

    def probs(self, temperature: float = 1.0) -> Float[Tensor, "contexts V"]:
        """Return the probability of each next character: rows that sum to 1.

        The logits are divided by the temperature first: below 1 the likely become likelier, above
        1 the rows flatten. The row of a context that was never counted is all zeros.

        Raises ValueError for a temperature that isn't positive and finite.
        """
        return _softmax(self.logits, temperature)

    def losses(self, words: Sequence[str]) -> Float[Tensor, " N"]:
        """Return the negative log-likelihood of each n-gram of the words, in nats, in their order.

        It is infinite where the model gives a character the probability zero.

        Raises ValueError for bad words, for a character outside the vocabulary, and for a context
        that was never counted: its row of zeros is no distribution.
        """
        grams = ngrams(words, self.vocabulary, self.n, self.logits.device)
        rows = _index(grams[:, :-1], len(self.vocabulary))
        logprobs = F.log_softmax(self.logits, dim=1)
        if (unseen := logprobs[rows, 0].isnan()).any():
            raise self._row_of_zeros(grams[unseen][0, :-1].tolist())
        return -logprobs[rows, grams[:, -1]]

    def loss(self, words: Sequence[str]) -> float:
        """Return the mean of `losses(words)`: nats a character. Guessing blindly gives ln V."""
        return self.losses(words).mean().item()

    def sample(
        self, generator: torch.Generator, temperature: float = 1.0, max_length: int = 100
    ) -> str:
        """Draw one word, character by character, until the boundary or `max_length` characters.

        The generator must live on the device of the logits; the same state gives the same word.

        Raises ValueError for a temperature that isn't positive and finite, and for a context that
        was never counted.
        """
        V = len(self.vocabulary)
        ids = [0] * (self.n - 1)
        for _ in range(max_length):
            context = ids[len(ids) - self.n + 1 :]
            row = sum(i * V**k for k, i in enumerate(reversed(context)))
            probs = _softmax(self.logits[row], temperature)
            if not probs.any():
                raise self._row_of_zeros(context)
            ids.append(int(torch.multinomial(probs, 1, generator=generator)))
            if ids[-1] == 0:
                break
        return self.vocabulary.decode(ids[self.n - 1 :]).removesuffix(BOUNDARY)

    def _row_of_zeros(self, context: list[int]) -> ValueError:
        return ValueError(
            f"Nothing was ever counted after {self.vocabulary.decode(context)!r}, so its row of "
            "probabilities is all zeros; pass smoothing > 0 to count_model."
        )


def count_model(
    words: Sequence[str],
    n: int = 2,
    smoothing: float = 0.0,
    vocabulary: Vocabulary | None = None,
    device: torch.device | str = "cpu",
) -> Ngram:
    """Return the n-gram model of the words by counting, with `smoothing` added to every count.

    Pass a vocabulary if the model will meet words with characters that these words lack.

    Raises ValueError for bad words, n < 1, a table that is too big, or a smoothing that is
    negative or not finite.
    """
    if not 0 <= smoothing < math.inf:
        raise ValueError(f"smoothing is {smoothing}; it is added to counts, so 0 or more.")
    vocabulary = vocabulary or Vocabulary(words)
    counts = count(ngrams(words, vocabulary, n, device), len(vocabulary))
    return Ngram(vocabulary, n, (counts + smoothing).log())


def network_model(
    words: Sequence[str],
    generator: torch.Generator,
    n: int = 2,
    steps: int = 1000,
    lr: float = 50.0,
    decay: float = 0.0,
    vocabulary: Vocabulary | None = None,
    device: torch.device | str = "cpu",
) -> Ngram:
    """Return the n-gram model of the words as a one-layer network, trained by gradient descent.

    The loss is the mean negative log-likelihood plus `decay` times the mean of W². Every step
    uses all words. Equal n-grams have equal rows, so their losses are added up with their counts
    as weights instead of one by one: the same number, from V**n terms instead of N.

    Raises ValueError for what `count_model` refuses, for steps or decay below 0 or an lr not
    above 0, and ArithmeticError if the loss stops being a number.
    """
    if steps < 0 or decay < 0 or not lr > 0:
        raise ValueError(
            f"steps={steps}, lr={lr}, decay={decay}: only lr must be above 0, none may be below."
        )
    vocabulary = vocabulary or Vocabulary(words)
    counts = count(ngrams(words, vocabulary, n, device), len(vocabulary))
    share = counts / counts.sum()
    W = torch.randn(counts.shape, generator=generator, device=device).requires_grad_()
    for step in range(steps):
        loss = -(share * F.log_softmax(W, dim=1)).sum() + decay * W.square().mean()
        (grad,) = torch.autograd.grad(loss, W)
        if not loss.isfinite():
            raise ArithmeticError(f"The loss is {loss.item()} at step {step}; lower lr={lr}.")
        with torch.no_grad():
            W -= lr * grad
    return Ngram(vocabulary, n, W.detach())
