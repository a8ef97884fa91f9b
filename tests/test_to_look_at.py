"""What in an answer's source is worth a look: found however it is written, and nothing honest."""

import subprocess
import sys
import time

import pytest

from zerotohero.course import submission
from zerotohero.course.checks import find
from zerotohero.course.to_look_at import AUTOGRAD, HOOKS, THREADS, TORCH, words

FOUND = {
    "loss.backward()": ["backward"],
    "import torch\ntorch.autograd.grad(a, b)": ["autograd"],
    "from torch.autograd import grad as g": ["autograd"],
    "import torch.autograd.forward_ad as f": ["autograd"],
    "torch.zeros(3, requires_grad=True)": ["requires_grad"],
    "x.requires_grad = True": ["requires_grad"],
    "getattr(loss, 'backward')()": ["backward"],
    "getattr(loss, 'back' 'ward')()": ["backward"],
    "getattr(loss, 'back' + 'ward')()": ["getattr"],
    "getattr(loss, f'back{x}')()": ["getattr"],
    "getattr(loss, name, None)": ["getattr"],
    "getattr(*things)": ["getattr"],
    "get = getattr": ["getattr"],
    "from operator import methodcaller as call": ["methodcaller"],
    "operator.methodcaller('backward')(loss)": ["backward"],
    "operator.attrgetter(name)(loss)": ["attrgetter"],
    "import operator\nf = operator.attrgetter": ["attrgetter"],
    "type(loss).__dict__['backward'](loss)": ["backward"],
    "n = 'torch.autograd'\n__import__(n)": ["autograd", "__import__"],
    "match loss:\n    case object(backward=f): f()": ["backward"],
    "loss.ｂａｃｋｗａｒｄ()": ["backward"],  # Python reads these letters as the plain ones
    "eval('loss.back' + 'ward()')": ["eval"],
    "exec(text)": ["exec"],
    "run = exec": ["exec"],
    "import builtins\nbuiltins.eval(x)": ["builtins"],
    "import sys\nsys.modules['x']": ["sys.modules"],
    "import sys as s\ns.modules": ["sys.modules"],
    "from sys import modules": ["sys.modules"],
    "f.__closure__[0].cell_contents": ["__closure__", "cell_contents"],
    "import sys\nsys._getframe(1).f_back": ["_getframe", "f_back"],
    "import gc": ["gc"],
    "from inspect import stack": ["inspect"],
    "import importlib.util": ["importlib"],
    "from torch import *\nbackward = 1\nbackward": ["backward"],
    "torch.compile(f)": ["torch.compile"],
    "from torch import compile as c": ["torch.compile", "compile"],
}
HONEST = [
    '"""The backward pass: getattr, eval, exec."""\n# loss.backward()\nx = 1',
    "def backward(d):\n    'requires_grad'\n    return d\nbackward(3)",
    "def f(gc, inspect):\n    return gc + inspect",
    "for gc in range(3):\n    print(gc)",
    "raise ValueError('call backward() first, by eval or exec')",
    "model.eval()",
    "import re\nre.compile('a')",
    "getattr(model, 'training')",
    "getattr(x, 'ndim', 1)",
    "from operator import attrgetter\nsorted(nodes, key=attrgetter('data'))",
    "for m in model.modules():\n    m.train()",
    "with torch.no_grad():\n    y = x @ W",
    "print('see autograd in the notes')",
]
LOOK_FOR = ["backward", "autograd", "requires_grad", "torch.compile"]


@pytest.mark.parametrize("source", FOUND)
def test_a_word_is_found_however_it_is_written(source):
    assert words(source, LOOK_FOR) == FOUND[source]


@pytest.mark.parametrize("source", HONEST)
def test_what_is_honest_is_not_to_look_at(source):
    assert words(source, LOOK_FOR) == []


def test_an_exercises_own_words_count_for_it_alone():
    assert words("loss.backward()") == []
    assert words("import threading", ["threading"]) == ["threading"]


