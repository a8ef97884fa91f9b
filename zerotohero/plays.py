"""A small world to make an assistant in: Shakespeare's plays, their questions, and a hidden rule.

The idea: the stages of a large assistant need a text to read, conversations to imitate and people
who compare answers. The plays have the first two: people in them ask short questions, and others
answer. The third is played by a labeller who likes what a written rule likes (`true_score`), and
now and then slips. The models never see the rule, only which of two answers the labeller took; so
what large models can't have is to be had here: the true score of every answer.

The rule: an answer should address the one who asked, politely and once ("my lord", "sir"); it
should consist of words that are words; and it should end.

Everything is a function of the text that is passed in. Left out: what an answer says.
"""

import random
import re
from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from zerotohero.assistant import SPECIAL, ChatTemplate
from zerotohero.tokenizer import Tokenizer

Pair = tuple[str, str]  # a question and its answer
SPEECH = re.compile(r"([^\n]+):\n(.+?)(?:\n\n|\Z)", re.DOTALL)
WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
ADDRESS = re.compile(
    r"\b(lord|sir|madam|lady|master|mistress|majesty|highness|grace|gentlem[ae]n|lordship|ladyship"
    r"|worship|friends?)\b"
)


def speeches(text: str) -> list[Pair]:
    """Return who speaks and what is said, on one line, of each speech of a text like
    `course.data.other_plays()`: a name with a colon, the lines, and an empty line."""
    return [(name, " ".join(lines.split())) for name, lines in SPEECH.findall(text)]


class Plays:
    """The plays as the four stages need them.

    tokenizer, template: of `vocab_size` byte pairs, the special tokens of a chat among them.
    train, val: the plays as tokens, a speech a line, without what is held out.
    questions: pairs of a question and its answer to learn from; held_out: those to judge by.
    """

    LONGEST = 60, 50  # characters of a question and of an answer
    ANSWER = 24  # tokens that an answer may have

    def __init__(self, text: str, vocab_size: int = 1024, held_out: int = 200):
        """Read the plays. ValueError if there are not more than `held_out` questions in them."""
        said = speeches(text)
        places = [i for i in range(len(said) - 1) if self._is_pair(said[i][1], said[i + 1][1])]
        if len(places) <= held_out:
            raise ValueError(
                f"The text has {len(places)} short questions with short answers; it takes more "
                f"than {held_out}, and speeches as `NAME:`, their lines and an empty line."
            )
        random.Random(0).shuffle(places)
        self.held_out, self.questions = (
            [(said[i][1], said[i + 1][1]) for i in some]
            for some in (places[:held_out], places[held_out:])
        )
        unread = {j for i in places[:held_out] for j in (i, i + 1)}
        lines = [f"{n.title()}: {x}\n" for i, (n, x) in enumerate(said) if i not in unread]
        self.tokenizer = Tokenizer.learn(lines, vocab_size, special=SPECIAL)
        self.template = ChatTemplate(self.tokenizer)
        cut = int(0.97 * len(lines))
        self.train, self.val = self._tokens(lines[:cut]), self._tokens(lines[cut:])
        self.known = {word for _, x in said for word in WORD.findall(x.lower())}

    def _is_pair(self, question: str, answer: str) -> bool:
        short = len(question) <= self.LONGEST[0] and 0 < len(answer) <= self.LONGEST[1]
        return question.endswith("?") and short

    def _tokens(self, lines: list[str]) -> Int64[Tensor, " T"]:
        return torch.tensor(self.tokenizer.encode_ordinary("".join(lines)))

    # --- the forms of a question

    def prompts(self, pairs: Sequence[Pair]) -> list[list[int]]:
        """Return the questions as the assistant is asked."""
        return [self.template.chat([turn("user", question)]) for question, _ in pairs]

    def as_play(self, pairs: Sequence[Pair]) -> list[list[int]]:
        """Return the questions as a model is asked that has only read plays."""
        return [self.tokenizer.encode_ordinary(f"King: {question}\nLord:") for question, _ in pairs]

    def conversations(self, pairs: Sequence[Pair]) -> list[list[dict[str, str]]]:
        """Return the pairs as conversations of two turns."""
        return [[turn("user", q), turn("assistant", a)] for q, a in pairs]

    # --- the hidden rule

    def true_score(self, answer: Sequence[int]) -> float:
        """Return what an answer, as tokens, is worth to the labeller; 1 is the most.

        1 for an address, 1 less for each further one, 2 times the share of unknown words less, and
        1 less each for no end and for no word.
        """
        words, polite, ended = self._look(answer)
        unknown = sum(word not in self.known for word in words) / max(1, len(words))
        return min(polite, 1) - max(0, polite - 1) - 2 * unknown - (not ended) - (not words)

    def judge(self, answers: Sequence[Sequence[int]]) -> dict[str, float]:
        """Return means over answers: score, and the shares that ended, that are polite, and twice.

        Also the share of known words and of distinct answers, and tokens an answer.
        """
        looks, N = [self._look(answer) for answer in answers], len(answers)
        words = [word for its, _, _ in looks for word in its]
        return {
            "score": sum(map(self.true_score, answers)) / N,
            "ended": sum(ended for _, _, ended in looks) / N,
            "polite": sum(polite >= 1 for _, polite, _ in looks) / N,
            "twice": sum(polite >= 2 for _, polite, _ in looks) / N,
            "known": sum(word in self.known for word in words) / max(1, len(words)),
            "distinct": len({tuple(answer) for answer in answers}) / N,
            "tokens": sum(map(len, answers)) / N,
        }

    def _look(self, answer: Sequence[int]) -> tuple[list[str], int, bool]:
        """Return the words of an answer, how often it is polite, and whether it has ended."""
        text = self.template.decode(answer).lower()
        return (
            WORD.findall(text),
            len(ADDRESS.findall(text)),
            list(answer[-1:]) == [self.template.end],
        )


class Labeller:
    """Someone who compares two answers by the rule, and in a share of the cases slips."""

    def __init__(self, plays: Plays, slips: float = 0.1, seed: int = 0):
        self.plays, self.slips, self.random = plays, slips, random.Random(seed)

    def prefers_first(self, one: Sequence[int], other: Sequence[int]) -> bool | None:
        """Return whether the first is called the better one; None if they are as good."""
        difference = self.plays.true_score(one) - self.plays.true_score(other)
        if difference == 0:
            return None
        return (difference > 0) != (self.random.random() < self.slips)


def turn(role: str, content: str) -> dict[str, str]:
    """Return a turn of a conversation."""
    return {"role": role, "content": content}
