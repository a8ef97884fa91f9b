"""Lecture 09's files: what is written is read again, here and by others, or refused."""

import json
import random

import pytest
import tiktoken
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken.load import load_tiktoken_bpe

from zerotohero import sentencepiece, tokenizer_files, vocabularies
from zerotohero.splits import GPT2_SPLIT, O200K_SPLIT
from zerotohero.tokenizer import Bytes, Tokenizer

END = "<|endoftext|>"
TEXT = (
    "It's the king's men, they'll ride 1,234 miles; the men of the king DON'T.\r\n\n\tüß 字字 🙂🙂 "
    * 9
)
HARD = (
    TEXT
    + " 'S we'LL ſ'ſ 你好 🙂 \r\n\r\n  x  \t 12345 def f(x):\n    return\u00a0x\x00 camelCase  \n "
)
installed = [n for n, source in vocabularies.SOURCES.items() if vocabularies.installed(source)]


@pytest.fixture(scope="module")
def mine():
    return Tokenizer.learn(TEXT, 286, special=[END, "<é x>"])


@pytest.mark.parametrize("pattern", [None, GPT2_SPLIT, O200K_SPLIT, r"\w+|\s|[*+/-]|[\s\S]"])
def test_hugging_face_loads_what_we_learn(tmp_path, pattern):
    mine = Tokenizer.learn(TEXT, 286, special=[END], **({"pattern": pattern} if pattern else {}))
    tokenizer_files.save(mine, tmp_path / "new" / "folder")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "new" / "folder" / "tokenizer.json"))
    ids = mine.encode(HARD)
    assert theirs.encode(HARD).ids == ids and theirs.decode(ids) == HARD
    assert theirs.encode(f"a{END}b").ids == mine.encode(f"a{END}b", allowed_special="all")
    assert theirs.get_vocab_size() == len(mine)
    assert tokenizer_files.load(tmp_path / "new" / "folder") == mine


