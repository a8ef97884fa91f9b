"""From a text that is continued to a question that is answered: chat template and fine-tuning.

The idea: a language model continues what it reads. Asked a question, it may as well go on with a
second question. What makes it an assistant is a form: whose turn begins is said by a token of its
own, and the model learns, on conversations in this form, what follows the assistant's token, and
that a turn ends. The loss counts on the assistant's tokens alone; what people ask is read, and not
learned.

The tokens of the roles are no text. Encoding gives none of them, whatever is typed, so nobody who
writes a content can end a turn and begin another in somebody else's name.

The paper: Ouyang et al. (2022), "Training language models to follow instructions with human
feedback", whose first stage this is. The next ones are `preferences`, comparing two answers, and
`policy`, learning from a reward; `stages` runs them all.

New against `tokenizer`: the special tokens mean something. Left out: turns of a system's, tools,
and several conversations in one row.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from zerotohero import IGNORED
from zerotohero.tokenizer import Tokenizer

USER, ASSISTANT, END = SPECIAL = ("<|user|>", "<|assistant|>", "<|end|>")
Conversation = Sequence[dict[str, str]]  # turns, each with a role and a content


def check_turns(conversation: Conversation, roles: Iterable[str]) -> None:
    """Raise ValueError unless each turn has a content and one of the roles, and nothing else."""
    roles = list(roles)
    for turn in conversation:
        if turn.keys() != {"role", "content"} or turn["role"] not in roles:
            raise ValueError(
                f"{turn!r} is no turn of a conversation: it needs a role, which is one of "
                f"{', '.join(roles)}, and a content, and nothing else."
            )


class ChatTemplate:
    """A conversation as tokens: of each turn the role's token, the text, and the end's token."""

    def __init__(self, tokenizer: Tokenizer):
        """Take the tokenizer of the model. ValueError if it lacks one of the special tokens."""
        if lacking := [name for name in SPECIAL if name not in tokenizer.special]:
            raise ValueError(
                f"This vocabulary has no special token {lacking[0]!r}, so conversations can't be "
                f"written in it: learn one with special={list(SPECIAL)}."
            )
        self.tokenizer = tokenizer
        self.roles = {"user": tokenizer.special[USER], "assistant": tokenizer.special[ASSISTANT]}
        self.end = tokenizer.special[END]  # the model writes it when it has answered

    def chat(self, conversation: Conversation, answer: bool = True) -> list[int]:
        """Return the tokens of a conversation, at whose end the assistant is to `answer`.

        What stands in a content is text, also where it looks like a special token. ValueError for
        a turn without a role and a content, or with another role than user and assistant.
        """
        ids, _ = self.masked(conversation)
        return ids + [self.roles["assistant"]] * answer

    def masked(self, conversation: Conversation) -> tuple[list[int], list[bool]]:
        """Return the tokens of all turns, and of each whether the assistant has to write it.

        Those are the texts and the ends of its turns. Its role's token is not: whoever wants an
        answer puts it there. ValueError as for `chat`.
        """
        check_turns(conversation, self.roles)
        ids, mask = [], []
        for turn in conversation:
            written = [*self.tokenizer.encode_ordinary(turn["content"]), self.end]
            ids += [self.roles[turn["role"]], *written]
            mask += [False] + [turn["role"] == "assistant"] * len(written)
        return ids, mask

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of tokens, the special ones left out."""
        special = set(self.tokenizer.special.values())
        return self.tokenizer.decode([token for token in ids if token not in special])


class Rows(NamedTuple):
    """Token sequences of different lengths as one tensor, filled up on the right."""

    tokens: Int[Tensor, "N T"]
    mask: Bool[Tensor, "N T"]  # whether the assistant wrote this token: losses count these alone
    lengths: Int[Tensor, " N"]  # real tokens of each row; what stands behind them nobody reads

    def to(self, device: torch.device) -> "Rows":
        """Return the same on a device."""
        return Rows(*(part.to(device) for part in self))

    def shifted(self) -> tuple[Int[Tensor, "N T_less_1"], Int[Tensor, "N T_less_1"]]:
        """Return inputs and targets, as a Trainer takes them.

        The target at each position is the token that follows, if the assistant has to write that
        one; anywhere else it is IGNORED.
        """
        return self.tokens[:, :-1], self.tokens[:, 1:].masked_fill(~self.mask[:, 1:], IGNORED)


def pad(rows: Sequence[tuple[Sequence[int], Sequence[bool]]]) -> Rows:
    """Return tokens and masks of rows as tensors. ValueError if there is no row."""
    if not rows:
        raise ValueError("There is no row: give one conversation or more.")
    lengths = torch.tensor([len(ids) for ids, _ in rows])
    tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    for i, (ids, its) in enumerate(rows):
        tokens[i, : len(ids)] = torch.tensor(ids)
        mask[i, : len(ids)] = torch.tensor(its)
    return Rows(tokens, mask, lengths)


def answer_rows(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Rows:
    """Return each prompt with its answer behind it; the mask is the answer.

    ValueError if there are more of one than of the other.
    """
    pairs = zip(prompts, answers, strict=True)
    return pad([([*p, *a], [False] * len(p) + [True] * len(a)) for p, a in pairs])


def sft_rows(
    conversations: Sequence[Conversation], template: ChatTemplate
) -> tuple[Int[Tensor, "N T"], Int[Tensor, "N T"]]:
    """Return inputs and targets for supervised fine-tuning, as a Trainer takes them.

    All turns of the assistant's count, and nothing else does: no question, no token of a role, no
    padding.
    """
    return pad([template.masked(conversation) for conversation in conversations]).shifted()


def answers(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    max_new: int,
    end: int,
    generator: torch.Generator | None = None,
    **settings,
) -> list[list[int]]:
    """Return what the model answers to each prompt: the new tokens, with the `end` if it came.

    `settings` are those of `generate`, such as temperature.
    """
    options = {"stop": [end], "generator": generator, "share": True}
    rows = model.generate(prompts, max_new, **options, **settings)
    return [row[len(prompt) :] for row, prompt in zip(rows, prompts, strict=True)]
