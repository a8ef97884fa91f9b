"""What a language model knows, in figures: the right one of four endings, perplexity, bits a byte.

The idea: a model that has only learned to continue text can answer questions without being asked
any. Each possible answer is put behind the question, and the one that the model finds likeliest is
its answer. The loss of validation falls smoothly and says little to people; this rises from chance,
a quarter, and can be compared with any model's, whatever its tokens.

The test: Zellers et al. (2019), "HellaSwag: Can a Machine Really Finish Your Sentence?",
arXiv:1905.07830. Its text is prepared as `lm-eval` does (EleutherAI's harness, the figures of which
papers quote), and all figures here equal its own.

Left out: questions that are answered by writing, examples before the question, several processes.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor, nn

from zerotohero.bigram import as_tokens
from zerotohero.generation import modes_kept
from zerotohero.text import BytePairTokens, Characters, read_text
from zerotohero.training.checkpoint import bare
from zerotohero.training.machine import autocast

Tokens = Characters | BytePairTokens


# --- questions --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A context, what may follow it after a blank, and the number of the ending that is right."""

    context: str
    endings: tuple[str, ...]
    label: int

    def __post_init__(self):
        if len(self.endings) < 2 or not all(self.endings):
            raise ValueError("A question needs two endings or more, none of them empty.")
        if not 0 <= self.label < len(self.endings):
            raise ValueError(
                f"label is {self.label}, but the {len(self.endings)} endings are numbered from 0."
            )


def clean(text: str) -> str:
    """Return a text of HellaSwag's without the marks of the website that it was taken from.

    A "[title]" ends a sentence, what else stands in brackets goes, and so does a blank of two.
    """
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


def hellaswag(row: dict[str, Any]) -> Question:
    """Return a row of HellaSwag's files: "subject: what happens. And then", and four endings.

    The second part of the context begins with a capital, and the rest of it is put in small
    letters, as `lm-eval` does. KeyError if a field is missing.
    """
    context = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    return Question(clean(context), tuple(map(clean, row["endings"])), int(row["label"]))


def read_questions(path: str | Path) -> list[Question]:
    """Read a file of JSON lines: HellaSwag's own rows, or rows of context, endings and label.

    The latter are taken as they are. ValueError or OSError with one sentence, which names the line.
    """
    questions = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if "activity_label" in row:
                questions.append(hellaswag(row))
            else:
                context, endings = row["context"], row["endings"]
                if not isinstance(endings, list) or {*map(type, [context, *endings])} != {str}:
                    raise TypeError("the context is a text, and endings are a list of texts")
                questions.append(Question(context, tuple(endings), int(row["label"])))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"there is no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise ValueError(f"{path}, line {number}, is no question: {why}.") from None
    if not questions:
        raise ValueError(f"{path} holds no questions.")
    return questions


# --- completions ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """How likely a model finds an ending behind its context."""

    total: float  # the logarithm of its probability, in nats: 0 is certain
    tokens: int  # of the ending
    characters: int

    @property
    def a_token(self) -> float:
        return self.total / self.tokens

    @property
    def a_character(self) -> float:
        return self.total / self.characters


def completion(
    tokenizer: Tokens, context: str, ending: str
) -> tuple[Integer[Tensor, " T"], Integer[Tensor, " n"]]:
    """Return the tokens that are read first, and those to be scored: "context ending" in two.

    The text is encoded as a whole, since that is what models were trained on; then it is cut
    where it ceases to be the context alone. Encoded apart, a blank behind the context would be a
    token of its own, and a token across the seam would be lost. Blanks at the context's end are
    the ending's. An empty context is the start of a document.

    ValueError if there is no context, and the vocabulary has no <|endoftext|> to begin after.
    """
    alone = context.rstrip(" ")
    if alone:
        tokens, context_tokens = tokenizer.encode(f"{context} {ending}"), tokenizer.encode(alone)
        shortest = min(len(tokens), len(context_tokens))
        same = (tokens[:shortest] == context_tokens[:shortest]).long()
        seam = int(same.cumprod(0).sum())  # how many they begin with in common
        if seam:
            return tokens[:seam], tokens[seam:]
    else:
        tokens = tokenizer.encode(f"{context} {ending}")
    start = getattr(tokenizer, "end_of_text", None)
    if start is None:
        raise ValueError(
            "There is no token before the first one to be scored: give a longer context, or a "
            "vocabulary with <|endoftext|>."
        )
    return torch.tensor([start]), tokens


