"""`zerotohero sample`: what a run's model writes, to the terminal, token by token."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from zerotohero.course import adder
from zerotohero.course.run import Tokenizer, check_device, load, say
from zerotohero.gpt import GPT
from zerotohero.text import BytePairTokens


def sample(
    folder: Path,
    *,
    prompt: str | None = None,
    tokens: int = 500,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    num_samples: int = 1,
    last: bool = False,
    device: str | None = None,
) -> None:
    """Print what a run's model writes after the prompt, each token as soon as it is drawn."""
    if num_samples < 1:
        raise ValueError(f"num_samples is {num_samples}; it must be at least 1.")
    if tokens < 0:
        raise ValueError(f"tokens is {tokens}; it must be 0 or more.")
    if seed is not None and not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed}; it must be a whole number from 0 to 2**63 - 1.")
    run, model = load(folder, last)
    model.to(check_device(device))
    if run.data == "adder":
        return add(model, prompt)
    tokenizer = run.tokenizer
    documents = run.documents or run.init_from is not None
    start = encode_prompt(tokenizer, prompt or "", documents=documents)
    generator = torch.Generator()
    generator.manual_seed(seed) if seed is not None else generator.seed()
    for i in range(num_samples):
        if i:
            say("\n" + "-" * 40)
        new = model.stream(
            start,
            tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            generator=generator,
        )
        say(prompt or "", end="")
        for text in pieces(tokenizer, new):
            say(text, end="")
        say()


def pieces(tokenizer: Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
    """Yield the text of tokens as they come, but no character before its last byte has come."""
    pending = []
    for token in tokens:
        pending.append(token)
        text = tokenizer.decode(pending)
        if not text.endswith("\ufffd"):
            yield text
            pending = []
    yield tokenizer.decode(pending)


def encode_prompt(tokenizer: Tokenizer, prompt: str, documents: bool) -> torch.Tensor:
    """Return the prompt's tokens; for an empty prompt, what a text begins after.

    That is the end of a document, if the model has learned from `documents`; else a newline.

    ValueError names unknown characters.
    """
    if isinstance(tokenizer, BytePairTokens):
        if not prompt and documents and tokenizer.end_of_text is not None:
            return torch.tensor([tokenizer.end_of_text])
        return tokenizer.encode(prompt or "\n")
    if not prompt and "\n" not in tokenizer.chars:
        raise ValueError("Give a --prompt: the vocabulary has no newline to begin after.")
    try:
        return tokenizer.encode(prompt or "\n")
    except ValueError as error:
        hint = ""
        if "\\" in prompt and "\\" not in tokenizer.chars:
            hint = r" A shell passes on a newline if you write --prompt $'ROMEO:\n'."
        raise ValueError(str(error).replace("The text", "The prompt") + hint) from None


def add(model: GPT, prompt: str | None) -> None:
    """Print a sum as the model does it, or five sums that it has not seen."""
    pairs = [adder.parse(prompt)] if prompt else adder.draw_pairs()[1][:5]
    for (a, b), said in zip(pairs, adder.solve(model, pairs), strict=True):
        right = said == f"{a + b:04}"
        say(f"{a}+{b}={said.lstrip('0') or '0'}" + ("" if right else f"   (wrong: it is {a + b})"))
