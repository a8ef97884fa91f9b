"""Tokens: from the bytes of a text to the pieces that GPT-2 and GPT-4 read, a rung at a time.

The idea. A model reads numbers from a fixed list. Bytes are such a list, the shortest that can
write any text, but then a word costs a step for each of its letters. So the two neighbours that
stand together most often become one token, again and again, until the list is as long as wished.
To encode a new text, the same merges are made in the same order.

The classes are a ladder; each does what the one before it does not:

- `Bytes`: a token a byte. Any text can be written, and all of them are long.
- `BytePairs`: merges, learned from a text. But they reach across words: "the king" becomes one
  token, "the queen" another, and "king." a third.
- `SplitPairs`: a regular expression cuts the text first, and merges stay within its chunks. But
  there is no token for "here the document ends" that no text can contain.
- `Tokenizer`: special tokens, and with them the vocabularies of GPT-2, GPT-4 and GPT-4o.

    mine = Tokenizer.learn(text, vocab_size=1024, special=["<|endoftext|>"])
    gpt4 = Tokenizer.named("cl100k_base")
    gpt4.decode(gpt4.encode("tokens, not words"))

The papers: R. Sennrich and others, Neural Machine Translation of Rare Words with Subword Units
(2016), for the merges; A. Radford and others, Language Models are Unsupervised Multitask Learners
(2019), section 2.2, for bytes and for the cuts. What each method returns is, token for token, what
OpenAI's `tiktoken` returns.

New against `text`: the vocabulary is learned. Left out: unigram models, and normalising a text;
the merges themselves are in `byte_pairs`, the cuts in `splits`, OpenAI's files in `vocabularies`,
and those of one's own in `tokenizer_files`.
"""

import codecs
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import index
from typing import Literal, Self

from tqdm.auto import tqdm

from zerotohero.byte_pairs import Remembered, learn_merges, merged
from zerotohero.splits import GPT4_SPLIT, Cut, any_of, whole

END = "<|endoftext|>"  # the special token that all of OpenAI's vocabularies have
MOST = 2**31  # a bound to the numbers of special tokens: a table has a row for each number


