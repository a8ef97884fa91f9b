"""Lecture 10: documents become shards, whatever is killed on the way, and a run learns on them."""

import contextlib
import hashlib
import importlib.util
import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import regex
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import call
from patience import patience
from small import (
    TEXT,
    Stop,
    V,
    environment,
    gpt,
    measures,
    plan,
    read_log,
    same_each_time,
    trainer,
)
from zerotohero import documents, sharding, shards, tokenizer_files
from zerotohero.course import shard
from zerotohero.documents import CUT_THERE, Stream, TextFiles, source_of
from zerotohero.shard_writer import Plan, TooShort, alone
from zerotohero.sharding import make_shards
from zerotohero.shards import HEADER, Header, Shards, shard_name
from zerotohero.text import read_text
from zerotohero.tokenizer import END, Tokenizer
from zerotohero.training import evaluate

WORDS = ["the fox ", "a dog. ", "THE DOG:\n", "it's ", "Ünïcode ", "12 345 ", "\n\n", "字。", "\t"]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="kills and limits as Linux has them")


def words(n: int, seed: int = 0) -> str:
    return "".join(random.Random(seed).choices(WORDS, k=n))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.learn(words(500), 300, special=[END])


def right(tokenizer: Tokenizer, texts: list[str]) -> list[int]:
    """The one sequence that the shards of these documents are."""
    return [
        token
        for text in texts
        for token in [tokenizer.special[END], *tokenizer.encode_ordinary(text)]
    ]


def both(folder: Path) -> list[int]:
    return [t for split in ("val", "train") for t in Shards.of(folder, split)[:].tolist()]


def written(folder: Path, tokens: np.ndarray, split: str, sizes: list[int], vocab_size: int = V):
    """Write shards of these sizes by hand, without the code that is tested."""
    folder.mkdir(exist_ok=True)
    paths, at = [], 0
    for i, size in enumerate(sizes):
        body = np.asarray(tokens[at : at + size]).astype("<u2").tobytes()
        head = struct.pack("<4I", 20240520, 1, size, vocab_size)
        head += hashlib.sha256(body).digest() + bytes(range(32))
        paths.append(folder / f"{split}-{i:05}.bin")
        paths[-1].write_bytes(head.ljust(1024, b"\0") + body)
        at += size
    assert at == len(tokens)
    return Shards(paths)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# --- documents ------------------------------------------------------------------------------------


def texts_of(path: Path, **options) -> list[str]:
    """The documents of a source, put together from their parts."""
    texts = []
    for part in source_of(str(path)).parts(**options):
        if part.first:
            texts.append("")
        texts[-1] += part.text
    return texts


def test_a_file_without_a_sign_is_one_document_as_training_reads_it(tmp_path):
    path = tmp_path / "my.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n\n")
    assert texts_of(path) == [read_text(path)] == ["one\ntwo\rthree\n\n"]


def test_the_sign_stands_between_documents_with_a_line_of_its_own_or_without(tmp_path):
    path = tmp_path / "my.txt"
    path.write_text(f"{END}\none\n{END}\ntwo \n\n{END}{END}\n{END} three{END}\n\nfour\n")
    assert texts_of(path) == ["one", "two ", " three", "four\n"]
    path.write_bytes(f"one\r\n{END}\r\ntwo".encode())
    assert texts_of(path) == ["one", "two"]


def test_a_folder_is_read_file_by_file_in_order_of_names(tmp_path):
    for name, text in [("b.txt", "b"), ("a/z.txt", "z"), ("a/y.txt", f"y{END}x"), ("c.txt", "")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "picture.png").write_bytes(b"\xff")
    assert texts_of(tmp_path) == ["y", "x", "z", "b"]
    assert source_of(str(tmp_path)).size == 2 + 1 + len("y" + END + "x") - 1


LETTERS = "aZé字\u0301'\u2019.,!1٣ \n\r\t\u2028"
SIGNS = st.sampled_from([*LETTERS, "\r\n", "don't", END, END[:-1], "<|"])


@pytest.mark.parametrize("part", [16, 33, 100])
@given(pieces=st.lists(SIGNS, min_size=1, max_size=120))
@settings(deadline=None, max_examples=60)
def test_the_parts_of_a_document_are_cut_as_the_document_is(tmp_path_factory, part, pieces):
    text = "".join(pieces)
    path = tmp_path_factory.mktemp("parts") / "my.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        wholes = texts_of(path)
        patch.setattr(documents, "PART", part)
        cut = list(source_of(str(path)).parts())
        assert texts_of(path, whole=True) == wholes
    for pattern in CUT_THERE:
        tokenizer = Tokenizer(pattern=pattern)
        chunks = []
        for p in cut:
            if p.first:
                chunks.append([])
            chunks[-1] += tokenizer.chunks(p.text)
        assert chunks == [tokenizer.chunks(whole) for whole in wholes]


def test_a_part_before_the_documents_end_has_no_line_break_of_the_marker_either(
    tmp_path, monkeypatch
):
    path = tmp_path / "my.txt"
    long = 11 * "a" + 3 * "\u2028" + 40 * "b c"
    path.write_bytes(f"x{END}\r\n\n{long}{END}\n{long}".encode())
    for part in range(16, 60):
        monkeypatch.setattr(documents, "PART", part)
        assert texts_of(path) == ["x", long, long], part


def test_a_long_document_comes_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "PART", 1000)
    path = tmp_path / "my.txt"
    path.write_text(words(5000))
    parts = list(source_of(str(path)).parts())
    assert len(parts) > 20 and [p.first for p in parts] == [True] + [False] * (len(parts) - 1)
    assert max(len(p.text) for p in parts) < 3000
    assert "".join(p.text for p in parts) == words(5000)
    assert len(list(source_of(str(path)).parts(whole=True))) == 1


