"""`zerotohero evaluate`: what a model knows, in the figures that others publish."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from zerotohero import scoring
from zerotohero.course import measuring
from zerotohero.course.run import check_device, say
from zerotohero.course.sources import pretrained
from zerotohero.text import read_text
from zerotohero.training.machine import DTYPES, best_device, choose_precision


def evaluate(
    source: str,
    *,
    hellaswag: str | None = None,
    texts: Sequence[Path] = (),
    stride: int | None = None,
    batch_size: int = 16,
    precision: str = "fp32",
    last: bool = False,
    device: str | None = None,
) -> None:
    """Print how a model answers questions, and how likely it finds texts.

    `source` is the folder of a run, that of a GPT-2 or Llama in Hugging Face's format, or a name
    on its hub. All that is given is read before anything is computed. ValueError or OSError with
    one sentence.
    """
    if hellaswag is None and not texts:
        raise ValueError("Name what to evaluate on: questions by --hellaswag, a text by --text.")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1.")
    if precision not in ("auto", *DTYPES):
        raise ValueError(f"There is no precision {precision!r}; it is auto, {', '.join(DTYPES)}.")
    place = torch.device(check_device(device) or best_device())
    questions = scoring.read_questions(measuring.place_of(hellaswag)) if hellaswag else []
    contents = {path: read_text(path) for path in texts}
    model, tokenizer = pretrained(source, last=last)
    T = model.config.block_size
    if stride is not None and not 1 <= stride <= T:
        raise ValueError(f"The stride is {stride}; it must be from 1 to the model's context, {T}.")
    documents = {}
    for path, text in contents.items():
        try:
            documents[path] = scoring.document(tokenizer, text)
        except ValueError as error:
            raise ValueError(f"{path} is no text for this model: {error}") from None
    asking = measuring.HellaSwag(questions, tokenizer, T, batch_size) if questions else None

    model.to(place).eval()
    precision = choose_precision(place) if precision == "auto" else precision
    options = {"batch_size": batch_size, "precision": precision}
    say(f"{source}: {model.num_params():,} parameters, on {place} in {precision}")
    for path, (tokens, size) in documents.items():
        loss = -scoring.log_likelihood(model, tokens, stride, **options)
        scored = len(tokens) - 1
        say(
            f"{path}: {loss / math.log(2) / size:.4f} bits per byte, perplexity "
            f"{math.exp(loss / scored):.2f}, on {size:,} bytes, {scored:,} tokens"
        )
    if asking:
        found = asking.accuracy(model, precision)
        say(
            f"{hellaswag}: {found.by_character:.1%} ± {found.chance_error:.1%} of "
            f"{found.questions:,} questions are right by the likelihood a character (lm-eval's "
            f"acc_norm), {found.by_sum:.1%} by the sum (acc), {found.by_token:.1%} by the mean "
            "over tokens"
        )
