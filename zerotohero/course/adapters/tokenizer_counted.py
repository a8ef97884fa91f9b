"""How answers to exercise 9.8 are called, and their operations counted. This enters the sandbox.

Python tells `sys.settrace` of each line and `sys.setprofile` of each call of a function in C. What
goes through a whole list in C is charged for its length, so that no line hides a loop.
"""

import _thread
import builtins
import collections
import contextlib
import functools
import multiprocessing.process
import operator
import os
import subprocess
import sys
import threading

from zerotohero.course.adapters.tokenizer import _pairs

# Methods whose time doesn't depend on the length of their object.
CONSTANT = {
    *("append", "pop", "popleft", "appendleft", "get", "setdefault", "add", "discard", "keys"),
    *("items", "values", "popitem", "extend", "__getitem__", "__setitem__", "__contains__"),
    *("encode", "startswith", "endswith", "__next__", "__len__", "move_to_end"),
}
THROUGH = ("sorted", "min", "max", "sum", "any", "all", "zip", "map", "filter")


class Spent(BaseException):
    """The limit is reached. No `except Exception` of an answer's takes it for its own."""


# What begins another thread or process.
STARTERS = (
    (threading.Thread, "start"),
    (_thread, "start_new_thread"),
    (multiprocessing.process.BaseProcess, "start"),
    (subprocess.Popen, "__init__"),
    *((os, name) for name in ("fork", "forkpty", "posix_spawn") if hasattr(os, name)),
)


@contextlib.contextmanager
def _alone():
    """While an answer runs, this thread begins no other and no process."""
    mine, true = threading.get_ident(), [getattr(of, name) for of, name in STARTERS]

    def refusing(function):
        def start(*given, **named):
            if threading.get_ident() != mine:  # one of the notebook's own
                return function(*given, **named)
            raise RuntimeError("one process and one thread are allowed, and another was begun")

        return start

    try:
        for (of, name), function in zip(STARTERS, true, strict=True):
            setattr(of, name, refusing(function))
        yield
    finally:
        for (of, name), function in zip(STARTERS, true, strict=True):
            setattr(of, name, function)


def fast_small(train_fast, asked):
    with _alone():
        found = [_pairs(train_fast(list(a["chunks"]), a["n_merges"])) for a in asked]
    return {"merges": found}


def fast_counted(train_fast, text, n_merges, limit):
    chunks = text.split("\n")
    with _alone():
        ask = functools.partial(train_fast, chunks, n_merges)
        merges, operations, watched = _counted(ask, limit, len(text))
    return {"merges": _pairs(merges), "operations": operations, "watched": watched}


def _counted(ask, limit, large):
    """What came, the operations, at most limit + 1, and whether all of them were seen.

    large: what the use of a compiled regular expression costs.
    """
    operations, hint = 0, operator.length_hint

    def charge(n):
        nonlocal operations
        operations += n
        if operations > limit:
            operations = limit + 1
            raise Spent

    def traced(frame, event, argument):
        nonlocal operations
        if frame.f_code.co_filename == __file__:  # what counts is not counted
            return None
        operations += 1
        if operations > limit:
            raise Spent
        return traced

    def called(frame, event, function):
        if event != "c_call" or function.__name__ in CONSTANT:
            return
        if frame.f_code.co_filename == __file__:
            return
        mine = getattr(function, "__self__", None)
        if type(mine).__name__ == "Pattern":
            charge(large)
        elif mine is not None and not isinstance(mine, type):
            charge(1 + hint(mine, 0))

    def through(function):
        def charged(*given, **named):
            n = 1
            for g in given:
                length = hint(g, 0)
                n = length if length > n else n
            charge(n)
            return function(*given, **named)

        return charged

    def count_elements(mapping, iterable):
        for element in iterable:
            charge(1)
            mapping[element] = mapping.get(element, 0) + 1

    true = {name: getattr(builtins, name) for name in THROUGH}
    in_c, found, watched = collections._count_elements, None, True
    before = sys.gettrace(), sys.getprofile()
    try:
        for name, function in true.items():
            setattr(builtins, name, through(function))
        collections._count_elements = count_elements
        sys.setprofile(called)
        sys.settrace(traced)
        found = ask()
        watched = sys.gettrace() is traced and sys.getprofile() is called
    except Spent:
        operations = limit + 1
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
        collections._count_elements = in_c
        for name, function in true.items():
            setattr(builtins, name, function)
    return found, operations, watched
