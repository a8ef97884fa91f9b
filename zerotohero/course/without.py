"""What an exercise is answered without, taken away in the process that answers it.

    take_away(["autograd"])

This enters the sandbox with an exercise whose `without` names it, and runs before any line of the
answer, for all threads and for good: a reference that an answer could keep is not there to be
taken. It closes the short ways, those of one line. Whoever writes a second engine on top of
torch's formulas has not been stopped; the README says which rules are on trust.
"""

import ctypes
import gc
import sys
from collections.abc import Sequence
from typing import Any

SWITCHED_OFF = "autograd is switched off: this gradient is yours to derive"


def take_away(what: Sequence[str]) -> None:
    """Take away "autograd" or "jit", and all that leads to it."""
    import torch

    if "autograd" in what:
        refuse = _refusing(SWITCHED_OFF)
        engine = type(torch.autograd.Variable._execution_engine)
        _change(engine, "run_backward", refuse)  # behind every `backward` and `grad`
        _change(torch._C.TensorBase, "grad_fn", property(refuse))  # to walk the graph by hand
        _change(torch._C._VariableFunctionsClass, "_make_dual", refuse)  # forward mode
        _change(torch._C._VariableFunctionsClass, "_make_dual_copy", refuse)
        forward = [torch.func.jvp, torch.func.jacfwd, torch._C._enter_dual_level]
        _replace([*forward, torch._C._functorch._jvp_increment_nesting], refuse)
        library = torch.library.Library("aten", "IMPL")
        library.impl("_backward", refuse, "CompositeImplicitAutograd")
        _kept.append(library)
    # Compiled code has ways of its own to the engine, and is not seen by what watches calls.
    of_torch = vars(torch._C)
    compilers = ("_jit_script", "_create_function", "import_ir", "_import_ir", "CompilationUnit")
    found = [of_torch[name] for name in of_torch if name.startswith(compilers)]
    found += [torch.jit.script, torch.jit.trace, torch.jit.trace_module, torch.jit.load]
    _replace(found, _refusing("torch.jit is switched off: this exercise is about eager code"))


_kept: list[Any] = []  # a library takes back what it registered when it is collected


def _refusing(why: str) -> Any:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError(why)

    return refuse


def _change(kind: type, name: str, value: Any) -> None:
    """Set an attribute of a type in C, which Python refuses: in the dict behind its view."""
    (attributes,) = gc.get_referents(kind.__dict__)
    attributes[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


def _replace(functions: Sequence[Any], by: Any) -> None:
    """Put something else wherever a module holds one of the functions."""
    gone = set(map(id, functions))
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        for name in [name for name, value in list(names.items()) if id(value) in gone]:
            names[name] = by
