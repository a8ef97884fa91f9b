"""From cells to the source of an answer: it gives what the notebook gave, and holds no more.

Each case is tried twice: as a kernel runs the cells, and from what was collected, as the grader
defines it.
"""

import __future__

import ast
import asyncio
import inspect
import random

import pytest

from zerotohero.course.answering import define
from zerotohero.course.collecting import History


def collect(cells: list[str], names: list[str]) -> str | None:
    return History(cells).source(names)


def run(source: str) -> dict:
    namespace: dict = {}
    exec(source, namespace)
    return namespace


def test_helpers_constants_and_imports_come_along_and_nothing_else():
    cells = [
        "import math\nimport numpy as np",
        "K = 3\nunrelated = 7",
        "def helper(x):\n    # a comment stays\n    return x * K",
        "print(unrelated)",
        "def f(x):\n    return helper(x) + math.pi",
    ]
    source = collect(cells, ["f"])
    assert run(source)["f"](1) == 3 + run("import math")["math"].pi
    assert "# a comment stays" in source and "unrelated" not in source and "numpy" not in source


def test_a_helper_defined_after_its_user_is_found():
    assert run(collect(["def f(): return g()", "def g(): return 5"], ["f"]))["f"]() == 5


def test_the_last_definition_counts():
    assert run(collect(["def f(): return 1", "def f(): return 2"], ["f"]))["f"]() == 2


def test_what_is_changed_in_place_or_built_on_itself_comes_along():
    loop = "for i in range(2):\n    N[i] += i + 1"
    cells = ["N = [0, 0]", loop, "N.append(9)", "k = 1", "k += 1", "def f(): return N, k"]
    assert run(collect(cells, ["f"]))["f"]() == ([1, 2, 9], 2)


def test_decorators_base_classes_and_annotations_come_along():
    cells = [
        "from dataclasses import dataclass",
        "class Base:\n    x = 4",
        "def keep(f): return f",
        "@dataclass\nclass Mine(Base):\n    y: int = 5\n    @keep\n    def z(self): return self.x",
    ]
    assert run(collect(cells, ["Mine"]))["Mine"]().z() == 4


def test_magics_broken_cells_and_calls_of_check_are_passed_over():
    cells = [
        "%matplotlib inline\nimport math",
        "!ls\n%%time is not first",
        "%%bash\nrm -rf /",
        "def broken(:",
        "get_ipython().run_line_magic('time', 'x')",
        "def f(x):\n    return ('%d'\n            % math.floor(x))\ncheck('1.1', f)",
    ]
    source = collect(cells, ["f"])
    assert run(source)["f"](2.5) == "2" and "check" not in source and "bash" not in source


def test_a_name_that_hides_a_builtin_comes_along():
    assert run(collect(["def sum(x): return 7", "def f(): return sum([1])"], ["f"]))["f"]() == 7


def test_names_that_are_local_to_a_function_bring_nothing_along():
    cells = [
        "def f(words):\n    w = [w for w in words]\n    for name in w: pass\n    return w",
        "for name in ['a']:\n    total = exit()",
        "words = w = exit",
    ]
    assert "exit" not in collect(cells, ["f"])


def test_a_loop_or_a_condition_builds_on_what_was_before():
    cells = [
        "k = 1",
        "for _ in range(3):\n    k += 1",
        "if k > 99:\n    k = 0",
        "def f(): return k",
    ]
    assert run(collect(cells, ["f"]))["f"]() == 4


def test_a_name_used_only_in_a_method_a_default_or_a_nested_function_comes_along():
    cells = [
        "A, B, C = 1, 2, 3",
        "class K:\n    def m(self, x=A):\n        def deep(): return B\n        return deep() + x",
        "f = lambda: K().m() + C",
    ]
    assert run(collect(cells, ["f"]))["f"]() == 6


def test_a_missing_name_is_none():
    assert collect(["def f(): pass"], ["g"]) is None
    assert collect([], ["g"]) is None
    assert collect(["def f(): pass"], ["f", "g"]) is None


def test_two_statements_on_a_line():
    assert run(collect(["a = 1; b = 2", "def f(): return b"], ["f"]))["f"]() == 2


# --- what an answer is built on ------------------------------------------------------------------