def test_from_every_position_the_rest_follows(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "PART", 60)
    for i, text in enumerate([words(40), f"one\n{END}\ntwo{END}" + words(60, 1), "three"]):
        (tmp_path / f"{i}.txt").write_bytes(text.replace("\n", "\r\n").encode())
    parts = list(source_of(str(tmp_path)).parts())
    assert len(parts) > 12
    for i, part in enumerate(parts):
        position = json.loads(json.dumps(part.after))
        source = source_of(str(tmp_path))
        assert list(source.parts(position)) == parts[i + 1 :]
        assert 0 < source.done(position) <= source.size
    assert source.done(parts[-1].after) == source.size


@pytest.mark.parametrize("at", [0, 50, 5000])
def test_a_byte_that_is_no_utf8_is_named(tmp_path, monkeypatch, at):
    monkeypatch.setattr(documents, "PART", 100)
    path = tmp_path / "my.txt"
    path.write_bytes(b"word " * (at // 5) + b"\xe9tude" + b" word" * 500)
    with pytest.raises(ValueError, match=rf"my\.txt is not UTF-8 .* position {at} is 0xe9"):
        list(source_of(str(path)).parts())


# --- a data set of Hugging Face's -----------------------------------------------------------------

# With the extra `hub`; the rest is read without it.
datasets_there = pytest.mark.skipif(
    not importlib.util.find_spec("datasets"), reason="needs the package datasets"
)


@pytest.fixture
def rows(tmp_path, monkeypatch) -> Path:
    """A data set in FineWeb-Edu's form: files of parquet, and more columns than texts."""
    import pyarrow
    import pyarrow.parquet

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "rows"
    (folder / "data").mkdir(parents=True)
    for f in range(3):
        table = pyarrow.table(
            {
                "id": [f"<urn:uuid:{f}-{i}>" for i in range(50)],
                "text": ["" if i == 7 else f"{f} {i} {words(20, f * 50 + i)}" for i in range(50)],
                "token_count": list(range(50)),
            }
        )
        path = folder / "data" / f"{f:03}_00000.parquet"
        pyarrow.parquet.write_table(table, path, row_group_size=15)
    return folder


@datasets_there
def test_a_stream_gives_its_texts_and_goes_on_from_every_row(rows):
    source = source_of(str(rows))
    assert isinstance(source, Stream) and source.size is None
    parts = list(source.parts())
    expected = [f"{f} {i} {words(20, f * 50 + i)}" for f in range(3) for i in range(50) if i != 7]
    assert [part.text for part in parts] == expected and all(part.first for part in parts)
    for i in (0, 5, 6, 13, 14, 48, 49, 100, len(parts) - 1):
        position = json.loads(json.dumps(parts[i].after))
        again = [part.text for part in source_of(str(rows)).parts(position)]
        assert again == expected[i + 1 :], i


@datasets_there
def test_shards_of_a_stream_are_those_of_its_texts_also_after_an_interruption(
    rows, tmp_path, tokenizer, monkeypatch
):
    monkeypatch.setattr(sharding, "BATCH", 500)
    expected = right(tokenizer, [part.text for part in source_of(str(rows)).parts()])
    make_shards(source_of(str(rows)), tmp_path / "at once", tokenizer, Plan(1000), progress=False)
    assert both(tmp_path / "at once") == expected

    class Broken(Stream):
        def parts(self, position=None, whole=False):
            for i, part in enumerate(super().parts(position, whole)):
                if i == 40:
                    raise ConnectionError("the hub is gone")
                yield part

    for _ in range(3):
        with pytest.raises(ConnectionError):
            make_shards(Broken(str(rows)), tmp_path / "s", tokenizer, Plan(1000), progress=False)
    make_shards(source_of(str(rows)), tmp_path / "s", tokenizer, Plan(1000), progress=False)
    assert contents(tmp_path / "s") == contents(tmp_path / "at once")


@datasets_there
def test_a_stream_that_breaks_off_is_one_sentence(rows):
    path = sorted((rows / "data").iterdir())[1]
    source = source_of(str(rows))
    path.write_bytes(path.read_bytes()[:200])
    texts = []
    with pytest.raises(ConnectionError, match=r"rows broke off \(\w+\): go on by the same command"):
        for part in source.parts():
            texts.append(part.text)
    assert len(texts) == 49


@datasets_there
def test_what_a_data_set_says_of_its_size_is_believed_about_the_room(
    rows, tmp_path, tokenizer, monkeypatch
):
    assert source_of(str(rows)).tokens is None
    (rows / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - name: id\n    dtype: string\n  - name: text\n"
        "    dtype: string\n  - name: token_count\n    dtype: int64\n  splits:\n  - name: train\n"
        "    num_bytes: 4000000\n    num_examples: 150\n  dataset_size: 4000000\n---\n"
    )
    source = source_of(str(rows))
    assert source.tokens == 10**6
    usage = sharding.shutil.disk_usage(tmp_path)._replace(free=1_900_000)
    monkeypatch.setattr(sharding.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"need about 2\.00MB, .* only 1\.90MB"):
        make_shards(source, tmp_path / "s", tokenizer, Plan(1000), progress=False)
    make_shards(source, tmp_path / "s", tokenizer, Plan(1000, 1, 1500), progress=False)


@datasets_there
def test_a_data_set_that_cannot_be_read_is_one_sentence(rows, tmp_path):
    with pytest.raises(ConnectionError, match="could not be fetched from the Hugging Face hub"):
        Stream("fineweb-edu")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.jsonl").write_text('{"content": "x"}\n')
    with pytest.raises(ValueError, match="no column 'text' with its texts; it has content"):
        source_of(str(tmp_path / "other"))


def test_without_the_package_a_stream_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match="a package is missing: pip install datasets"):
        source_of("fineweb-edu")


@pytest.mark.parametrize("name", ["nothing.txt", "./no/where", "fineweb"])
def test_a_source_that_is_not_there_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"no file or folder {regex.escape(name)}"):
        source_of(name)