class Bytes:
    """A token for each byte of UTF-8. Not yet: a text costs as many tokens as it has bytes."""

    def __init__(self, vocab: Iterable[bytes] = ()):
        """`vocab[i]` is what token i stands for; without one, token i is byte i.

        ValueError if a byte is missing, or one piece has two numbers.
        """
        self.vocab = list(vocab) or [bytes([i]) for i in range(256)]
        self.ranks = {piece: i for i, piece in enumerate(self.vocab)}
        if lacking := [i for i in range(256) if bytes([i]) not in self.ranks]:
            raise ValueError(f"The vocabulary lacks the byte {lacking[0]}; it needs all 256.")
        if len(self.ranks) < len(self.vocab):
            twice = Counter(self.vocab).most_common(1)[0][0]
            raise ValueError(f"The vocabulary holds {twice!r} twice, under two numbers.")

    def __len__(self) -> int:
        return len(self.vocab)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._says() == other._says()

    __hash__ = None

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self):,} tokens"

    def _says(self) -> tuple:  # what makes two of them equal
        return (self.vocab,)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`. Half a surrogate pair is encoded as "\ufffd"."""
        return self._merged(whole(text).encode())

    def _merged(self, chunk: bytes) -> list[int]:
        return [self.ranks[chunk[i : i + 1]] for i in range(len(chunk))]

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """Return the text of `ids`; what is no UTF-8 becomes "\\ufffd".

        With `errors="strict"` it is a UnicodeDecodeError. ValueError for a number that is no token.
        """
        return b"".join(self.pieces(ids)).decode("utf-8", errors)

    def pieces(self, ids: Iterable[int]) -> list[bytes]:
        """Return the bytes of each token. ValueError for a number that is no token."""
        ids = list(ids)
        try:
            return list(map(self._pieces.__getitem__, ids))
        except KeyError:  # no token, or a number of another kind, such as a tensor's
            return [self.piece(token) for token in ids]

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token. ValueError if there is no such token."""
        if (piece := self._pieces.get(index(token))) is None:
            gaps = ", with gaps" if len(self._pieces) < len(self) else ""
            raise ValueError(f"{token} is no token: they go from 0 to {len(self) - 1}{gaps}.")
        return piece

    @cached_property
    def _pieces(self) -> dict[int, bytes]:
        return dict(enumerate(self.vocab))

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the text of tokens as they come, a character only when its last byte has come."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in ids:
            if text := decoder.decode(self.piece(token)):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text


class BytePairs(Bytes):
    """Byte pairs, merged. Not yet: merges reach across words and signs, and a text is one chunk."""

    @classmethod
    def learn(
        cls,
        texts: str | Iterable[str],
        vocab_size: int,
        *,
        ties: Literal["first", "lowest"] = "first",
        alphabet: Sequence[int] = range(256),
        progress: bool = False,
        **more,
    ) -> Self:
        """Learn a vocabulary of `vocab_size` tokens from a text, or from any number of them.

        They are read one at a time, and nothing is merged across two. In each round the pair that
        is most frequent becomes a token; of equal ones that which occurs first, or has the
        `"lowest"` numbers. `alphabet` numbers the bytes: byte alphabet[i] is token i. `more` goes
        to the class. A text with too little to merge gives fewer tokens, and a warning says so.

        ValueError for fewer than 256 tokens, an alphabet that isn't all bytes, or no text at all.
        """
        new = cls(([bytes([b]) for b in alphabet]), **more)
        n_merges = vocab_size - 256
        if n_merges < 0:
            raise ValueError(f"vocab_size is {vocab_size}; it must be at least 256, for the bytes.")
        counts = Counter()
        for text in [texts] if isinstance(texts, str) else texts:
            counts.update(new.chunks(whole(text)))
        if not counts:
            raise ValueError("There is no text to learn from.")
        number = bytes.maketrans(bytes(alphabet), bytes(range(256)))
        chunks = {chunk.encode().translate(number): count for chunk, count in counts.items()}
        with tqdm(total=n_merges, desc="merges", disable=not progress) as bar:
            merges = learn_merges(chunks, n_merges, ties, bar.update)
        if len(merges) < n_merges:
            warnings.warn(
                f"After {len(merges)} merges there is no pair left, so there are "
                f"{n_merges - len(merges)} tokens fewer than asked for; a longer text gives more.",
                stacklevel=2,
            )
        vocab = new.vocab[:256]
        for a, b in merges:
            vocab.append(vocab[a] + vocab[b])
        return cls(vocab, **more)

    def chunks(self, text: str) -> list[str]:
        """Return the parts of the text that are merged each for itself: here the whole text."""
        return [text] if text else []

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`: the merges, made in the order in which they were learned."""
        return [
            token for chunk in self.chunks(whole(text)) for token in self._merged(chunk.encode())
        ]

    def _merged(self, chunk: bytes) -> list[int]:
        """Return the tokens of one chunk.

        A piece's number says when it was learned, and merges within a piece don't depend on what
        stands around it. So the pair to merge next is the one whose bytes together have the lowest
        number; which two tokens it was learned from need not be known.
        """
        if (token := self.ranks.get(chunk)) is not None:
            return [token]
        return merged(chunk, self.ranks)

    @cached_property
    def merges(self) -> dict[bytes, tuple[bytes, bytes]]:
        """Return what each merged piece was merged from, in the order of learning."""
        pairs = {}
        for token, piece in enumerate(self.vocab):
            if len(piece) > 1 and piece in self.ranks:
                halves = merged(piece, self.ranks, below=token)
                if len(halves) != 2:
                    raise ValueError(
                        f"{piece!r} was not merged from two older tokens: these ranks are no "
                        "byte-pair vocabulary."
                    )
                pairs[piece] = tuple(self.vocab[half] for half in halves)
        return pairs


class SplitPairs(BytePairs):
    """Byte pairs within chunks. Not yet: a token that no text can contain."""

    def __init__(self, vocab: Iterable[bytes] = (), pattern: str = GPT4_SPLIT):
        """`pattern` is a regular expression of the package `regex`, which cuts the text.

        ValueError if it isn't one or has groups to capture, or the vocabulary isn't whole.
        """
        super().__init__(vocab)
        self.pattern = pattern
        self._cut = Cut(pattern)
        self._tokens = Remembered(lambda chunk: self._merged(chunk.encode()))

    def _says(self) -> tuple:
        return self.vocab, self.pattern

    def chunks(self, text: str) -> list[str]:
        """Return the parts that the pattern finds, which are merged each for itself.

        ValueError if the pattern leaves something out, which would be lost.
        """
        return self._cut(text)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`."""
        ids = []
        for tokens in map(self._tokens.__getitem__, self._cut(whole(text))):
            ids += tokens
        return ids