BUILT_ON = {
    "a decorator put on by hand": (
        ["def twice(f):\n    return lambda: 2 * f()", "def f(): return 3", "f = twice(f)"],
        6,
    ),
    "an older definition that another name holds": (
        ["def f(): return 1", "first = f", "def f(): return first() + 10"],
        11,
    ),
    "older definitions twice over": (
        [
            "def f(): return 1",
            "a = f",
            "def f(): return a() + 10",
            "b = f",
            "def f(): return b() + 100",
        ],
        111,
    ),
    "names that swap": (["def f(): return 1\ndef g(): return 2", "f, g = g, f"], 2),
    "a default of an older value": (["K = 1", "def f(k=K): return k", "K = 5"], 1),
    "a lambda's default of an older value": (["K = 1", "f = lambda k=K: k", "K = 5"], 1),
    "a helper that was defined anew": (
        [
            "def h(): return 1",
            "def f(): return h()",
            "old = f",
            "def h(): return 5",
            "def f(): return old()",
        ],
        5,
    ),
    "a value that an older helper made": (
        ["def h(): return 1", "K = h()", "def h(): return 5", "def f(): return K + h()"],
        6,
    ),
    "a star import": (["from math import *", "def f(): return floor(pi)"], 3),
    "a star import that hides a builtin": (
        ["from math import *", "def f(): return pow(2, 3)"],
        8.0,
    ),
    "patched class": (
        [
            "class V:\n    x = 2",
            "def double(self): return 2 * self.x",
            "V.double = double",
            "def f(): return V().double()",
        ],
        4,
    ),
    "patched by setattr": (
        [
            "class V:\n    x = 2",
            "setattr(V, 'double', lambda self: 2 * self.x)",
            "def f(): return V().double()",
        ],
        4,
    ),
    "patched in a loop": (
        [
            "class V: pass",
            "for n in ('a', 'b'):\n    setattr(V, n, ord(n))",
            "def f(): return V().b",
        ],
        98,
    ),
    "patched after the instance": (
        ["class V: pass", "v = V()", "V.x = 7", "def f(): return v.x"],
        7,
    ),
    "patched through alias": (["class V: pass", "W = V", "W.x = 7", "def f(): return V.x"], 7),
    "patched twice import": (
        [
            "from fractions import Fraction",
            "Fraction.half = 5",
            "from fractions import Fraction",
            "def f(): return Fraction(1).half",
        ],
        5,
    ),
    "deleted builtin": (
        ["def sum(x): return 7", "K = sum([1])", "del sum", "def f(): return sum([1]) + K"],
        8,
    ),
    "globals()[...]": (["globals()['K'] = 4", "def f(): return K"], 4),
    "globals().update": (["globals().update(K=4)", "def f(): return K"], 4),
    "exec of a text": (["exec('K = 4')", "def f(): return K"], 4),
    "the answer in exec": (["exec('def f(): return 4')"], 4),
    "exec of what is not to be seen": (
        ["for n in 'ab':\n    exec(f'{n} = 3')", "def f(): return a + b"],
        6,
    ),
    "walrus": (["print(K := 4)", "(L := 5)", "def f(): return K + L"], 9),
    "walrus in comprehension": (["x = [K := i for i in range(3)]", "def f(): return K"], 2),
    "try import": (
        [
            "try:\n    import no_such as m\nexcept ImportError:\n    import math as m",
            "def f(): return m.floor(2.5)",
        ],
        2,
    ),
    "conditional def": (["if True:\n    def f(): return 1\nelse:\n    def f(): return 2"], 1),
    "conditional helper": (
        ["def h(): return 0", "if h():\n    def h(): return 5", "def f(): return h()"],
        0,
    ),
    "what a with block named": (
        [
            "import contextlib, io",
            "with contextlib.nullcontext(4) as K:\n    L = K",
            "def f(): return K + L",
        ],
        8,
    ),
    "a loop's variable": (["for K in range(4): pass", "def f(): return K"], 3),
    "a loop's else": (
        ["for i in range(3):\n    if i == 1: break\nelse:\n    i = 9", "def f(): return i"],
        1,
    ),
    "what a pattern captured": (
        ["match [1, 2, 3]:\n    case [a, *rest]: pass", "def f(): return a + len(rest)"],
        3,
    ),
    "mutated through a loop": (
        ["N = [[0], [0]]", "for row in N:\n    row[0] += 2", "def f(): return N"],
        [[2], [2]],
    ),
    "mutated through alias": (["N = [0]", "M = N", "M[0] = 3", "def f(): return N"], [3]),
    "mutated through alias other way": (["N = [0]", "M = N", "N[0] = 3", "def f(): return M"], [3]),
    "aug alias": (["N = [0]", "M = N", "M += [1]", "def f(): return N"], [0, 1]),
    "popped": (["w = [1,2,3]", "last = w.pop()", "def f(): return w, last"], ([1, 2], 3)),
    "heap": (["import heapq", "h = [3]", "heapq.heappush(h, 1)", "def f(): return h"], [1, 3]),
    "global in function": (
        ["def setup():\n    global K\n    K = 6", "setup()", "def f(): return K"],
        6,
    ),
    "global aug": (
        ["K = 1", "def up():\n    global K\n    K += 1", "up()", "up()", "def f(): return K"],
        3,
    ),
    "global in loop": (
        [
            "K = 1",
            "def up():\n    global K\n    K += 1",
            "for _ in range(3):\n    up()",
            "def f(): return K",
        ],
        4,
    ),
    "registry decorator": (
        [
            "table = {}",
            "def register(g):\n    table[g.__name__] = g\n    return g",
            "@register\ndef a(): return 1",
            "@register\ndef b(): return 2",
            "def f(): return sorted(table)",
        ],
        ["a", "b"],
    ),
    "registry with name": (
        [
            "table = {}",
            "def register(n):\n    def put(g):\n        table[n] = g; return g\n    return put",
            "@register('x')\ndef a(): return 1",
            "def f(): return table['x']()",
        ],
        1,
    ),
    "registry call": (
        ["table = {}", "def add(k, v): table[k] = v", "add('a', 3)", "def f(): return table"],
        {"a": 3},
    ),
    "imports later": (["def f(): return math.floor(2.5)", "import math"], 2),
    "dotted imports": (
        [
            "import os.path",
            "import xml.dom",
            "import xml.sax",
            "def f(): return xml.dom.__name__ + xml.sax.__name__",
        ],
        "xml.domxml.sax",
    ),
    "local import": (["def f():\n    import math\n    return math.floor(2.5)"], 2),
    "annotation alias": (["T = list[int]", "def f(x: T = ()) -> T: return 3"], 3),
    "annotations that are not evaluated": (
        [
            "from __future__ import annotations",
            "class A:\n    def g(self, o: A) -> A: return 3",
            "def f(): return A().g(1)",
        ],
        3,
    ),
    "annotations of what is nowhere": (
        ["from __future__ import annotations", "def f(x: Nowhere = 1) -> Nowhere2: return x"],
        1,
    ),
    "function attribute": (["def f():\n    f.n += 1\n    return f.n", "f.n = 4"], 5),
    "redefined base": (
        [
            "class A:\n    def x(self): return 1",
            "class A(A):\n    def y(self): return self.x() + 1",
            "def f(): return A().y()",
        ],
        2,
    ),
    "redefined class, old subclass": (
        [
            "class A:\n    x = 1",
            "class B(A): pass",
            "class A:\n    x = 2",
            "def f(): return B.x, A.x",
        ],
        (1, 2),
    ),
    "augmented attr": (["class C: n = 1", "C.n += 4", "def f(): return C.n"], 5),
    "class variable": (["lr = 3", "class A:\n    lr = lr", "def f(): return A.lr"], 3),
    "bare annotation": (["K = 3", "K: int", "def f(): return K"], 3),
    "unpacked star": (["a, *b = 1, 2, 3", "def f(): return b"], [2, 3]),
    "closure": (
        [
            "def make(k):\n    def inner(): return k + K\n    return inner",
            "K = 2",
            "f = make(3)",
            "K = 10",
        ],
        13,
    ),
    "closure with old": (
        [
            "def make():\n    k = K\n    def inner(): return k\n    return inner",
            "K = 2",
            "f = make()",
            "K = 10",
        ],
        2,
    ),
    "except name": (
        ["try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    K = str(e)", "def f(): return K"],
        "division by zero",
    ),
    "in place torch": (
        ["import torch", "W = torch.zeros(2)", "W.fill_(3)", "def f(): return W.tolist()"],
        [3.0, 3.0],
    ),
    "in place init": (
        [
            "import torch",
            "from torch import nn",
            "W = torch.zeros(2)",
            "nn.init.ones_(W)",
            "def f(): return W.tolist()",
        ],
        [1.0, 1.0],
    ),
    "no_grad block": (
        [
            "import torch",
            "W = torch.zeros(2)",
            "with torch.no_grad():\n    W += 2",
            "def f(): return W.tolist()",
        ],
        [2.0, 2.0],
    ),
    "view": (
        [
            "import torch",
            "W = torch.zeros(2, 2)",
            "v = W.view(-1)",
            "v[0] = 5",
            "def f(): return W.tolist()",
        ],
        [[5.0, 0.0], [0.0, 0.0]],
    ),
    "parameters loop": (
        [
            "import torch",
            "m = torch.nn.Linear(1, 1)",
            "for p in m.parameters():\n    p.data.fill_(2)",
            "def f(): return m.weight.item()",
        ],
        2.0,
    ),
    "await": (
        ["import asyncio", "async def g(): return 5", "K = await g()", "def f(): return K"],
        5,
    ),
    "async for": (
        ["import asyncio", "async def g(): return 5", "def f(): return asyncio.run(g())"],
        5,
    ),
    "nonlocal": (
        ["def f():\n    k = 1\n    def up():\n        nonlocal k; k += 1\n    up(); return k"],
        2,
    ),
    "genexp": (
        ["K = 2", "g = (K * i for i in range(3))", "K = 3", "def f(): return list(g)"],
        [0, 3, 6],
    ),
    "old recursion": (
        [
            "def f(n=5): return 1 if n == 0 else n * f(n - 1)",
            "g = f",
            "def f(n=5): return 0 if n < 5 else g(5)",
        ],
        0,
    ),
    "update of dict": (
        ["d = {}", "d.update(a=1)", "d |= {'b': 2}", "def f(): return d"],
        {"a": 1, "b": 2},
    ),
    "method from lambda": (["class A: pass", "A.__call__ = lambda self: 3", "f = A()"], 3),
    "monkey in function": (
        ["class V: pass", "def patch():\n    V.x = 3", "patch()", "def f(): return V.x"],
        3,
    ),
    "list comp side effect": (
        ["out = []", "[out.append(i) for i in range(3)]", "def f(): return out"],
        [0, 1, 2],
    ),
    "assigned none": (["out = []", "_ = out.append(3)", "def f(): return out"], [3]),
    "next": (["it = iter([1,2,3])", "first = next(it)", "def f(): return list(it)"], [2, 3]),
    "map effect": (
        ["out = []", "list(map(out.append, range(3)))", "def f(): return out"],
        [0, 1, 2],
    ),
    "default dict": (
        [
            "from collections import defaultdict",
            "d = defaultdict(list)",
            "for w in ['a','b']:\n    d[w].append(1)",
            "def f(): return dict(d)",
        ],
        {"a": [1], "b": [1]},
    ),
    "nested target": (
        [
            "class C: pass",
            "c = C()",
            "c.items = []",
            "c.items.append(4)",
            "def f(): return c.items",
        ],
        [4],
    ),
    "through an element": (
        ["rows = [[0]]", "r = rows[0]", "r.append(2)", "def f(): return rows"],
        [[0, 2]],
    ),
}