@torch.no_grad()
def score_tokens(
    model: nn.Module,
    pairs: Sequence[tuple[Integer[Tensor, " T"], Integer[Tensor, " n"]]],
    *,
    batch_size: int = 16,
    precision: str = "fp32",
) -> Float[Tensor, " pairs"]:
    """Return the logarithm of the probability of each second part behind its first, in float64.

    Both together may have one token more than the model's context; the first part is shortened
    from the left until they do. Rows of a batch are filled up on the right, which no token to the
    left can see, and what stands there isn't scored. The model is put in eval mode meanwhile.

    ValueError for a second part that is empty or longer than the model's context.
    """
    longest, device = bare(model).config.block_size, next(model.parameters()).device
    for before, after in pairs:
        if not 1 <= len(after) <= longest or not len(before):
            raise ValueError(
                f"{len(after)} tokens behind {len(before)} can't be scored: that takes at least "
                f"one of each, and the model's context holds {longest}."
            )
    rows = [torch.cat(pair)[-longest - 1 :] for pair in pairs]
    totals = torch.zeros(len(rows), dtype=torch.float64)
    # Alike lengths together, the longest first: what doesn't fit the memory fails at once.
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    with modes_kept(model):
        model.eval()
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            padded = nn.utils.rnn.pad_sequence([rows[i] for i in batch], batch_first=True)
            padded = as_tokens(padded).to(device)  # (B, T + 1)
            targets = padded[:, 1:]
            with autocast(device, precision):
                logits = model(padded[:, :-1])  # (B, T, V)
            likelihoods = -F.cross_entropy(
                logits.float().flatten(0, 1), targets.flatten(), reduction="none"
            ).view_as(targets)
            for i, row in zip(batch, likelihoods.double().cpu(), strict=True):
                stop = len(rows[i]) - 1
                totals[i] = row[stop - len(pairs[i][1]) : stop].sum()
    return totals


def score(
    model: nn.Module, tokenizer: Tokens, texts: Iterable[tuple[str, str]], **options
) -> list[Score]:
    """Return the Score of each (context, ending). Options are those of `score_tokens`."""
    texts = list(texts)
    return _scored(model, [completion(tokenizer, *text) for text in texts], texts, options)


def _scored(model: nn.Module, pairs: Sequence, texts: Sequence, options: dict) -> list[Score]:
    totals = score_tokens(model, pairs, **options).tolist()
    return [
        Score(total, len(tokens), len(ending))
        for total, (_, tokens), (_, ending) in zip(totals, pairs, texts, strict=True)
    ]


@dataclass(frozen=True)
class Accuracy:
    """The share of questions whose likeliest ending is the right one, by three measures.

    The sum is the probability itself, and prefers short endings; means make up for the length.
    """

    questions: int
    by_sum: float  # `lm-eval`'s acc
    by_token: float  # the mean over tokens: build-nanogpt's figure
    by_character: float  # `lm-eval`'s acc_norm: the same for all vocabularies

    @property
    def chance_error(self) -> float:
        """The standard error of by_character: how far another set of questions would lead."""
        return math.sqrt(self.by_character * (1 - self.by_character) / max(1, self.questions - 1))


def completions(
    tokenizer: Tokens, questions: Sequence[Question]
) -> list[tuple[Integer[Tensor, " T"], Integer[Tensor, " n"]]]:
    """Return the `completion` of each ending of each question, in their order."""
    return [completion(tokenizer, q.context, ending) for q in questions for ending in q.endings]


