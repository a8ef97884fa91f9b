"""Lecture 10: OpenAI's release of GPT-2, as TensorFlow wrote it, read without TensorFlow."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported

import numpy as np
import pytest
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel

import tf_writer
from commands import call
from zerotohero import tf_checkpoint
from zerotohero.crc32c import POLYNOMIAL, crc32c
from zerotohero.gpt import GPT
from zerotohero.tf_checkpoint import TensorFlowCheckpoint

transformers.logging.set_verbosity_error()

TINY = Path(__file__).parent / "data" / "gpt2-tf-tiny"  # written by TensorFlow 2.21 itself
DATA = ".data-00000-of-00001"
HPARAMS = {"n_vocab": 23, "n_ctx": 16, "n_embd": 12, "n_head": 2, "n_layer": 3}


def theirs(seed: int = 0) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=23,
        n_positions=16,
        n_layer=3,
        n_head=2,
        n_embd=12,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.1, 0.3, generator=generator)
    return model.eval()


def as_openai_names_them(model: GPT2LMHeadModel) -> dict[str, np.ndarray]:
    tensors = {}
    for name, tensor in model.transformer.state_dict().items():
        *parts, last = name.replace("h.", "h", 1).split(".")
        matrix = tensor.ndim == 2 and parts[0] not in ("wte", "wpe")
        if parts[0] not in ("wte", "wpe"):
            norm = parts[-1].startswith("ln_")
            parts.append("b" if last == "bias" else "g" if norm else "w")
        tensors["/".join(["model", *parts])] = (tensor[None] if matrix else tensor).numpy()
    return tensors


def released(folder: Path, tensors: dict[str, np.ndarray], **hparams) -> Path:
    folder.mkdir()
    tf_writer.write(folder / "model.ckpt", tensors)
    (folder / "hparams.json").write_text(json.dumps(HPARAMS | hparams))
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    """A folder as OpenAI's download makes it, with random weights. Tests only read it."""
    return released(tmp_path_factory.mktemp("openai") / "23M", as_openai_names_them(theirs()))


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A folder with TensorFlow's own files, and the sizes beside them."""
    shutil.copytree(TINY, tmp_path / "tiny")
    sizes = {"n_vocab": 50, "n_ctx": 16, "n_embd": 8, "n_head": 2, "n_layer": 3}
    (tmp_path / "tiny" / "hparams.json").write_text(json.dumps(sizes))
    return tmp_path / "tiny"


# --- the checksum ---------------------------------------------------------------------------------


def bit_by_bit(data: bytes) -> int:
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (POLYNOMIAL if rest & 1 else 0)
    return rest ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"", 0),
    ],
)
def test_the_checksums_are_those_of_the_standard(data, says):
    assert crc32c(data) == says


@pytest.mark.parametrize("at", [0, 512, 2**16])  # a word, and a row of each width
def test_no_length_and_no_place_in_memory_changes_what_a_checksum_is(at):
    for length in range(max(0, at - 9), at + 10):
        data = random.Random(length).randbytes(length)
        right = bit_by_bit(data)
        assert crc32c(data) == right, length
        assert crc32c(np.frombuffer(b"x" + data, np.uint8)[1:]) == right, length


# --- what TensorFlow wrote ------------------------------------------------------------------------


def test_every_variable_that_tensorflow_wrote_is_read_as_it_was():
    checkpoint = TensorFlowCheckpoint(TINY / "model.ckpt")
    assert len(checkpoint) == len(list(checkpoint)) == 2042, "a long index, of many blocks"
    values = np.load(TINY / "values.npz")
    assert len(values.files) == 40
    for name in values.files:
        its = checkpoint[name.replace("|", "/")]
        assert its.dtype == values[name].dtype
        np.testing.assert_array_equal(its, values[name], strict=True)
    extra = [name for name in checkpoint if name.startswith("extra/")]
    assert [checkpoint[name] for name in extra] == list(range(2000)), "by name and by number"