class Tokenizer(SplitPairs):
    """A vocabulary with special tokens, as models use it."""

    def __init__(
        self,
        vocab: Iterable[bytes] = (),
        pattern: str = GPT4_SPLIT,
        special: Mapping[str, int] | Collection[str] = (),
    ):
        """`special` names the special tokens and their numbers, or names them alone.

        Without numbers they follow the vocabulary. A vocabulary may also hold them itself, as text
        under their numbers; they are no pieces then. ValueError if a number is taken, or a name
        empty.
        """
        super().__init__(vocab, pattern)
        if not isinstance(special, Mapping):
            special = {text: len(self.vocab) + i for i, text in enumerate(dict.fromkeys(special))}
        self.special = dict(special)
        for text, token in self.special.items():
            within = whole(text) == text and self.ranks.get(text.encode()) == token
            if within and len(text.encode()) > 1:
                del self.ranks[text.encode()]
            elif not text or whole(text) != text or not len(self.vocab) <= index(token) < MOST:
                raise ValueError(
                    f"The special token {text!r} can't have the number {token}: its text must not "
                    "be empty nor hold half a surrogate pair, and the numbers below "
                    f"{len(self.vocab)} are taken."
                )
        if len(set(self.special.values())) < len(self.special):
            raise ValueError("Two special tokens have the same number.")

    @classmethod
    def named(cls, name: str) -> "Tokenizer":
        """Return OpenAI's vocabulary "gpt2", "cl100k_base" (GPT-4) or "o200k_base" (GPT-4o).

        ValueError for another name; RuntimeError if it is neither installed nor to be downloaded.
        """
        from zerotohero import vocabularies

        return vocabularies.load(name)

    @classmethod
    def learn(cls, texts, vocab_size, *, special: Collection[str] = (), **more) -> Self:
        """As `BytePairs.learn`. `vocab_size` counts the special tokens, too.

        Where one stands in a text, the text is cut there, and it takes no part in the learning.
        """
        special = list(dict.fromkeys(special))
        if vocab_size < 256 + len(special):
            raise ValueError(
                f"vocab_size is {vocab_size}; it must be at least {256 + len(special)}, for the "
                f"bytes and the special tokens."
            )
        return super().learn(texts, vocab_size - len(special), special=special, **more)

    def __len__(self) -> int:
        return 1 + max(len(self.vocab) - 1, *self.special.values(), 0)

    def _says(self) -> tuple:
        return self.vocab, self.pattern, self.special

    def chunks(self, text: str) -> list[str]:
        """Return the parts that are merged each for itself; special tokens are none of them."""
        parts = any_of(frozenset(self.special)).split(text)[::2] if self.special else [text]
        return [chunk for part in parts for chunk in self._cut(part)]

    def encode(
        self,
        text: str,
        *,
        allowed_special: Collection[str] = (),
        disallowed_special: Collection[str] = "all",
    ) -> list[int]:
        """Return the tokens of `text`, with the special ones that are allowed.

        Both collections can be "all". So that a user's text never becomes a special token by
        accident, one that stands in the text and isn't allowed is a ValueError; where it is not
        in `disallowed_special` either, it is encoded as the letters that it is.
        """
        every = frozenset(self.special)
        allowed = every if allowed_special == "all" else frozenset(allowed_special)
        if unknown := allowed - every:
            raise ValueError(f"{min(unknown)!r} is no special token of this vocabulary.")
        refused = every - allowed if disallowed_special == "all" else frozenset(disallowed_special)
        if refused and (found := any_of(refused).search(text)):
            name = found[0]
            raise ValueError(
                f"The text holds {name!r}, which is a special token here. Pass "
                f"allowed_special={{{name!r}}} to encode it as one, or disallowed_special=() to "
                "encode it as the letters that it is."
            )
        if not allowed:
            return self.encode_ordinary(text)
        ids = []
        for i, part in enumerate(any_of(allowed).split(text)):
            ids += [self.special[part]] if i % 2 else self.encode_ordinary(part)
        return ids

    def encode_ordinary(self, text: str) -> list[int]:
        """Return the tokens of `text`, in which special tokens are letters as any other."""
        return super().encode(text)

    @cached_property
    def _pieces(self) -> dict[int, bytes]:
        return super()._pieces | {token: text.encode() for text, token in self.special.items()}