WAYS_AROUND = {
    "x = x.clone().requires_grad_()\ng, = torch.autograd.grad(loss, x)": AUTOGRAD,
    "torch.autograd.Variable._execution_engine.run_backward(x)": AUTOGRAD,
    "from torch.autograd.graph import _engine_run_backward\nt = torch._C._EngineBase": AUTOGRAD,
    "from torch import func\ng = func.grad(f)(x)": AUTOGRAD,
    "from torch.func import vjp": AUTOGRAD,
    "g = torch.func.jacfwd(f)(x)": AUTOGRAD,
    "import _thread\n_thread.start_new_thread(f, ())": THREADS,
    "from threading import Thread as T": THREADS,
    "from concurrent.futures import ThreadPoolExecutor": THREADS,
    "import sys\nsys.setprofile(None)": THREADS,
    "f = torch.jit.script(g)": TORCH,
    "f = torch.compile(g)": TORCH,
    "torch.ops.aten.one_hot(x, 3)": TORCH,
    "with torch._C.DisableTorchFunction(): pass": TORCH,
    "y = model.forward(x)": HOOKS,
    "model._forward_pre_hooks.clear()": HOOKS,
    "from torch.nn.modules.module import _global_forward_pre_hooks as h\nh.clear()": HOOKS,
    "from torch.nn.modules.module import register_module_forward_pre_hook as r\nr(f)": HOOKS,
    "nn.modules.module.register_module_forward_hook(f)": HOOKS,
    "from torch.optim.optimizer import _global_optimizer_pre_hooks as h\nh.clear()": HOOKS,
}


@pytest.mark.parametrize("source", WAYS_AROUND)
def test_the_short_ways_around_the_rules_are_found(source):
    assert words(source, WAYS_AROUND[source])


WATCHED = {
    "import sys\nsys.setprofile(f)": "setprofile",
    "nn.modules.module.register_module_forward_pre_hook(f)": "register_module_forward_pre_hook",
    "model._forward_pre_hooks.clear()": "_forward_pre_hooks",
    "import gc\nmodel = gc.get_objects()[0]": "gc",
}


@pytest.mark.parametrize("number", ["7.2", "7.3", "7.4", "7.5"])
@pytest.mark.parametrize("source", WATCHED)
def test_ways_out_of_sight_are_looked_for_where_a_model_is_watched(number, source):
    assert words(source, find(number).look_for) == [WATCHED[source]]


@pytest.mark.parametrize("source", ["def f(:", "x = '\0'", "x = '\ud800'", "\tif"])
def test_what_python_cannot_read_gives_nothing(source):
    assert words(source, LOOK_FOR) == []


DEEP = {
    "minus": "x = " + "-" * 49_000 + "1",
    "plus": "1" + "+1" * 24_000,
    "attributes": "x" + ".a" * 24_000,
    "calls": "f" + "()" * 24_000,
    "lambdas": "lambda:" * 7_000 + "1",
    "else": "if 1: pass\n" + "elif 1: pass\n" * 3_800,
    "powers": "1" + "**1" * 15_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_a_source_that_is_made_to_break_its_reader_is_said(name):
    found = words(DEEP[name] + "\nloss.backward()", LOOK_FOR)
    assert found in (["too deeply nested to be read"], ["backward"])  # it depends on the Python


WIDE = {
    "statements": "a=1;" * 12_000,
    "comparisons": "x" + "<x" * 24_000,
    "keywords": f"f({','.join(f'a{i}=1' for i in range(6_000))})",
    "strings": "'a.b'," * 8_000,
    "dots": f"'{'a.' * 24_000}'",
    "brackets": "{" * 190 + "a b" + "}" * 190,
}


@pytest.mark.parametrize("name", WIDE)
def test_the_longest_source_that_is_marked_is_read_in_no_time(name):
    began = time.process_time()
    assert words(f"{WIDE[name]}\nloss.backward()", LOOK_FOR) in (["backward"], [])
    assert time.process_time() - began < 5


def test_nothing_of_a_source_is_run_and_nothing_is_printed():
    source = "print('run')\nx = '\\d'\nif x is 3: pass\nassert (1, 2)"
    program = f"from zerotohero.course.to_look_at import words; print(words({source!r}))"
    said = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True)
    assert said.stdout.decode().split() == ["[]"] and not said.stderr


def test_the_solutions_are_not_to_look_at(root):
    solved = submission.from_notebooks(root / "solutions", "").exercises
    assert len(solved) > 40
    looked = {number: words(source, find(number).look_for) for number, source in solved.items()}
    assert not {number: found for number, found in looked.items() if found}