def as_a_kernel_does(cells: list[str]) -> dict:
    namespace: dict = {"__name__": "cells"}
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for cell in cells:
        code = compile(cell, "cell", "exec", flags, dont_inherit=True)
        flags |= code.co_flags & __future__.annotations.compiler_flag
        if inspect.iscoroutine(waiting := eval(code, namespace)):
            asyncio.run(waiting)
    return namespace


@pytest.mark.parametrize(("cells", "value"), BUILT_ON.values(), ids=BUILT_ON)
def test_what_is_collected_gives_what_the_notebook_gave(cells, value):
    assert as_a_kernel_does(cells)["f"]() == value, "the case itself"
    (f,) = define(collect(cells, ["f"]), ["f"])
    assert f() == value


@pytest.mark.parametrize(("cells", "value"), BUILT_ON.values(), ids=BUILT_ON)
def test_so_it_does_where_every_cell_was_run_twice(cells, value):
    cells = [cell for cell in cells for _ in range(2)]
    try:
        twice = as_a_kernel_does(cells)["f"]()
    except Exception:
        pytest.skip("such cells can't be run twice")
    (f,) = define(collect(cells, ["f"]), ["f"])
    assert f() == twice


def test_what_a_generator_shuffled_is_shuffled_again():
    cells = ["import random", "w = [*range(20)]", "random.seed(3)", "random.shuffle(w)"]
    expected = [*range(20)]
    random.Random(3).shuffle(expected)
    (f,) = define(collect([*cells, "def f(): return w"], ["f"]), ["f"])
    assert f() == expected