def test_numbers_of_every_kind_and_shape_are_read(tmp_path):
    rng = np.random.default_rng(0)
    kinds = [np.dtype(kind) for kind in tf_checkpoint.KINDS.values()]
    written = {
        f"{kind.name}/{len(shape)}": rng.integers(0, 2, shape).astype(kind)
        for kind in kinds
        for shape in [(), (3,), (2, 0, 5), (2, 3, 4)]
    }
    tf_writer.write(tmp_path / "all", written)
    checkpoint = TensorFlowCheckpoint(tmp_path / "all")
    assert set(checkpoint) == set(written)
    for name, its in checkpoint.items():
        np.testing.assert_array_equal(its, written[name], strict=True)


def test_it_is_read_where_there_is_no_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['torch'] = None\n"
        "from zerotohero.tf_checkpoint import TensorFlowCheckpoint as C\n"
        f"print(len(C({str(TINY / 'model.ckpt')!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "2042\n", done.stderr


# --- a model --------------------------------------------------------------------------------------


@torch.no_grad()
def test_openais_files_and_hugging_faces_give_the_logits_of_transformers(release, tmp_path):
    model = theirs()
    model.save_pretrained(tmp_path / "hub")
    idx = torch.randint(23, (3, 16), generator=torch.Generator().manual_seed(9))
    expected = model(idx).logits
    assert expected.std() > 0.1, "logits that hardly differ would hide mistakes"
    for folder in (release, tmp_path / "hub"):
        ours = GPT.from_pretrained(folder)
        assert not ours.training and ours.lm_head.weight is ours.transformer.wte.weight
        torch.testing.assert_close(ours(idx), expected, atol=1e-4, rtol=0)
        exactly = model.double()(idx).logits
        torch.testing.assert_close(ours.double()(idx), exactly, atol=1e-10, rtol=0)
        model.float()


def test_both_formats_give_the_same_model(release, tmp_path):
    theirs().save_pretrained(tmp_path / "hub")
    one, other = GPT.from_pretrained(release), GPT.from_pretrained(tmp_path / "hub")
    assert one.config == other.config
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


@torch.no_grad()
def test_a_model_of_tensorflows_own_file_computes(tiny):
    """Its numbers are placed by hand here, so that a wrong order would show."""
    model, values = GPT.from_pretrained(tiny), np.load(TINY / "values.npz")
    last = model.transformer.h[2]
    assert torch.equal(last.mlp.c_proj.weight, torch.tensor(values["model|h2|mlp|c_proj|w"][0]).T)
    assert torch.equal(last.attn.c_attn.bias, torch.tensor(values["model|h2|attn|c_attn|b"]))
    assert torch.equal(model.transformer.wpe.weight, torch.tensor(values["model|wpe"]))
    assert model(torch.arange(16)[None]).isfinite().all()


def test_more_than_ten_layers_keep_their_order(tmp_path):
    """As text, h10 comes before h2."""
    config = GPT2Config(vocab_size=23, n_positions=16, n_layer=12, n_head=2, n_embd=12)
    model = GPT2LMHeadModel(config)
    folder = released(tmp_path / "12", as_openai_names_them(model), n_layer=12)
    ours = GPT.from_pretrained(folder)
    for layer in range(12):
        weight = model.transformer.h[layer].mlp.c_fc.weight
        assert torch.equal(ours.transformer.h[layer].mlp.c_fc.weight, weight.T), layer


def test_what_may_be_changed_is_what_may_be_changed_of_the_other_format(release):
    short = GPT.from_pretrained(release, block_size=5, dropout=0.25)
    assert (short.config.block_size, short.config.dropout) == (5, 0.25)
    with pytest.raises(ValueError, match="not n_layer"):
        GPT.from_pretrained(release, n_layer=2)


def test_it_is_fine_tuned_exported_and_read_again(release, tmp_path):
    model = GPT.from_pretrained(release)
    model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.save_pretrained(tmp_path / "out")
    again = GPT2LMHeadModel.from_pretrained(tmp_path / "out")
    for (name, p), q in zip(theirs().named_parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q), name