def multiple_choice(
    model: nn.Module,
    tokenizer: Tokens,
    questions: Sequence[Question],
    *,
    pairs: Sequence[tuple[Integer[Tensor, " T"], Integer[Tensor, " n"]]] | None = None,
    **options,
) -> Accuracy:
    """Let the model choose. Options are those of `score_tokens`; of equals, the first is chosen.

    pairs: what `completions` returned, for who asks the same again. ValueError if there are no
    questions.
    """
    if not questions:
        raise ValueError("There are no questions to choose the answers of.")
    texts = [(q.context, ending) for q in questions for ending in q.endings]
    pairs = completions(tokenizer, questions) if pairs is None else pairs
    scores = iter(_scored(model, pairs, texts, options))
    right = torch.zeros(3, dtype=torch.float64)
    for question in questions:
        its = [next(scores) for _ in question.endings]
        for i, measure in enumerate(("total", "a_token", "a_character")):
            values = [getattr(one, measure) for one in its]
            right[i] += values.index(max(values)) == question.label
    return Accuracy(len(questions), *(right / len(questions)).tolist())


# --- whole texts ------------------------------------------------------------------------------


def windows(
    tokens: Integer[Tensor, " N"], longest: int, stride: int
) -> Iterator[tuple[Integer[Tensor, " T"], Integer[Tensor, " n"]]]:
    """Cut tokens into pairs for `score_tokens`, so that each but the first is scored once.

    The first window scores `longest` tokens, each behind all that precede it; every other scores
    `stride` more, behind at least longest − stride + 1 tokens that were scored before. A stride of
    `longest` is the quickest, one of 1 gives every token the longest context there can be.
    """
    done = 1
    while done < len(tokens):
        stop = min(len(tokens), done + (longest if done == 1 else stride))
        yield tokens[max(0, stop - longest - 1) : done], tokens[done:stop]
        done = stop


def log_likelihood(
    model: nn.Module, tokens: Integer[Tensor, " N"], stride: int | None = None, **options
) -> float:
    """Return the logarithm of the probability of all tokens but the first, in nats.

    A stride of None is the model's context. Other options are those of `score_tokens`. ValueError
    for fewer than two tokens or a stride that the context has no room for.
    """
    longest = bare(model).config.block_size
    stride = longest if stride is None else stride
    if not 1 <= stride <= longest:
        raise ValueError(f"The stride is {stride}; it must be from 1 to the context, {longest}.")
    if len(tokens) < 2:
        raise ValueError("A text needs two tokens or more: the first only precedes the others.")
    return float(score_tokens(model, list(windows(tokens, longest, stride)), **options).sum())


def perplexity(
    model: nn.Module, tokens: Integer[Tensor, " N"], stride: int | None = None, **options
) -> float:
    """Return e to the mean loss a token: among how many equally likely ones it seems to choose.

    Only between models with the same tokens can it be compared. The rest is `log_likelihood`'s.
    """
    return math.exp(-log_likelihood(model, tokens, stride, **options) / (len(tokens) - 1))


def document(tokenizer: Tokens, text: str) -> tuple[Integer[Tensor, " N"], int]:
    """Return a text's tokens for `log_likelihood`, and how many bytes in UTF-8 it then scores.

    The text stands at the start of a document, after <|endoftext|>; in a vocabulary without it,
    its first token isn't scored, and its bytes don't count.
    """
    tokens, size = tokenizer.encode(text), len(text.encode())
    start = getattr(tokenizer, "end_of_text", None)
    if start is not None:
        tokens = torch.cat([torch.tensor([start]), tokens])
    elif len(tokens):
        size -= len(tokenizer.decode(tokens[:1]).encode())
    return tokens, size


def bits_per_byte(
    model: nn.Module, tokenizer: Tokens, text: str, stride: int | None = None, **options
) -> float:
    """Return the loss in bits over the bytes of a `document`, whatever the tokens are.

    The rest is `log_likelihood`'s.
    """
    tokens, size = document(tokenizer, text)
    return -log_likelihood(model, tokens, stride, **options) / math.log(2) / size
