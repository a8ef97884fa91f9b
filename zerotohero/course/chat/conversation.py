"""A conversation: the turns so far, and the answer that is being written.

What has been shown is what is kept, also where an answer was stopped half-way. Where the turns
grow longer than the model's context, the oldest are no longer read, and a note says so.
"""

from collections.abc import Iterator
from math import inf
from typing import NamedTuple

from zerotohero.course.chat.partner import Partner
from zerotohero.course.chat.reader import Reader


class Said(NamedTuple):
    """A piece of the answer, or a note about it; neither where only something was read."""

    text: str = ""
    note: str = ""


class Conversation:
    """Turns with a partner, and how it is to answer."""

    def __init__(self, partner: Partner, reader: Reader | None = None):
        self.partner, self.reader = partner, reader or Reader(partner.model)
        self.temperature = partner.temperature
        self.system: str | None = None  # None: what the partner has been taught to take for it
        self.turns: list[dict[str, str]] = []  # the user's and the assistant's, in turns
        self.forgotten = 0  # how many of them the model no longer reads
        self.cut = False  # whether the beginning of a text is no longer read

    def reset(self) -> None:
        """Forget all turns."""
        self.turns, self.forgotten, self.cut = [], 0, False

    def answer(self, text: str) -> Iterator[Said]:
        """Yield the answer to `text` as it is written; both are turns from then on.

        Who stops listening stops the answer, and what was written till then stays. Before the
        first word, the question is taken back. ValueError, with one sentence, for what can't be
        read or answered; nothing has changed then.
        """
        turn = {"role": "assistant", "content": ""}
        self.turns += [{"role": "user", "content": text}, turn]
        try:
            for said in self._write():
                turn["content"] += said.text
                yield said
            if not turn["content"]:
                yield Said(note="It has ended without a word, so your turn is taken back.")
        finally:
            if not turn["content"]:
                del self.turns[-2:]

    def _write(self) -> Iterator[Said]:
        written, pending = [], []
        while True:
            yield from self._make_room(written)
            prompt = self._read(written)
            if len(prompt) >= self.partner.block_size:
                yield Said(note=f"{self._full}, so the answer ends here.")
                return
            for token in self.reader.tokens(prompt, self.temperature):
                if token is None:
                    yield Said()
                    continue
                if token in self.partner.stop:
                    return
                written.append(token)
                pending.append(token)
                text = self.partner.decode(pending)
                if not text.endswith("\ufffd"):  # else a character's last byte is yet to come
                    pending = []
                    yield Said(text)
                if len(written) == self.partner.longest:
                    if self.partner.answers:
                        yield Said(note=f"The answer is cut off after {len(written):,} tokens.")
                    return

    def _read(self, written: list[int]) -> list[int]:
        """Return the tokens that the model reads: of the turns, and of its answer so far."""
        system = [{"role": "system", "content": self.system}] if self.system is not None else []
        turns = [*system, *self.turns[self.forgotten : -1]]
        ids = self.partner.prompt(turns) + written
        return ids[-3 * self.partner.block_size // 4 :] if self.cut else ids

    def _make_room(self, written: list[int]) -> Iterator[Said]:
        """Leave the oldest turns out where an answer of a quarter of the context has no room."""
        size, n = self.partner.block_size, len(self._read(written))
        if not self.partner.answers:
            if n >= size and not self.cut:
                self.cut = True
                yield Said(note=f"{self._full}: from here on the beginning is no longer read.")
            return
        before = self.forgotten
        while n + size // 4 > size and self.forgotten < len(self.turns) - 2:
            self.forgotten += 2
            n = len(self._read(written))
        if n >= size and not written:
            self.forgotten = before
            raise ValueError(
                f"That makes {n:,} tokens, and this model reads at most {size - 1:,}: shorten it."
            )
        if self.forgotten > before:
            left = self.forgotten - before
            yield Said(note=f"{self._full}: the {left} oldest turns are no longer read.")

    @property
    def _full(self) -> str:
        return f"The context of {self.partner.block_size:,} tokens is full"


def checked_temperature(text: str) -> float:
    """Return the temperature that a text says. ValueError, with one sentence, if it can't be."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value < inf:
        raise ValueError(
            f"{text} is no temperature: give 0, for always the likeliest token, or more, such as "
            "0.7."
        )
    return value