def test_a_run_begins_with_openais_files_and_gpt2s_tokens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors = as_openai_names_them(theirs()) | {"model/wte": np.zeros((50257, 12), "f4")}
    released(tmp_path / "124M", tensors, n_vocab=50257)
    (tmp_path / "my.txt").write_text("A text of one's own, long enough. " * 40)
    words = "train --init-from 124M --data my.txt steps=1 batch_size=1 eval_batches=1 --device cpu"
    said = call(*words.split())
    assert said.exit_code == 0, said.output
    said = call("sample", "runs/fine-tuned", "--tokens", 3, "--prompt", "Hi")
    assert said.exit_code == 0 and said.stdout.startswith("Hi"), said.output


# --- what doesn't fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hparams", "says"),
    [
        ({"n_layer": 2}, r"n_layer=2, but model\.ckpt beside it has 3 layers"),
        ({"n_layer": 10**9}, "n_layer=1000000000, but"),
        (
            {"n_vocab": 24},
            r"model/wte has the shape \(23, 12\) .* hparams\.json asks for \(24, 12\)",
        ),
        ({"n_ctx": 10**12}, r"model/wpe has the shape \(16, 12\)"),
        ({"n_embd": 12 * 10**6}, r"model/wte has the shape \(23, 12\)"),
        ({"n_embd": 12 * 10**9}, "so large that its size can't be computed"),
        ({"n_head": 5}, "make n_embd a multiple of n_head"),
        ({"n_head": "2"}, "as whole numbers"),
        ({"n_head": None}, "as whole numbers"),
    ],
)
def test_sizes_that_are_not_the_files_are_named(tmp_path, hparams, says):
    folder = released(tmp_path / "gpt", as_openai_names_them(theirs()), **hparams)
    with pytest.raises(ValueError, match=says):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize("content", ["", "[]", "{", "\ufeff{}", "[" * 100_000])
def test_sizes_that_cannot_be_read_are_one_sentence(tmp_path, content):
    folder = released(tmp_path / "gpt", as_openai_names_them(theirs()))
    (folder / "hparams.json").write_text(content)
    with pytest.raises(ValueError, match=r"hparams\.json doesn't give n_vocab, .* fetch it again"):
        GPT.from_pretrained(folder)


def test_a_file_that_is_missing_is_named(tmp_path):
    folder = released(tmp_path / "gpt", as_openai_names_them(theirs()))
    (folder / f"model.ckpt{DATA}").rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"no file .*model\.ckpt\.data-00000-of-00001"):
        GPT.from_pretrained(folder)
    (folder / "hparams.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no hparams\.json"):
        GPT.from_pretrained(folder)
    with pytest.raises(FileNotFoundError, match=r"no file .*nothing\.index"):
        TensorFlowCheckpoint(folder / "nothing")


def test_a_tensor_too_few_or_too_many_is_named(tmp_path):
    tensors = as_openai_names_them(theirs())
    lacking = {name: t for name, t in tensors.items() if name != "model/h1/ln_2/g"}
    with pytest.raises(ValueError, match=r"lacks transformer\.h\.1\.ln_2\.weight\."):
        GPT.from_pretrained(released(tmp_path / "few", lacking))
    more = tensors | {"model/h1/attn/c_attn/w/Adam": tensors["model/h1/attn/c_attn/w"]}
    with pytest.raises(ValueError, match=r"no place for: .*\.Adam"):
        GPT.from_pretrained(released(tmp_path / "many", more))
    besides = tensors | {"global_step": np.int64(7), "optimizer/model/wte": tensors["model/wte"]}
    GPT.from_pretrained(released(tmp_path / "besides", besides))


# --- damaged and hostile files --------------------------------------------------------------------

SENTENCE = r"^\S+ .*(fetch it again|fetch both again|is not read here)\.$"