ANSWER = "def f(x):\n    return F.relu(torch.tensor(x) * K)"
BESIDE = {
    "a training loop": "for i in range(10):\n    torch.manual_seed(i)\n    model = TRAIN(K, F)",
    "what trains and is looked at": "TRAIN(torch, K)",
    "a loss that is looked at": "F.cross_entropy(TRAIN(), K)",
    "a model that is saved": "torch.save(TRAIN(), 'x')",
    "a method on a module with a model": "model = TRAIN()\ntorch.save(model, 'x')",
    "a trial of the answer": "out = f(TRAIN())",
    "a plot": "plt.plot(TRAIN(), K)",
    "a loop's variable of the same name as a local one": "for x in TRAIN(): pass",
    "an object that was made of the same": "trainer = TRAIN(K, torch, f)\ntrainer.run()",
}


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_an_hour_of_training_beside_an_answer_is_not_handed_in(beside):
    cells = ["import torch\nimport torch.nn.functional as F", "K = 2", ANSWER, beside]
    for order in (cells, [*cells[:2], beside, ANSWER]):
        source = collect(order, ["f"])
        assert "TRAIN" not in source
        assert define(source, ["f"])[0]([-1, 2]).tolist() == [0, 4]


def test_a_trial_of_an_answer_that_keeps_a_record_is_not_handed_in():
    cells = [
        "losses = []",
        "def f(steps):\n    losses.append(steps)\n    return losses",
        "f(10**9)",
    ]
    assert "10" not in collect(cells, ["f"])