def test_transformers_loads_the_folder(mine, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer_files.save(mine, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.encode(HARD) == mine.encode(HARD)
    assert theirs.eos_token == END and theirs.eos_token_id == mine.special[END]


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == "gpt2" else pytest.mark.slow) for n in installed],
)
def test_hugging_face_loads_openai_s_vocabularies(name, tmp_path):
    ours = Tokenizer.named(name)
    tokenizer_files.save(ours, tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode(HARD).ids == ours.encode(HARD)
    prompt = "".join(ours.special)
    assert theirs.encode(prompt).ids == list(ours.special.values())
    if name == "gpt2":  # the others take seconds
        assert tokenizer_files.load(tmp_path) == ours


def test_what_hugging_face_writes_again_is_read(mine, tmp_path):
    tokenizer_files.save(mine, tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizers.Tokenizer.from_file(str(path)).save(str(path))
    assert tokenizer_files.load(path) == mine


def test_ranks_are_tiktoken_s(mine, tmp_path):
    path = tmp_path / "mine.tiktoken"
    tokenizer_files.write_ranks(mine, path)
    ranks = load_tiktoken_bpe(str(path))
    assert ranks == mine.ranks
    theirs = tiktoken.Encoding(
        "mine", pat_str=mine.pattern, mergeable_ranks=ranks, special_tokens=mine.special
    )
    assert theirs.encode_ordinary(HARD) == mine.encode_ordinary(HARD)
    assert tokenizer_files.load_ranks(path, mine.pattern, mine.special) == mine


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("ab é"), min_size=1, max_size=80), st.integers(0, 30))
def test_any_vocabulary_s_merges_come_back_from_its_ranks(text, n_merges):
    """By bytes alone: each learned piece splits into the two that it was learned from."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine = Tokenizer.learn(text, 256 + n_merges, pattern=r"[\s\S]+")
    again = mine._merged(text.encode())
    assert len(mine.merges) == len(mine.vocab) - 256
    assert again == by_merges(text.encode(), mine), "ranks do what the merges of pairs do"


def by_merges(chunk: bytes, tokenizer: Tokenizer) -> list[int]:
    """Encode as minbpe does: each merge in turn, over the whole chunk."""
    parts = [chunk[i : i + 1] for i in range(len(chunk))]
    for piece, pair in tokenizer.merges.items():
        i = 0
        while i < len(parts) - 1:
            if (parts[i], parts[i + 1]) == pair:
                parts[i : i + 2] = [piece]
            i += 1
    return [tokenizer.ranks[part] for part in parts]


# --- damaged, cut off, hostile ------------------------------------------------------------------


def test_a_cut_file_is_refused_wherever_it_is_cut(mine, tmp_path):
    tokenizer_files.save(mine, tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_bytes()
    for at in random.Random(0).sample(range(len(whole)), 40):
        path.write_bytes(whole[:at])
        with pytest.raises(ValueError, match="damaged or cut off"):
            tokenizer_files.load(path)


def test_bytes_that_are_no_json_are_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    for content in (b"", b"\xff\xfe", b"[" * 100_000, b"{", b"\x00"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or cut off"):
            tokenizer_files.load(path)
    for content in (b"[]", b"3", b"null", b"NaN", b"{}", b'"BPE"'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="no tokenizer of byte pairs"):
            tokenizer_files.load(path)
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none"):
        tokenizer_files.load(tmp_path / "none")


def put(value, *keys):
    """A change of a JSON document: the value goes to the place that the keys lead to."""

    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


CUTS = ("pre_tokenizer", "pretokenizers")
CHANGES = {
    "another version": put("9.0", "version"),
    "a normalization": put({"type": "NFC"}, "normalizer"),
    "no cuts": put(None, "pre_tokenizer"),
    "chunks that are dropped": put("Removed", *CUTS, 0, "behavior"),
    "a cut at blanks": put({"String": " "}, *CUTS, 0, "pattern"),
    "a capturing pattern": put({"Regex": "(.)"}, *CUTS, 0, "pattern"),
    "a blank in front": put(True, *CUTS, 1, "add_prefix_space"),
    "another model": put("Unigram", "model", "type"),
    "dropout": put(0.1, "model", "dropout"),
    "no shortcut": put(False, "model", "ignore_merges"),
    "no merges": put([], "model", "merges"),
    "merges in another order": lambda d: d["model"]["merges"].reverse(),
    "merges that are numbers": put([3, 4], "model", "merges"),
    "a gap": put(999, "model", "vocab", "a"),
    "a number twice": put(5, "model", "vocab", "a"),
    "a fraction": put(300.5, "added_tokens", 0, "id"),
    "a huge number": put(10**30, "added_tokens", 0, "id"),
    "a negative number": put(-1, "added_tokens", 0, "id"),
    "a number that is taken": put(7, "added_tokens", 0, "id"),
    "no name": put("", "added_tokens", 0, "content"),
    "a name that is null": put(None, "added_tokens", 0, "content"),
    "an added token that is ordinary": put(False, "added_tokens", 0, "special"),
    "a letter that stands for no byte": lambda d: d["model"]["vocab"].update({"字": 284}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_file_that_means_something_else_is_refused(mine, tmp_path, change):
    tokenizer_files.save(mine, tmp_path)
    path = tmp_path / "tokenizer.json"
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ValueError, match="no tokenizer of byte pairs as the course has: ") as error:
        tokenizer_files.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "byte 0 is missing"),
        (b"AA== 0\n", "byte 1 is missing"),
        (b"AA== 0\nAQ== 2\n", "don't go from 0 to the last"),
        (b"AA==\n", "Line 1 is not a piece"),
        (b"AA== zero\n", "Line 1 is not a piece"),
        (b"\xff\xfe 0\n", "Line 1 is not a piece"),
    ],
)
def test_damaged_ranks_are_refused(tmp_path, content, says):
    path = tmp_path / "a.tiktoken"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"a.tiktoken is not a whole file of ranks: .*{says}"):
        tokenizer_files.load_ranks(path)


def test_a_rank_twice_is_refused(mine, tmp_path):
    path = tmp_path / "a.tiktoken"
    tokenizer_files.write_ranks(mine, path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(ValueError, match="stands there twice"):
        tokenizer_files.load_ranks(path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        tokenizer_files.load_ranks(tmp_path / "none")


def test_what_was_there_stays_where_writing_fails(mine, tmp_path):
    tokenizer_files.save(mine, tmp_path)
    odd = Tokenizer([*Bytes().vocab, b"abcd"])
    with pytest.raises(ValueError, match="not merged from two older tokens"):
        tokenizer_files.save(odd, tmp_path)
    assert tokenizer_files.load(tmp_path) == mine
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "tokenizer.json",
        "tokenizer_config.json",
    ]


@pytest.mark.parametrize("pattern", [r"\w+$|[\s\S]", r"\d{1,3}+|[\s\S]", r"\s+\Z|[\s\S]"])
def test_a_pattern_that_hugging_face_reads_otherwise_is_said(tmp_path, pattern):
    with pytest.warns(UserWarning, match="library reads .* in another way"):
        tokenizer_files.save(Tokenizer(pattern=pattern), tmp_path)
    assert tokenizer_files.load(tmp_path).pattern == pattern


# --- sentencepiece ------------------------------------------------------------------------------


def message(*fields: tuple[int, int | float | bytes]) -> bytes:
    """A protobuf message of these fields, so that no library is needed to write one."""
    import struct

    def varint(n: int) -> bytes:
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

    out = b""
    for number, value in fields:
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        elif isinstance(value, float):
            out += varint(number << 3 | 5) + struct.pack("<f", value)
        else:
            out += varint(number << 3) + varint(value)
    return out


def model(pieces=(), kind=2, normalizer=b"identity", blanks=0, suffix=0) -> bytes:
    every = [("<unk>", 0.0, 2), ("<s>", 0.0, 3)]
    every += [(f"<0x{b:02X}>", 0.0, 6) for b in range(256)]
    every += [(text, -float(i), 1) for i, text in enumerate(pieces)]
    body = [(1, message((1, t.encode()), (2, score), (3, k))) for t, score, k in every]
    return message(*body, (2, message((3, kind), (24, suffix)))) + message(
        (3, message((1, normalizer), (3, 1), (4, blanks)))
    )


def test_a_sentencepiece_model_is_read_and_merges_the_best_score_first(tmp_path):
    path = tmp_path / "a.model"
    path.write_bytes(model(["bc", "ab", "▁a", "a", "b", "c", "▁"]))
    mine = sentencepiece.load(path)
    first = 258
    assert mine.encode("abc") == [first + 2, first], "bc, the best score, goes before ab"
    assert mine.encode("é") == [first + 6, 2 + 0xC3, 2 + 0xA9], "bytes where there is no piece"
    assert mine.encode("") == [] and mine.decode(mine.encode("a bé c")) == "a bé c"
    assert mine.decode([1, *mine.encode("ab")]) == "ab", "a control token is no text"
    assert mine.decode([2 + 0xF0, 2 + 0x9F, first + 3]) == "\ufffd\ufffda"
    assert mine.decode([0]) == " ⁇ "
    assert mine.decode([2 + 0x20, first + 3]) == " a", "only a piece's blank falls away"
    assert mine.decode([2 + b for b in "▁".encode()]) == "▁", "bytes say what they say"
    with pytest.raises(ValueError, match="99999 is no token"):
        mine.decode([99999])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (model(kind=1), "another kind: only byte pairs"),
        (model(normalizer=b"nmt_nfkc"), "another kind: only byte pairs"),
        (model(blanks=1), "another kind: only byte pairs"),
        (model(suffix=1), "another kind: only byte pairs"),
        (model() + message((1, message((1, b"king"), (3, 4)))), "pieces that are never cut"),
        (message((2, message((3, 2))), (3, message((1, b"identity"), (4, 0)))), "byte fallback"),
        (model()[:-3], "not a whole"),
        (b"\xff" * 30, "not a whole"),
        (b"\x0b", "not a whole"),
    ],
)
def test_a_model_of_another_kind_or_a_damaged_one_is_refused(tmp_path, content, says):
    path = tmp_path / "a.model"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        sentencepiece.load(path)


def test_it_is_sentencepiece(tmp_path):
    """Where the library is installed: on its own models, with and without the blank in front."""
    library = pytest.importorskip("sentencepiece")
    corpus = tmp_path / "text.txt"
    corpus.write_text((TEXT.replace("\r", "") + "naïve café 你好 한국어\n") * 20, "utf-8")
    signs = "abc  éü你好🙂 \t12 3'’-▁the king"
    rng = random.Random(0)
    for prefix in (True, False):
        library.SentencePieceTrainer.train(
            input=str(corpus),
            model_prefix=str(tmp_path / "m"),
            vocab_size=330,
            model_type="bpe",
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=prefix,
            minloglevel=2,
        )
        ours = sentencepiece.load(tmp_path / "m.model")
        theirs = library.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
        for _ in range(1000):
            text = "".join(rng.choice(signs) for _ in range(rng.randint(0, 20)))
            ids = [rng.randrange(len(ours)) for _ in range(5)]
            if rng.random() < 0.1:  # a blank or its sign that comes as bytes is not a piece's
                ids.insert(rng.randint(0, 5), ours.bytes[ord(" ")])
                ids[:0] = [ours.bytes[b] for b in "▁".encode()] * rng.randint(0, 1)
            assert ours.encode(text) == theirs.encode(text), text
            assert ours.decode(ids) == theirs.decode(ids), ids