def refused(prefix: Path) -> str:
    """Read everything; return the sentence. Anything but it, or a success, fails the test."""
    with pytest.raises((ValueError, FileNotFoundError), match=SENTENCE) as error:
        list(TensorFlowCheckpoint(prefix).values())
    return str(error.value)


@pytest.fixture
def small(tmp_path) -> Path:
    """A checkpoint of few bytes, in three blocks."""
    names = ["model/h0/ln_1/b", "model/h0/ln_1/g", "model/wpe", "model/wte", "z"]
    tensors = {name: np.arange(6, dtype="f4").reshape(2, 3) + i for i, name in enumerate(names)}
    tf_writer.write(tmp_path / "c", tensors)
    assert len(TensorFlowCheckpoint(tmp_path / "c")) == 5
    return tmp_path / "c"


def test_every_byte_that_is_flipped_is_found(small):
    for suffix in (".index", DATA):
        path = Path(f"{small}{suffix}")
        whole = path.read_bytes()
        for at in range(len(whole)):
            for bits in (0x01, 0x80, 0xFF):
                path.write_bytes(whole[:at] + bytes([whole[at] ^ bits]) + whole[at + 1 :])
                refused(small)
        path.write_bytes(whole)


def test_every_length_that_is_too_short_is_found(small):
    for suffix in (".index", DATA):
        path = Path(f"{small}{suffix}")
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            refused(small)
        path.write_bytes(whole)


def test_bytes_of_tensorflows_own_files_that_are_flipped_or_missing_are_found(tiny):
    draw = random.Random(0)
    for suffix in (".index", DATA):
        path = tiny / f"model.ckpt{suffix}"
        whole = path.read_bytes()
        for at in draw.sample(range(len(whole)), 20):
            flipped = bytes([whole[at] ^ 1 << draw.randrange(8)])
            path.write_bytes(whole[:at] + flipped + whole[at + 1 :])
            refused(tiny / "model.ckpt")
            path.write_bytes(whole[:at])
            refused(tiny / "model.ckpt")
        path.write_bytes(whole)


def test_random_bytes_and_other_files_are_no_checkpoint(small):
    draw = random.Random(1)
    path = Path(f"{small}.index")
    footer = path.read_bytes()[-48:]
    for length in [0, 1, 47, 48, 49, 100, 1000, 5000] * 5:
        for content in (draw.randbytes(length), draw.randbytes(length) + footer):
            path.write_bytes(content)
            refused(small)


def entry(**changes) -> bytes:
    said = {"kind": 1, "shape": (2, 3), "offset": 0, "size": 24}
    content = np.arange(6, dtype="<f4").tobytes()
    return tf_writer.described(**said | {"checksum": tf_writer.masked(content)} | changes)