def test_a_seed_and_a_setting_come_along():
    cells = ["import torch", "torch.manual_seed(5)", "W = torch.rand(3)", "def f(): return W"]
    source = collect(cells, ["f"])
    assert define(source, ["f"])[0]().tolist() == define(source, ["f"])[0]().tolist()


def test_an_import_that_is_run_again_is_one_import():
    for line in ("import math as m", "import os.path as m", "from os import path as m"):
        cells = [line, "def f(): return m"] * 30
        assert collect(cells, ["f"]) == f"{line}\n\ndef f(): return m\n"


# --- magics ---------------------------------------------------------------------------------------

F = "def f():\n    # a comment stays\n    return K"
MAGICS = {
    "%%time": ["%%time\nK = 3", f"%%time\n\n{F}"],
    "%%capture with a name": ["%%capture out\nK = 3", f"%%capture\n{F}"],
    "%%prun": ["%%prun -q\nK = 3\n", f"%%prun\n{F}"],
    "%time": ["%time K = 3", F],
    "%time of a value": ["K = %time 1 + 2", F],
    "%time in a block": ["if True:\n    %time K = 3", F],
    "magics in a cell magic": [f"%%time\n%matplotlib inline\n%time K = 3\n!ls\n{F}"],
    "a cell magic in another's cell": [f"%%time\nK = 3\nif K:\n    %time K = K\n{F}"],
    "as In holds it": ["get_ipython().run_cell_magic('time', '', 'K = 3\\n')", F],
}


@pytest.mark.parametrize("cells", MAGICS.values(), ids=MAGICS)
def test_python_that_a_magic_runs_in_the_notebook_comes_along(cells):
    source = collect(cells, ["f"])
    assert define(source, ["f"])[0]() == 3
    assert "# a comment stays" in source and "get_ipython" not in source


@pytest.mark.parametrize(
    "magic", ["bash", "writefile k.py", "html", "timeit", "python", "javascript"]
)
def test_what_a_magic_runs_elsewhere_does_not(magic):
    cells = ["K = 3", f"%%{magic}\nK = 4", "def f(): return K"]
    assert collect(cells, ["f"]) == "K = 3\n\ndef f(): return K\n"
    assert collect([f"%%{magic}\ndef f(): return 1"], ["f"]) is None


# --- a cell that failed ---------------------------------------------------------------------------


def stopped(cells: list[str], *lines: int) -> dict:
    source = History(cells, {len(cells) - 1: lines}).source(["f"])
    return define(source, ["f"])[0]()


def test_what_stands_behind_a_failure_was_never_done():
    assert stopped(["def f(): return 1", "plot()\ndef f(): return 2"], 1) == 1
    assert stopped(["def f(): return 1", "def f(): return 2\nplot()"], 2) == 2


def test_what_failed_has_bound_nothing():
    assert stopped(["K = 1\ndef f(): return K", "K = (1 /\n 0)"], 2) == 1
    assert stopped(["def f(): return 1", "@no_such\ndef f(): return 2"], 1) == 1


def test_a_loop_that_failed_has_done_a_part():
    cells = ["K = []\ndef f(): return len(K)", "for i in (1, 0):\n    K.append(1 / i)"]
    assert stopped(cells, 2) == 1


def test_a_failure_inside_a_cell_magic():
    cells = ["def f(): return 1", "%%time\nL = 1\nplot()\ndef f(): return 2"]
    assert stopped(cells, 1, 2) == 1


def test_cells_that_were_run_again_and_again():
    cells = ["k = 0", *["k += 1\nx = [k]\nx.append(k)"] * 100, "def f(): return k, x"]
    assert define(collect(cells, ["f"]), ["f"])[0]() == (100, [100, 100])