def test_folders_without_text_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no files that end in \.txt"):
        source_of(str(tmp_path))
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match="is empty"):
        source_of(str(tmp_path))


# --- the file -------------------------------------------------------------------------------------


def test_a_shard_is_a_header_and_tokens_lowest_byte_first(tmp_path, tokenizer):
    (tmp_path / "my.txt").write_text("the fox")
    large = Tokenizer.named("gpt2")
    make_shards(TextFiles(tmp_path / "my.txt"), tmp_path / "s", large, Plan(2), progress=False)
    content = (tmp_path / "s" / "val-00000.bin").read_bytes()
    body = b"\x50\xc4" + struct.pack("<H", large.encode("the")[0])  # 50256 first
    assert content[HEADER:] == body
    assert struct.unpack("<4I", content[:16]) == (20240520, 1, 2, 50257)
    assert content[16:48] == hashlib.sha256(body).digest()
    assert content[48:80] == shards.vocabulary_hash(large)
    assert not any(content[80:1024])


def test_vocabularies_are_told_apart_by_all_that_makes_tokens(tokenizer):
    digest = shards.vocabulary_hash(tokenizer)
    same = Tokenizer(tokenizer.vocab, tokenizer.pattern, tokenizer.special)
    assert shards.vocabulary_hash(same) == digest and len(digest) == 32
    swapped = [*tokenizer.vocab[:-2], tokenizer.vocab[-1], tokenizer.vocab[-2]]
    for other in (
        Tokenizer(swapped, tokenizer.pattern, tokenizer.special),
        Tokenizer(tokenizer.vocab, r"\s+|\S+", tokenizer.special),
        Tokenizer(tokenizer.vocab, tokenizer.pattern, {END: 5000}),
        Tokenizer(tokenizer.vocab, tokenizer.pattern, {"<|end|>": tokenizer.special[END]}),
    ):
        assert shards.vocabulary_hash(other) != digest


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    starts=st.lists(st.integers(0, 80), max_size=10),
    width=st.integers(1, 40),
)
@settings(deadline=None, max_examples=60)
def test_rows_go_on_over_the_ends_of_shards(tmp_path_factory, sizes, starts, width):
    tokens = np.random.default_rng(0).integers(0, V, sum(sizes))
    its = written(tmp_path_factory.mktemp("rows"), tokens, "train", sizes)
    assert len(its) == len(tokens)
    starts = [start for start in starts if start + width <= len(tokens)]
    rows = its.rows(np.array(starts, np.int64), width)
    assert rows.tolist() == [tokens[s : s + width].tolist() for s in starts]
    for a in range(-3, len(tokens) + 2):
        assert its[a : a + width].tolist() == tokens[a : a + width].tolist()


def test_no_more_files_are_open_than_need_be(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAPPED", 3)
    tokens = np.arange(200) % V
    its = written(tmp_path, tokens, "train", [10] * 20)
    before = len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 0
    assert its.rows(np.arange(0, 190), 11).tolist() == [
        tokens[i : i + 11].tolist() for i in range(190)
    ]
    if before:
        assert len(os.listdir("/dev/fd")) <= before + 3


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda c: c[:-1], "cut off or damaged: it says that it holds 20 tokens"),
        (lambda c: c + b"\0\0", "has room for 21"),
        (lambda c: c[:1000], "is no shard"),
        (lambda c: b"", "is no shard"),
        (lambda c: b"x" + c[1:], "is no shard"),
        (lambda c: c[:4] + b"\2" + c[5:], "of version 2; 1 is read here"),
        (lambda c: c[:8] + b"\xff" * 4 + c[12:], "4,294,967,295 tokens"),
        (lambda c: c[:12] + bytes(4) + c[16:], "doesn't say which vocabulary"),
        (lambda c: c[:12] + b"\1\0\1\0" + c[16:], "doesn't say which vocabulary"),
        (lambda c: c[:16] + bytes(1008) + c[1024:], "doesn't say which vocabulary"),  # llm.c's
        (lambda c: c[:48] + b"\xff" + c[49:], "is of another vocabulary than"),
    ],
)
def test_a_shard_that_is_not_whole_is_named(tmp_path, damage, says):
    its = written(tmp_path, np.arange(60) % V, "train", [20, 20, 20])
    path = its.paths[1]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"train-00001\.bin .*{says}"):
        Shards(its.paths)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no shard .*train-00001\.bin"):
        Shards(its.paths)


def test_a_bit_that_fell_over_is_found_by_who_looks(tmp_path):
    its = written(tmp_path, np.arange(60) % V, "train", [20, 20, 20])
    seen = []
    its.verify(seen.append)
    assert sum(seen) == 120
    content = bytearray(its.paths[2].read_bytes())
    content[HEADER + 30] ^= 4
    its.paths[2].write_bytes(content)
    with pytest.raises(ValueError, match=r"train-00002\.bin is damaged: its SHA-256 is wrong"):
        Shards(its.paths).verify()


# --- memory ---------------------------------------------------------------------------------------


def sparse(path: Path, count: int) -> Shards:
    """A shard of so many zeros, which takes no room on the disk."""
    with open(path, "wb") as file:
        file.write(Header(count, V, b"\1" * 32, b"\2" * 32).packed())
        file.truncate(HEADER + 2 * count)
    return Shards([path])