HUGE = 2**62
HOSTILE = {  # each with right checksums
    "a shape that makes more bytes": [(b"a", entry(shape=(HUGE, HUGE)))],
    "bytes that there aren't": [(b"a", entry(shape=(HUGE,), size=4 * HUGE))],
    "a place beyond the file": [(b"a", entry(offset=HUGE))],
    "a place far beyond it": [(b"a", entry(offset=2**69))],
    "no bytes in a shape that can't be": [
        (b"a", entry(shape=(0, 2**68), size=0, checksum=tf_writer.masked(b"")))
    ],
    "more axes than NumPy has": [(b"a", entry(shape=(1,) * 70, size=4))],
    "a negative size": [(b"a", entry(shape=(2**64 - 2, 2**64 - 3)))],
    "strings": [(b"a", entry(kind=7))],
    "an unknown kind": [(b"a", entry(kind=HUGE))],
    "slices": [(b"a", entry() + tf_writer.field(7, b""))],
    "a file that there isn't": [(b"a", entry() + tf_writer.field(3, 3))],
    "no checksum": [(b"a", entry()[:-5])],
    "bytes for a number": [(b"a", entry() + tf_writer.field(5, b"xx"))],
    "a number for bytes": [(b"a", entry() + tf_writer.field(2, 3))],
    "a message cut off": [(b"a", entry()[:-1])],
    "a name that is no text": [(b"\xff\xfe", entry())],
    "a name as long as a book": [(b"a" * 10_000, entry())],
    "a value as long as a book": [(b"a", entry(shape=(1,) * 10_000))],
    "names out of order": [(b"b", entry()), (b"a", entry())],
    "a name twice": [(b"a", entry()), (b"a", entry())],
    "a group, which is no kind": [(b"a", entry() + tf_writer.number(9 << 3 | 3))],
    "a number without an end": [(b"a", entry() + b"\x08" + b"\xff" * 20)],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_index_is_one_sentence(tmp_path, what):
    Path(tmp_path / f"c{DATA}").write_bytes(np.arange(6, dtype="<f4").tobytes())
    index = tmp_path / "c.index"
    index.write_bytes(tf_writer.table([tf_writer.header(), (b"a", entry())]))
    assert TensorFlowCheckpoint(tmp_path / "c")["a"].shape == (2, 3), "nothing else is wrong"
    index.write_bytes(tf_writer.table([tf_writer.header(), *HOSTILE[what]], per_block=10))
    refused(tmp_path / "c")


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ([tf_writer.header(endianness=1)], "from the other end"),
        ([tf_writer.header(n_shards=0)], "how many data files"),
        ([], "how many data files"),
    ],
)
def test_a_hostile_header_is_one_sentence(tmp_path, header, says):
    (tmp_path / "c.index").write_bytes(tf_writer.table([*header, (b"a", entry())]))
    assert says in refused(tmp_path / "c")


def test_a_compressed_block_is_said_to_be_one(tmp_path):
    body = tf_writer.block([tf_writer.header()])[:-5] + b"\1"
    content = body + tf_writer.masked(body)
    first = tf_writer.number(0) + tf_writer.number(len(body) - 1)
    footer = (first + first).ljust(40, b"\0") + tf_checkpoint.MAGIC.to_bytes(8, "little")
    (tmp_path / "c.index").write_bytes(content + footer)
    assert "compressed" in refused(tmp_path / "c")


def test_one_block_in_a_thousand_places_is_read_once(tmp_path):
    """Else a small file would make as much work as it likes."""
    empty = tf_writer.block([])
    place = tf_writer.number(0) + tf_writer.number(len(empty) - 5)
    places = tf_writer.block([(b"%06d" % i, place) for i in range(1000)])
    handles = place + tf_writer.number(len(empty)) + tf_writer.number(len(places) - 5)
    footer = handles.ljust(40, b"\0") + tf_checkpoint.MAGIC.to_bytes(8, "little")
    (tmp_path / "c.index").write_bytes(empty + places + footer)
    assert "in one place" in refused(tmp_path / "c")


def test_an_index_of_a_terabyte_is_not_read(tmp_path):
    with open(tmp_path / "c.index", "wb") as file:
        file.truncate(2**40)  # of nothing
    assert "1,099,511,627,776 bytes" in refused(tmp_path / "c")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit isn't kept")
def test_no_memory_is_taken_for_what_only_the_sizes_say(tmp_path):
    """Sizes that fit each other and the table of tokens, while the matrices are small."""
    C = 200_000
    tensors = as_openai_names_them(theirs())
    tensors["model/wte"] = np.zeros((1, C), "f4")
    tensors["model/wpe"] = np.zeros((1, C), "f4")
    sizes = {"n_vocab": 1, "n_ctx": 1, "n_embd": C, "n_head": 1}
    folder = released(tmp_path / "gpt", tensors, **sizes)
    code = (
        "import resource\nfrom zerotohero.gpt import GPT\n"
        f"resource.setrlimit(resource.RLIMIT_DATA, ({4 * 10**9}, {4 * 10**9}))\n"
        f"try: GPT.from_pretrained({str(folder)!r})\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "has the shape (12,) in the file" in done.stdout, done.stderr
    assert 4 * 12 * C * C > 10**12, "bytes of a layer, which no machine that runs this would give"
