"""What a card's signature promises, and where the calls of an answer break it.

    complaint(exercise, [[0, "", [[0, "Tensor", False]], {"is": ["Tensor", "object"], "ndim": 2}]])

The signature is `name(argument: kind, …) -> kind` in the exercise's statement. An answer leaves its
arguments as they are, but for those that the exercise `changes`, and returns what stands behind
the arrow. `answering.py` has noted what each call did, in the sandbox, where it may be forged; so
a complaint can only take points away.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from zerotohero.course.answering import METHODS
from zerotohero.course.exercise import Exercise

# What serves as well as what the card says: only what a learner takes for the same.
SERVES = {
    "float": {"float", "int", "floating", "integer"},
    "int": {"int", "integer"},
    "bool": {"bool", "bool_"},
    "list": {"list"},
    "bytes": {"bytes", "bytearray"},
    "None": {"NoneType"},
}
TRUTHS = {"bool", "bool_"}


@dataclass(frozen=True)
class Signature:
    """What the card says of one function: its arguments, and what it returns if it says so."""

    arguments: tuple[str, ...]
    returns: ast.expr | None


@dataclass(frozen=True)
class Complaint:
    """One sentence on what a call did against the card, and a hint or ""."""

    message: str
    hint: str


@cache
def signature(statement: str, name: str) -> Signature | None:
    """Return the signature of a function in a statement, or None where none can be read."""
    text = re.sub(r"`\s*`(?=->)", " ", statement)  # where the arrow begins a line
    found = re.findall(rf"`({re.escape(name)}\([^`]*?\)(?: -> [^`]*)?)`", text)
    for code in sorted(found, key=lambda code: "->" not in code):
        try:
            (function,) = ast.parse(f"def {' '.join(code.split())}: ...").body
        except SyntaxError:  # a call
            continue
        return Signature(tuple(a.arg for a in function.args.args), function.returns)
    return None


def complaint(exercise: Exercise, calls: Any) -> Complaint | None:
    """Return the first thing that a call did against the card; None if all is well.

    calls: as `answering.run_case` returns them. Raises an exception of some kind for forged ones.
    """
    for answer, method, changed, returned in calls:
        if method not in ("", *METHODS):
            raise ValueError("no method whose calls are noted")
        name = exercise.answers[answer]
        card = signature(exercise.statement, method or name)
        what = f"{name}'s {method}" if method else name
        found = _on_arguments(what, card, changed, exercise.changes)
        if not found and not method and card and _promises(card) and returned:
            found = _on_what_came(name, card.returns, returned)
        if found:
            return found
    return None


def _on_arguments(
    what: str, card: Signature | None, changed: Sequence[Any], by_right: Sequence[str]
) -> Complaint | None:
    for place, kind, is_part in changed:
        if (name := _argument(card, place)) not in by_right:
            which = f"its argument {name}" if name else "an argument"
            return Complaint(
                f"{what} changed {which}, which the caller goes on using: arguments stay as they "
                "are",
                _how_to_copy(name or "x", kind, is_part),
            )
    return None


def _on_what_came(name: str, says: ast.expr, returned: Mapping[str, Any]) -> Complaint | None:
    if (misfit := _misfit(says, returned)) is None:
        return None
    wanted, place, came = misfit
    message = f"{name} returned {_article(came)}{place}, and the card says `{ast.unparse(says)}`"
    return Complaint(message, _how_to_return(wanted, came))


def _promises(card: Signature) -> bool:
    """Return whether a value is asked for; one that nobody asked for does no harm."""
    return card.returns is not None and ast.unparse(card.returns) != "None"


def _argument(card: Signature | None, place: int | str) -> str:
    """Return an argument's name, as it stands on the card; "" if the card doesn't say."""
    if isinstance(place, str):
        return _word(place)
    return card.arguments[place] if card and place < len(card.arguments) else ""


def _how_to_copy(name: str, kind: str, is_part: bool) -> str:
    state = {
        "Value": "`z.data -= …` writes into a Value that was handed over. Calculate with it, as "
        "in `z - 1.0`, which makes a new one.",
        "grad": "Its `grad` is another now: gradients are written when the caller calls "
        "`backward()`, and not before.",
        "model": "Its parameters or statistics are others now. Make a new one, or begin with "
        f"`{name} = copy.deepcopy({name})`.",
        "mode": "It is in another mode now, train or eval, than it came in. Note which, `was = "
        f"{name}.training`, and end with `{name}.train(was)`.",
    }
    if kind in state:
        return state[kind]
    if is_part:
        return (
            f"Something inside of it was written into, which a copy of the outside would still "
            f"share. `{name} = copy.deepcopy({name})` copies all of it."
        )
    ways = {
        "Tensor": "Operations in place (`+=`, `x[i] = …`, methods that end in `_`) write into the "
        f"tensor that was handed over. Begin with `{name} = {name}.clone()`, or write "
        "`x = x + …`, which makes a new one.",
        "ndarray": f"`+=` and `x[i] = …` write into it. Begin with `{name} = {name}.copy()`.",
        "list": "`sort`, `append`, `pop`, `shuffle`, `+=` and `x[i] = …` change the list itself. "
        f"Begin with `{name} = list({name})`, or use `sorted({name})` and the like.",
        "dict": f"`pop`, `update` and `x[key] = …` change it. Begin with `{name} = dict({name})`.",
        "set": f"`add`, `discard`, `clear` and `|=` change it. Begin with `{name} = set({name})`.",
    }
    return ways.get(kind, "")


# --- kinds ----------------------------------------------------------------------------------------

Misfit = tuple[str, str, Mapping[str, Any]]  # what is wanted, where, what came


def _misfit(wanted: ast.expr, kind: Mapping[str, Any], place: str = "") -> Misfit | None:
    """Return where a kind is not what an annotation says."""
    match wanted:
        case ast.BinOp(left=left, right=right):
            other = _misfit(right, kind, place)
            return other and _misfit(left, kind, place)
        case ast.Subscript(value=holder, slice=inside):
            if misfit := _misfit(holder, kind, place):
                return misfit
            parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            return _misfit_inside(ast.unparse(holder), parts, kind, place)
    name = ast.unparse(wanted)
    names = set(kind["is"])
    if name in ("int", "float") and names & TRUTHS:
        return name, place, kind
    short = name.rpartition(".")[2]
    if short[0].islower() and short not in _BUILT_IN:
        return None  # a word, such as `model`, for what the verdict looks at
    if SERVES.get(short, {short}) & names or "OptimizedModule" in names:  # a compiled GPT
        return None
    return name, place, kind


_BUILT_IN = {"int", "float", "bool", "str", "bytes", "list", "tuple", "dict", "ndarray"}


def _misfit_inside(
    holder: str, parts: Sequence[ast.expr], kind: Mapping[str, Any], place: str
) -> Misfit | None:
    items = list(kind.get("items", ()))
    if holder == "tuple" and not isinstance(parts[-1], ast.Constant):
        both = zip(parts, items, strict=False)  # too few or too many are for the verdict
        pairs = [(part, item, f" at [{i}]") for i, (part, item) in enumerate(both)]
    elif holder in ("list", "tuple"):
        pairs = [(parts[0], item, f" in its {holder}") for item in items]
    elif holder == "dict":
        pairs = [(parts[0], key, " as a key") for key in kind.get("keys", ())]
        pairs += [(parts[1], item, " as a value") for item in items]
    else:
        pairs = []  # what a Callable takes is seen when it is called
    found = (_misfit(part, item, here + place) for part, item, here in pairs)
    return next((misfit for misfit in found if misfit), None)


def _article(kind: Mapping[str, Any]) -> str:
    """Return what came, in words."""
    name, ndim = _word(kind["is"][0]), kind.get("ndim")
    if name == "NoneType":
        return "None"
    if ndim is not None:
        shape = "" if ndim else "0-dimensional "
        return f"a {shape}tensor" if "Tensor" in kind["is"] else f"a {shape}NumPy array"
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"


def _word(name: Any) -> str:
    """Return a name that an answer gave, which may be any text."""
    return re.sub(r"\W", "", str(name)[:40]) or "something"


def _how_to_return(wanted: str, kind: Mapping[str, Any]) -> str:
    """Return how to make what is wanted of what came; "" where that isn't one step."""
    names, ndim = set(kind["is"]), kind.get("ndim")
    number = wanted in ("int", "float", "bool")
    rules: list[tuple[bool, str]] = [
        (
            number and ndim is not None,
            "`.item()` makes a plain number of a tensor that holds one.",
        ),
        (wanted == "bool", "`bool(…)` makes True or False of it."),
        (number and bool(names & TRUTHS), f"`{wanted}(…)` makes a number of it."),
        (wanted == "list" and ndim is not None, "`.tolist()` makes a list of plain numbers of it."),
        (
            wanted == "list" and "str" in names,
            "`[text]` is a list of one text; `list(text)` is one of its letters.",
        ),
        (
            wanted == "list" and bool(names & SERVES["float"]),
            "`[number]` is a list of one number.",
        ),
        (
            wanted == "list" and not names & {"NoneType", "Callable"},
            "`list(…)` makes a list of what can be gone through.",
        ),
        (
            wanted == "tuple" and "list" in names,
            "`return a, b`, without brackets, is a tuple; `tuple(…)` makes one of a list.",
        ),
        (
            wanted == "Tensor" and "ndarray" in names,
            "Calculate with torch from the arguments on, and not with NumPy: what comes out is a "
            "tensor.",
        ),
        (
            wanted == "Tensor" and bool(names & SERVES["float"]),
            "Return the tensor itself, without `.item()` or `float(…)`.",
        ),
        (
            wanted == "Tensor" and bool(names & {"list", "tuple"}),
            "`torch.tensor(…)` makes a tensor of numbers, `torch.stack(…)` one of tensors.",
        ),
        (
            wanted == "ndarray" and bool(names & (SERVES["float"] | {"list", "tuple"})),
            "`np.array(…)` makes an array of numbers, `np.stack(…)` one of arrays.",
        ),
    ]
    return next((hint for applies, hint in rules if applies), "")