READING = """
import os, resource, sys
import numpy as np
from pathlib import Path
from zerotohero.shards import HEADER, Shards
first, path = map(Path, sys.argv[1:])
if child := os.fork():  # whose peak of memory is its own
    if os.waitpid(child, 0)[1]:
        raise SystemExit("the first could not be read")
else:
    path = first
resource.setrlimit(resource.RLIMIT_DATA, (10**9, 10**9))
its = Shards([path])
draw = np.random.default_rng(0)
for step in range(300):
    its.rows(draw.integers(0, len(its) - 1025, 12), 1025)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) // 1024)
try:
    np.fromfile(path, "<u2")
    print("could be read whole")
except MemoryError:
    print("more than it may allocate")
"""


@LINUX
def test_memory_is_flat_from_ten_megabytes_to_more_than_may_be_allocated(tmp_path, root):
    paths = [tmp_path / "small.bin", tmp_path / "large.bin"]
    for path, size in zip(paths, (10**7, 4 * 10**9), strict=True):
        sparse(path, size // 2)
    done = subprocess.run(
        [sys.executable, "-c", READING, *paths],
        capture_output=True,
        text=True,
        env=environment(root),
    )
    assert done.returncode == 0, done.stderr
    small, whole, large, more = done.stdout.splitlines()
    assert (whole, more) == ("could be read whole", "more than it may allocate")
    assert abs(int(large) - int(small)) < 50, "megabytes of memory"


def test_pages_that_were_read_are_given_back(tmp_path):
    """The numbers read are right before and after."""
    tokens = np.arange(5000) % V
    its = written(tmp_path, tokens, "train", [2500, 2500])
    for _ in range(3):
        starts = np.arange(0, 4900, 13)
        assert its.rows(starts, 20).tolist() == [tokens[s : s + 20].tolist() for s in starts]
    assert len(starts) > 2 * shards.KEPT_ROWS


# --- making them ----------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path) -> Path:
    (tmp_path / "texts").mkdir()
    for i in range(3):
        (tmp_path / "texts" / f"{i}.txt").write_text(words(300, seed=i))
    return tmp_path / "texts"


def test_every_token_is_there_once_in_order_with_a_sign_before_each_document(
    three, tmp_path, tokenizer
):
    made = make_shards(TextFiles(three), tmp_path / "s", tokenizer, Plan(100, 2), progress=False)
    expected = right(tokenizer, [words(300, seed=i) for i in range(3)])
    assert both(tmp_path / "s") == expected and made["tokens"] == len(expected)
    assert made["documents"] == 3 and made["finished"]
    val, train = (Shards.of(tmp_path / "s", split) for split in ("val", "train"))
    assert len(val) == 200 and len(train) == len(expected) - 200
    names = [shard_name("val", i) for i in range(2)]
    names += [shard_name("train", i) for i in range(-(-len(train) // 100))]
    others = {"shards.json", "tokenizer.json", "tokenizer_config.json"}
    assert set(contents(tmp_path / "s")) == {*names, *others}, "and nothing left over"
    assert tokenizer_files.load(tmp_path / "s") == tokenizer
    train.verify()


def test_a_text_that_spells_the_sign_does_not_become_it(tmp_path, tokenizer):
    """In a data set it is text; only in a file it separates."""
    ids = sharding._tokens(tokenizer, [(f"a{END}b", True)]).tolist()
    assert ids.count(tokenizer.special[END]) == 1 and ids[0] == tokenizer.special[END]
    assert tokenizer.decode(ids) == f"{END}a{END}b"


def test_two_processes_write_the_same_bytes(three, tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(sharding, "BATCH", 300)
    monkeypatch.setattr(documents, "PART", 200)
    for n in (1, 2):
        make_shards(
            TextFiles(three), tmp_path / str(n), tokenizer, Plan(70), processes=n, progress=False
        )
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.parametrize("n_tokens", [141, 350, 351, 10**9])
def test_it_stops_at_as_many_tokens_as_asked_for(three, tmp_path, tokenizer, n_tokens):
    plan = Plan(70, 2, n_tokens)
    made = make_shards(TextFiles(three), tmp_path / "s", tokenizer, plan, progress=False)
    expected = right(tokenizer, [words(300, seed=i) for i in range(3)])[:n_tokens]
    assert both(tmp_path / "s") == expected
    assert made["documents"] == expected.count(tokenizer.special[END])


def test_a_pattern_of_ones_own_is_given_whole_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "PART", 50)
    text = words(100)
    (tmp_path / "my.txt").write_text(text)
    odd = Tokenizer.learn(text * 2, 300, pattern=r"(?s).{1,7}", special=[END])
    make_shards(TextFiles(tmp_path / "my.txt"), tmp_path / "s", odd, Plan(20), progress=False)
    assert both(tmp_path / "s") == right(odd, [text])


def test_what_is_finished_is_left_as_it_is(three, tmp_path, tokenizer):
    plan = Plan(70)
    make_shards(TextFiles(three), tmp_path / "s", tokenizer, plan, progress=False)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").iterdir()}
    made = make_shards(TextFiles(three), tmp_path / "s", tokenizer, plan, progress=False)
    assert made["finished"]
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "s").iterdir()}


def test_another_plan_in_the_same_folder_is_refused(three, tmp_path, tokenizer):
    source, folder = TextFiles(three), tmp_path / "s"
    make_shards(source, folder, tokenizer, Plan(70), progress=False)
    other = Tokenizer.learn(words(100), 290, special=[END])
    before = contents(folder)
    for change, says in (
        ((source, folder, tokenizer, Plan(71)), "another shard tokens"),
        ((source, folder, tokenizer, Plan(70, 2)), "another val shards"),
        ((source, folder, tokenizer, Plan(70, 1, 500)), "another tokens"),
        ((source, folder, other, Plan(70)), "another vocabulary"),
        ((TextFiles(three / "0.txt"), folder, tokenizer, Plan(70)), "another source"),
    ):
        with pytest.raises(ValueError, match=f"holds shards of {says}.*; name a new folder"):
            make_shards(*change, progress=False)
    (three / "1.txt").write_text("changed")
    with pytest.raises(ValueError, match="the source has changed since"):
        make_shards(TextFiles(three), folder, tokenizer, Plan(70), progress=False)
    assert contents(folder) == before


def test_a_folder_with_something_else_is_left_alone(three, tmp_path, tokenizer):
    with pytest.raises(ValueError, match="holds something else"):
        make_shards(TextFiles(three), three, tokenizer, Plan(70), progress=False)
    assert sorted(path.name for path in three.iterdir()) == ["0.txt", "1.txt", "2.txt"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shard_tokens": 0}, "can't have 0 tokens"),
        ({"shard_tokens": 2**31}, "can't have 2,147,483,648 tokens"),
        ({"val_shards": 0}, "At least one shard"),
        ({"tokens": 100}, "100 tokens would leave none to train on"),
    ],
)
def test_a_plan_that_cannot_be_is_named(change, says):
    with pytest.raises(ValueError, match=says):
        Plan(**{"shard_tokens": 100} | change)


@pytest.mark.parametrize("kept", [False, True])
def test_a_text_too_short_for_both_parts_leaves_nothing(three, tmp_path, tokenizer, kept):
    n = len(right(tokenizer, [words(300, seed=i) for i in range(3)]))
    if kept:
        (tmp_path / "s").mkdir()
    with pytest.raises(TooShort, match=f"only {n:,} tokens, and validation takes {n:,}"):
        make_shards(TextFiles(three), tmp_path / "s", tokenizer, Plan(n), progress=False)
    assert (tmp_path / "s").exists() == kept
    make_shards(TextFiles(three), tmp_path / "t", tokenizer, Plan(n - 1), progress=False)
    assert len(Shards.of(tmp_path / "t", "train")) == 1


def test_a_vocabulary_that_two_bytes_cannot_number_is_refused(three, tmp_path, tokenizer):
    large = Tokenizer(tokenizer.vocab, special={END: 65536})
    for other in (large, Tokenizer(tokenizer.vocab)):
        with pytest.raises(ValueError, match="at most 65,536 tokens, with "):
            make_shards(TextFiles(three), tmp_path / "s", other, Plan(70), progress=False)
    largest = Tokenizer(tokenizer.vocab, special={END: 65535})
    make_shards(TextFiles(three), tmp_path / "s", largest, Plan(70), progress=False)
    assert both(tmp_path / "s").count(65535) == 3


def test_the_room_is_looked_at_before_anything_is_written(three, tmp_path, tokenizer, monkeypatch):
    n = len(right(tokenizer, [words(300, seed=i) for i in range(3)]))
    usage = sharding.shutil.disk_usage(tmp_path)
    for free, enough in ((int(2 * n * 0.8), False), (int(2 * n * 1.2), True)):
        monkeypatch.setattr(sharding.shutil, "disk_usage", lambda _, f=free: usage._replace(free=f))
        if enough:
            make_shards(TextFiles(three), tmp_path / "s", tokenizer, Plan(70), progress=False)
            continue
        with pytest.raises(OSError, match=r"need about .*B, but the disk of .* has only .*B left"):
            make_shards(TextFiles(three), tmp_path / "s", tokenizer, Plan(70), progress=False)
        assert not (tmp_path / "s").exists()


def test_a_second_program_waits_for_nobody_but_says_so(three, tmp_path, tokenizer):
    pytest.importorskip("fcntl")
    (tmp_path / "s").mkdir()
    with (
        alone(tmp_path / "s"),
        pytest.raises(ValueError, match="Another program is writing to "),
    ):
        make_shards(TextFiles(three), tmp_path / "s", tokenizer, Plan(70), progress=False)
    make_shards(TextFiles(three), tmp_path / "s", tokenizer, Plan(70), progress=False)


def test_the_bar_knows_how_much_there_is(three, tmp_path, tokenizer, monkeypatch):
    bars = []

    def bar(*arguments, **options):
        bars.append(tqdm(*arguments, **options))
        return bars[-1]

    tqdm = sharding.tqdm
    monkeypatch.setattr(sharding, "tqdm", bar)
    source = TextFiles(three)
    make_shards(source, tmp_path / "s", tokenizer, Plan(70))
    make_shards(source, tmp_path / "t", tokenizer, Plan(70, 1, 500))
    assert [(b.n, b.total, b.unit) for b in bars] == [
        (source.size, source.size, "B"),
        (500, 500, "token"),
    ]


# --- killed ---------------------------------------------------------------------------------------

# Forks a child for each kill, which dies, or is interrupted, at a place drawn among the calls and
# returns of functions. `run` makes it all, or goes on with it.
KILLING = """
import os, random, signal, sys

def counted(run, at, how):
    seen = 0
    def count(frame, event, what):
        nonlocal seen
        seen += 1
        if seen == at:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)

def child(run, at=0, how=""):
    pid = os.fork()
    if not pid:
        sys.stderr = open(os.devnull, "w")
        code = 0
        try:
            counted(run, at, how)
        except KeyboardInterrupt:
            code = 7
        except BaseException as error:
            print(repr(error), flush=True)
            code = 1
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def killed(run, how, times, seed, calls):
    draw, stopped = random.Random(seed), 0
    for _ in range(times):
        code = child(run, draw.randrange(1, calls), how)
        if code not in (-9, 7):
            break
        stopped += 1
    print("ended", child(run), "after", stopped)
"""


def times_stopped(program: str, command: list, root: Path) -> int:
    """Run a program that is begun again until it ends, and return how often it was stopped."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, command)],
        capture_output=True,
        text=True,
        env=environment(root),
    )
    ended = regex.fullmatch(r"ended 0 after (\d+)\n", done.stdout)
    assert ended, done.stdout + done.stderr
    return int(ended[1])


SHARDING = """
from pathlib import Path
from zerotohero import documents, sharding, shard_writer, tokenizer_files
from zerotohero.shard_writer import Plan
source, folder, how, times, tokens, seed, calls = sys.argv[1:]
tokenizer = tokenizer_files.load(tokens)
documents.PART, sharding.BATCH, shard_writer.COMMIT = 200, 300, 3
source = documents.TextFiles(Path(source))
plan = Plan(70, 2, 1500)
run = lambda: sharding.make_shards(source, Path(folder), tokenizer, plan, progress=False)
killed(run, how, int(times), int(seed), int(calls))
"""


@LINUX
@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_killed_twenty_times_at_random_places_the_bytes_are_the_same(
    three, tmp_path, tokenizer, monkeypatch, root, how
):
    monkeypatch.setattr(documents, "PART", 200)
    monkeypatch.setattr(sharding, "BATCH", 300)
    monkeypatch.setattr("zerotohero.shard_writer.COMMIT", 3)
    tokenizer_files.save(tokenizer, tmp_path / "tok")
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        make_shards(
            TextFiles(three), tmp_path / "right", tokenizer, Plan(70, 2, 1500), progress=False
        )
    finally:
        sys.setprofile(None)
    assert len(contents(tmp_path / "right")) == 22 + 3
    stopped = 0
    for seed in range(4):  # about five times in each of four folders
        folder = tmp_path / f"{how} {seed}"
        command = [three, folder, how, 9, tmp_path / "tok", seed, calls // 3]
        stopped += times_stopped(KILLING + SHARDING, command, root)
        assert contents(folder) == contents(tmp_path / "right"), seed
    assert stopped >= 20


@LINUX
def test_killed_from_outside_two_processes_leave_nobody_behind_and_go_on(
    three, tmp_path, tokenizer, root
):
    """The command itself, killed when the first tokens are on the disk."""
    big = tmp_path / "big.txt"
    big.write_text(words(300_000))
    tokenizer_files.save(tokenizer, tmp_path / "tok")
    command = [sys.executable, "-m", "zerotohero.course.cli", "data", "shards", big]
    options = ["--tokenizer", tmp_path / "tok", "--processes", "2", "--shard-tokens", "50000"]
    for attempt in range(2):
        process = subprocess.Popen(
            [*map(str, [*command, tmp_path / "s", *options])],
            env=environment(root),
            stdout=subprocess.DEVNULL,
        )
        wanted = tmp_path / "s" / shard_name("train", attempt)
        deadline = time.monotonic() + patience(30)
        while not wanted.exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait()
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline, "a process waits for one that is dead"
            time.sleep(0.05)
    done = subprocess.run([*map(str, [*command, tmp_path / "s", *options])], env=environment(root))
    assert done.returncode == 0
    assert both(tmp_path / "s") == right(tokenizer, [big.read_text()])


@LINUX
def test_a_disk_that_is_full_loses_nothing(three, tmp_path, tokenizer, monkeypatch):
    import resource

    monkeypatch.setattr("zerotohero.shard_writer.COMMIT", 1)
    monkeypatch.setattr(documents, "PART", 200)
    monkeypatch.setattr(sharding, "BATCH", 300)
    plan, limits = Plan(1700), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        monkeypatch.setattr(tokenizer_files, "save", lambda *_: None)  # it is larger than that
        with pytest.raises(OSError, match="too large"):
            make_shards(TextFiles(three), tmp_path / "s", tokenizer, plan, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        monkeypatch.undo()
    make_shards(TextFiles(three), tmp_path / "s", tokenizer, plan, progress=False)
    assert both(tmp_path / "s") == right(tokenizer, [words(300, seed=i) for i in range(3)])


def test_shards_that_are_not_those_that_were_written_are_not_gone_on_with(
    three, tmp_path, tokenizer, monkeypatch
):
    monkeypatch.setattr(sharding, "BATCH", 300)
    monkeypatch.setattr(documents, "PART", 200)

    class Broken(TextFiles):
        def parts(self, *arguments, **options):
            for i, part in enumerate(super().parts(*arguments, **options)):
                if i == 20:
                    raise OSError("the disk is gone")
                yield part

    folder = tmp_path / "s"
    with pytest.raises(OSError, match="gone"):
        make_shards(Broken(three), folder, tokenizer, Plan(70), progress=False)
    with pytest.raises(ValueError, match="not finished: go on by the command"):
        Shards.of(folder, "train")
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    (part,) = folder.glob("*.part")
    first = folder / shard_name("val", 0)
    for path, content, says in (
        (part, part.read_bytes()[:1020], "shorter than shards.json"),
        (part, None, "shorter than shards.json"),
        (first, first.read_bytes()[:-2], "cut off or damaged"),
        (first, None, "no shard"),
        (folder / "shards.json", b"{}", "is damaged, or of another program"),
        (folder / "shards.json", b"\xff", "is damaged, or of another program"),
    ):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises((ValueError, OSError), match=says):
            make_shards(TextFiles(three), folder, tokenizer, Plan(70), progress=False)
        for name, its in whole.items():
            name.write_bytes(its)
    make_shards(TextFiles(three), folder, tokenizer, Plan(70), progress=False)
    assert both(folder) == right(tokenizer, [words(300, seed=i) for i in range(3)])


# --- training on them -----------------------------------------------------------------------------


@pytest.fixture
def split(tmp_path) -> tuple[Shards, Shards]:
    """TEXT, in shards of which some are shorter than a row."""
    text = TEXT.numpy()
    return (
        written(tmp_path / "train", text, "train", [100, 3, 1, 5, 91, 100]),
        written(tmp_path / "val", text[:100], "val", [60, 40]),
    )


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_on_shards_is_the_run_on_the_text(split, accumulate):
    config = plan(accumulate=accumulate)
    on_text = trainer(config).run()
    on_shards = trainer(config, data=split[0], val=split[1]).run()
    assert same_each_time(on_shards.log) == same_each_time(on_text.log)
    for p, q in zip(on_text.model.parameters(), on_shards.model.parameters(), strict=True):
        assert torch.equal(p, q)


def test_the_mean_loss_over_shards_is_that_over_the_text(split):
    for tokens in (2, 7, 8, 9, 10, 65, 100):
        text = TEXT[:tokens]
        folder = split[0].paths[0].parent.parent / str(tokens)
        its = written(folder, text.numpy(), "val", [1] * (tokens - 1) + [1])
        for batch_size in (1, 3, 64):
            ours = evaluate(gpt(), its, batch_size=batch_size)
            assert ours == pytest.approx(evaluate(gpt(), text, batch_size=64), abs=1e-6)


@pytest.mark.parametrize("step", [1, 8, 17, 29])
def test_a_run_that_broke_goes_on_to_the_same_losses(split, tmp_path, step):
    data = {"data": split[0], "val": split[1]}
    whole = trainer(folder=tmp_path / "whole", **data).run()
    broken = trainer(folder=tmp_path / "run", **data)

    def stop(t):
        if t.step == step:
            raise Stop

    broken.on("step", stop)
    with contextlib.suppress(Stop):
        broken.run()
    again = [Shards(its.paths) for its in split]
    resumed = trainer(folder=tmp_path / "run", resume=True, data=again[0], val=again[1]).run()
    assert same_each_time(resumed.log) == same_each_time(whole.log)
    assert same_each_time(read_log(tmp_path / "run")) == same_each_time(whole.log)


TRAINING = """
from pathlib import Path
from small import measures, plan, trainer
from zerotohero.shards import Shards
folder, train, val, times, seed, calls = sys.argv[1:]
data = {s: Shards(sorted(Path(f).iterdir())) for s, f in (("data", train), ("val", val))}
options = {"folder": folder, "resume": True, "measures": measures(), **data}
run = lambda: trainer(plan(), **options).run()
killed(run, "kill", int(times), int(seed), int(calls))
"""


@LINUX
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_run_has_the_losses_and_measures_of_one_that_was_not(split, tmp_path, root, kills):
    data = {"data": split[0], "val": split[1], "measures": measures()}
    whole = trainer(folder=tmp_path / "whole", **data).run()
    assert whole.log[-1]["text"] and whole.log[-1]["size"]
    folders = [its.paths[0].parent for its in split]
    stopped = 0
    for seed in range(4):  # as many runs as it takes
        folder = tmp_path / f"run {seed}"
        command = [folder, *folders, kills, seed, 60_000]
        stopped += times_stopped(KILLING + TRAINING, command, root)
        assert same_each_time(read_log(folder)) == same_each_time(whole.log)
        if stopped >= kills:
            break
    assert stopped >= kills


def test_a_run_does_not_go_on_with_other_shards(split, tmp_path):
    trainer(folder=tmp_path / "run", data=split[0], val=split[1]).run()
    text = TEXT.numpy().copy()
    text[5] = (text[5] + 1) % V
    other = written(tmp_path / "other", text, "train", [300])
    with pytest.raises(ValueError, match="with other training data"):
        trainer(folder=tmp_path / "run", resume=True, data=other, val=split[1])


def test_shards_that_a_model_cannot_be_fed_are_named(tmp_path):
    large = written(tmp_path / "large", TEXT.numpy(), "train", [300], vocab_size=12)
    with pytest.raises(ValueError, match="of a vocabulary of 12, but the model knows 0 to 10"):
        trainer(data=large)
    short = written(tmp_path / "short", TEXT[:8].numpy(), "train", [8])
    with pytest.raises(ValueError, match="train_data has 8 tokens, but 9 are needed"):
        trainer(data=short)


def test_nothing_but_headers_and_rows_is_read_at_the_start(tmp_path):
    """Of a shard of eight gigabytes."""
    its = sparse(tmp_path / "huge.bin", 4 * 10**9)
    run = trainer(plan(steps=2, warmup=1), data=its, val=its, folder=tmp_path / "run").run()
    assert run.step == 2


# --- the command ----------------------------------------------------------------------------------

MODEL = ["n_layer=1", "n_head=2", "n_embd=16", "block_size=16"]
TINY = [*MODEL, "steps=6", "batch_size=4", "eval_every=3", "eval_batches=2", "precision=fp32"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with a folder of texts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    for i in range(8):
        (tmp_path / "texts" / f"{i}.txt").write_text(words(300, seed=i))
    return tmp_path


SHARDS = ["data", "shards", "texts", "sh", "--tokenizer", "300", "--processes", "1"]


def test_from_a_folder_of_texts_to_a_model_and_on_from_there(here):
    said = call(*SHARDS)
    assert said.exit_code == 0, said.output
    assert "8 documents became" in said.stdout and "to validate" in said.stdout
    train = Shards.of(here / "sh", "train")
    assert train.vocab_size == 300 and len(train.paths) >= 8
    run = ["train", "gpt-nano", *TINY, "--data", "sh"]
    said = call(*run)
    assert said.exit_code == 0, said.output
    assert f"{len(train):,} tokens to train on" in said.stdout and "bits per byte" in said.stdout
    said = call("train", "--resume", "--out", "runs/gpt-nano", "steps=9")
    assert said.exit_code == 0, said.output
    assert "9 steps in" in said.stdout
    (here / "sh").rename(here / "elsewhere")  # the run knows its tokens without them
    said = call("sample", "runs/gpt-nano", "--tokens", "20", "--seed", "1")
    assert said.exit_code == 0, said.output
    said = call("train", "--init-from", "runs/gpt-nano", "--data", "elsewhere", "steps=2")
    assert said.exit_code == 0, said.output


def test_a_sample_of_many_documents_begins_where_one_does(here, monkeypatch):
    call(*SHARDS)
    call("train", "gpt-nano", *TINY, "--data", "sh")
    starts = []
    from zerotohero.gpt import GPT

    stream = GPT.stream

    def noted(self, start, *more, **options):
        starts.append(start)
        return stream(self, start, *more, **options)

    monkeypatch.setattr(GPT, "stream", noted)
    call("sample", "runs/gpt-nano", "--tokens", "2")
    assert starts[0].tolist() == [tokenizer_files.load(here / "sh").special[END]]


def test_a_vocabulary_is_not_learned_from_what_validates(here):
    (here / "texts" / "0.txt").write_text("qzqzqz " * 40)  # first, so it validates
    assert call(*SHARDS).exit_code == 0
    learned = tokenizer_files.load(here / "sh")
    assert not [piece for piece in learned.vocab[256:] if b"q" in piece]
    val = Shards.of(here / "sh", "val")
    assert learned.decode(val[:].tolist()).count("qz") > 100


def test_a_text_too_short_for_so_many_tokens_is_said_in_a_sentence(here, recwarn):
    said = call("data", "shards", "texts", "sh", "--tokenizer", "9000", "--processes", "1")
    assert said.exit_code == 0 and "tokens fewer than asked for" in said.stdout, said.output
    assert not [warning for warning in recwarn if warning.category is UserWarning]
    assert 256 < Shards.of(here / "sh", "train").vocab_size < 9000
    said = call("train", "gpt-nano", *TINY, "--data", "texts/0.txt", "--tokenizer", "sh")
    assert said.exit_code == 0, said.output
    theirs = tokenizer_files.load(here / "sh")
    assert tokenizer_files.load(here / "runs" / "gpt-nano") == theirs


def test_the_same_command_again_goes_on_or_says_that_it_is_done(here):
    first = call(*SHARDS)
    before = contents(here / "sh")
    again = call(*SHARDS)
    assert again.exit_code == 0 and contents(here / "sh") == before
    assert again.stdout.splitlines()[-2:] == first.stdout.splitlines()[-2:]
    said = json.loads((here / "sh" / "shards.json").read_text())
    begun = said | {"finished": False, "tokens": 0, "documents": 0}
    (here / "sh" / "shards.json").write_text(json.dumps(begun))
    again = call(*SHARDS)
    assert again.exit_code == 0 and "was begun already" in again.stdout
    assert contents(here / "sh") == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("data shards nowhere sh", "There is no file or folder nowhere"),
        ("data shards texts sh --tokenizer gpt5", "no vocabulary 'gpt5'"),
        ("data shards texts sh --tokenizer 100", "must be at least 257"),
        ("data shards texts sh --tokenizer cl100k_base", "at most 65,536 tokens"),
        ("data shards texts sh --shard-tokens 0", "can't have 0 tokens"),
        ("data shards texts sh --val-shards 0", "At least one shard"),
        ("data shards texts sh --tokens 10 --shard-tokens 20", "would leave none to train on"),
        ("data shards texts sh --processes 0", "must be at least 1"),
        ("data shards texts texts", "holds something else"),
        ("data shards texts sh --tokenizer 300 --shard-tokens 9999999", "to learn a vocabulary"),
        ("data shards texts sh --shard-tokens 9999999", "validation takes 9,999,999"),
        ("train gpt-nano --data texts", "make shards of them all"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(here, words, says):
    more = ["--processes", "1"] if "shards" in words and "processes" not in words else []
    said = call(*words.split(), *more)
    assert said.exit_code == 1
    assert says in said.stderr and said.stderr.count("\n") == 1, said.stderr
    assert not said.exception or isinstance(said.exception, SystemExit)
    assert [path.name for path in here.iterdir()] == ["texts"]


def test_shards_that_a_run_cannot_use_are_named(here):
    call(*SHARDS)
    for arguments, says in (
        (["--tokenizer", "gpt2"], "leave --tokenizer out"),
        (["block_size=100000"], "make larger shards or take a smaller block_size"),
        (["vocab_size=200"], "vocab_size is 200, but the data have"),
    ):
        said = call("train", "gpt-nano", *TINY, *arguments, "--data", "sh")
        assert said.exit_code == 1 and says in said.stderr, said.output
    path = here / "sh" / shard_name("train", 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1, whole[-1]]))
    said = call("train", "gpt-nano", *TINY, "--data", "sh")
    assert said.exit_code == 1 and "train-00002.bin is damaged" in said.stderr
    path.write_bytes(whole)
    other = Tokenizer.learn(words(50), 290, special=[END])
    tokenizer_files.save(other, here / "sh")
    said = call("train", "gpt-nano", *TINY, "--data", "sh")
    assert said.exit_code == 1 and "is not the vocabulary that the shards" in said.stderr
    assert not (here / "runs").exists()


def test_a_model_of_other_tokens_does_not_go_on_with_the_shards(here):
    call(*SHARDS)
    call("train", "nanogpt-cpu", *TINY, "--data", "texts/0.txt", "--out", "letters")
    said = call("train", "--init-from", "letters", "--data", "sh", "steps=2")
    assert said.exit_code == 1 and "of another vocabulary than the model" in said.stderr


def test_data_alone_is_what_it_was():
    said = call("data")
    assert said.exit_code == 0, said.output
    assert [Path(line).name for line in said.stdout.splitlines()] == [
        "names.txt",
        "tinyshakespeare.txt",
    ]


def test_no_more_processes_are_started_than_there_are_cores():
    assert 1 <= shard.cores() <= os.cpu_count()
