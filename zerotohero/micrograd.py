"""A scalar autograd engine and a multi-layer perceptron on top of it (lecture 01).

The idea: every operation leaves a node behind that remembers its operands and its *local
derivatives*, those of its result with respect to its operands. By the chain rule one walk back
over the graph then gives one number's derivatives for all that it was made from: reverse-mode
differentiation (Linnainmaa 1970; Rumelhart, Hinton & Williams 1986, "Learning representations by
back-propagating errors").

Code written for the package `micrograd` (A. Karpathy, 2020) runs when only its imports change.
New against it: more operations, no recursion, gradients that accumulate as PyTorch's do, errors
in words, drawing, graphs that can be copied, and one node for a neuron's whole weighted sum.
Left out: arrays. One number at a time is readable, and thousands of times slower than PyTorch.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from itertools import pairwise
from numbers import Real
from operator import mul


class Value:
    """One number, how it was made, and its gradient: how fast a later number changes with it.

    `data` is the number, `grad` the derivative that `backward()` of a later result puts here,
    `label` a name for drawings. `operands`, `op` and `local` say from which values it was made,
    by which operation, and with which local derivatives. Without operands it is a *leaf*.

    That is all an operation needs, so the constructor is where you add one:

        def sin(x: Value) -> Value:
            return Value(math.sin(x.data), (x,), "sin", local=(math.cos(x.data),))

    Instead of `local` you may assign to `_backward` a function that adds to the operands' `grad`,
    as code for the package `micrograd` does; its names `_children`, `_prev` and `_op` are known
    too. `copy.deepcopy` and `pickle` take the whole graph along. TypeError for no real number.
    """

    # Slots are faster than a dictionary, which is there for attributes of your own.
    __slots__ = ("_rule", "data", "grad", "label", "local", "op", "operands")
    __slots__ += ("__dict__", "__weakref__")

    def __init__(self, data, operands=(), op="", label="", *, local=(), _children=(), _op=""):
        self.data = data if type(data) is float else _real(data)
        self.grad, self._rule = 0.0, None  # the rule is what gets assigned to `_backward`
        self.operands, self.local = tuple(operands or _children), tuple(local)
        self.op, self.label = op or _op, label

    def backward(self) -> None:
        """Add the derivative of this value to the `grad` of every leaf it was made from.

        Leaves accumulate over calls until somebody zeroes them, as in PyTorch with
        `retain_graph=True`. The values in between start each pass at zero and hold this pass's
        gradient afterwards, so that nothing is counted twice. Raises ValueError for an operation
        without a backward rule.
        """
        # A leaf has nothing to hand on, unless somebody gave it a rule.
        order = [v for v in topological_order(self) if v.operands or v._rule is not None]
        for node in order:
            if node.operands:
                node.grad = 0.0
            if len(node.local) != (n := len(node.operands)) and node._rule is None:
                raise ValueError(f"{node.op!r} has {n} operand(s): give their local derivative(s)")
        self.grad += 1.0
        for node in reversed(order):
            (node._rule or node._hand_on)()

    def _hand_on(self) -> None:
        grad = self.grad
        for operand, derivative in zip(self.operands, self.local):  # noqa: B905 (its check costs half)
            operand.grad += derivative * grad

    def __add__(self, other):
        other = _value(other)
        return _node(self.data + other.data, (self, other), "+", (1.0, 1.0))

    def __sub__(self, other):
        other = _value(other)
        return _node(self.data - other.data, (self, other), "-", (1.0, -1.0))

    def __mul__(self, other):
        other = _value(other)
        return _node(self.data * other.data, (self, other), "*", (other.data, self.data))

    def __truediv__(self, other):
        x, y = self.data, (other := _value(other)).data
        return _node(x / y, (self, other), "/", (1.0 / y, -x / y / y))

    def __pow__(self, other):
        x, exponent = self.data, other.data if isinstance(other, Value) else _real(other)
        power, slope = _power(x, exponent)
        if not isinstance(other, Value):
            return _node(power, (self,), f"**{exponent:g}", (slope,))
        # The exponent's derivative is power·log(x), which a negative number does not have.
        log = math.log(x) if x > 0.0 else -math.inf if x == 0.0 else math.nan
        rate = 0.0 if x == 0.0 <= exponent else power * log
        return _node(power, (self, other), "**", (slope, rate))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return _node(-self.data, (self,), "neg", (-1.0,))

    def __rsub__(self, other):
        return _value(other) - self

    def __rtruediv__(self, other):
        return _value(other) / self

    def __rpow__(self, other):
        return _value(other) ** self

    @staticmethod
    def dot(weights: Iterable, inputs: Iterable, bias: "Value | float" = 0.0) -> "Value":
        """Return Σ wᵢ·xᵢ + bias as one node instead of 2n: the same gradients in less time.

        A weight's local derivative is its input, an input's its weight, the bias's 1.
        Raises ValueError when there aren't as many inputs as weights.
        """
        w = [v if isinstance(v, Value) else Value(v) for v in weights]  # a call each takes longer
        x, b = [v if isinstance(v, Value) else Value(v) for v in inputs], _value(bias)
        if len(w) != len(x):
            raise ValueError(f"{len(w)} weights, but {len(x)} inputs: give one for each")
        to_w, to_x = [v.data for v in x], [v.data for v in w]
        data = sum(map(mul, to_x, to_w), b.data)
        return _node(data, (*w, *x, b), "dot", (*to_w, *to_x, 1.0))

    def relu(self) -> "Value":
        """Return max(0, x). The derivative at 0 is taken as 0, as PyTorch does."""
        data, slope = (0.0, 0.0) if self.data <= 0.0 else (self.data, 1.0)
        return _node(data, (self,), "ReLU", (slope,))

    def tanh(self) -> "Value":
        """Return the hyperbolic tangent; its derivative is 1 − tanh²."""
        t = math.tanh(self.data)
        return _node(t, (self,), "tanh", (1.0 - t * t,))

    def sigmoid(self) -> "Value":
        """Return 1 / (1 + e⁻ˣ), without overflow at either end; its derivative is s·(1 − s)."""
        e = math.exp(-abs(self.data))
        s = 1.0 / (1.0 + e) if self.data >= 0.0 else e / (1.0 + e)
        return _node(s, (self,), "sigmoid", (e / (1.0 + e) ** 2,))

    def exp(self) -> "Value":
        """Return eˣ, its own derivative. Raises OverflowError above about 709.78."""
        try:
            e = math.exp(self.data)
        except OverflowError:
            raise OverflowError(f"exp({self.data:g}): too large; shift the logits down") from None
        return _node(e, (self,), "exp", (e,))

    def log(self) -> "Value":
        """Return the natural logarithm. Raises ValueError unless the number is above zero."""
        if self.data <= 0.0:
            raise ValueError(f"log({self.data:g}): only a number above zero has a logarithm")
        return _node(math.log(self.data), (self,), "log", (1.0 / self.data,))

    def __reduce_ex__(self, protocol):
        """Return what copy and pickle ask for. Left alone, they recurse from operand to operand."""
        if self._rule is not None:
            raise TypeError("a _backward of one's own can't be copied; give the operation local=")
        new, cls, state = super().__reduce_ex__(2)[:3]
        led = not self.operands or self in _led.get()
        return _last, ([] if led else _Behind([self]), new, *cls), state

    def __repr__(self) -> str:
        label = f", label={self.label!r}" if self.label else ""
        return f"Value(data={self.data}, grad={self.grad}{label})"


# The names that code written for the package `micrograd` reads and assigns.
Value._op = Value.op
Value._prev = property(lambda v: set(v.operands), lambda v, p: Value.operands.__set__(v, tuple(p)))
Value._backward = property(lambda v: v._rule or v._hand_on, Value._rule.__set__)


def _node(data: float, operands: tuple, op: str, local: tuple) -> Value:
    """Return `Value(...)` for the operations above: without its checks, in less time."""
    node = Value.__new__(Value)
    node.data, node.grad, node.label, node._rule = data, 0.0, "", None
    node.operands, node.op, node.local = operands, op, local
    return node


def _value(x) -> Value:
    return x if isinstance(x, Value) else Value(x)


def _real(x) -> float:
    """Return a number of Python's or NumPy's, or a tensor of one, as a float; a bool as 0 or 1."""
    is_number = isinstance(x, Real) or (hasattr(x, "__float__") and getattr(x, "shape", ()) == ())
    if not is_number or "complex" in str(getattr(x, "dtype", "")):
        raise TypeError(f"a Value holds one real number, not {x!r:.60} ({type(x).__name__})")
    return float(x)


def _power(base: float, exponent: float) -> tuple[float, float]:
    """Return base ** exponent and its derivative with respect to the base."""
    if base == 0.0 and -math.inf < exponent < 0.0:
        raise ZeroDivisionError(f"0 ** {exponent:g}: zero has no power with a negative exponent")
    if -math.inf < base < 0.0 and math.isfinite(exponent) and exponent % 1.0:
        raise ValueError(f"({base:g}) ** {exponent:g}: negative numbers have no fractional powers")
    try:
        power = base**exponent
    except OverflowError:
        raise OverflowError(f"({base:g}) ** {exponent:g} is too large for a float") from None
    try:
        return power, exponent and exponent * base ** (exponent - 1.0)
    except (OverflowError, ZeroDivisionError):  # next to zero the curve is (nearly) vertical
        falls = exponent < 0.0 and (base > 0.0 or exponent % 2.0 == 1.0)
        return power, -math.inf if falls else math.inf


def topological_order(root: Value) -> list[Value]:
    """Return every value that `root` was made from, operands before what uses them, `root` last.

    The stack is a list, because Python's own ends at a thousand calls or so.
    """
    order, seen, stack = [], set(), [root]
    while stack:
        node = stack.pop()
        if node is None:  # everything above this mark is listed, so the node below it is next
            order.append(stack.pop())
        elif node not in seen:
            seen.add(node)
            if node.operands:
                stack += (node, None, *node.operands[::-1])
            else:
                order.append(node)
    return order


_led = ContextVar("values that pickle or deepcopy is being led to", default=frozenset())


class _Behind(list):
    """[root], which pickle and deepcopy see as all that root was made from, operands first."""

    def __reduce_ex__(self, protocol):
        return list, (), None, self._lead()

    def _lead(self) -> Iterator[Value]:
        nodes, outside = topological_order(self[0]), _led.get()
        _led.set(outside | set(nodes))
        try:
            yield from nodes[:-1]
        finally:
            _led.set(outside)


def _last(before: list, new: Callable, cls: type) -> Value:
    return new(cls)  # its operands are in `before`


class Module:
    """Something with parameters: what a training loop steps over and zeroes."""

    def parameters(self) -> list[Value]:
        return []

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero; call it before each backward pass."""
        for p in self.parameters():
            p.grad = 0.0


class Neuron(Module):
    """w·x + b, and ReLU of it when `nonlin`. Weights uniform in [−1, 1), bias 0.

    `rng` is the generator of the weights, a `random.Random`. Without one they come from Python's
    shared generator, so that `random.seed` fixes them, as with the package `micrograd`.
    """

    def __init__(self, nin: int, nonlin: bool = True, *, rng: random.Random | None = None):
        self.w = [Value((rng or random).uniform(-1, 1)) for _ in range(_size(nin, "nin"))]
        self.b, self.nonlin = Value(0.0), nonlin

    def __call__(self, x: Iterable[Value | float]) -> Value:
        """Return the neuron's output for `nin` numbers or Values."""
        act = Value.dot(self.w, x, self.b)
        return act.relu() if self.nonlin else act

    def parameters(self) -> list[Value]:
        return [*self.w, self.b]

    def __repr__(self) -> str:
        return f"{'ReLU' if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """`nout` neurons that see the same `nin` inputs. A single output comes without its list."""

    def __init__(self, nin: int, nout: int, **kwargs):
        self.neurons = [Neuron(nin, **kwargs) for _ in range(_size(nout, "nout"))]

    def __call__(self, x: Iterable[Value | float]) -> Value | list[Value]:
        x = [_value(xi) for xi in x]
        out = [neuron(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def parameters(self) -> list[Value]:
        return [p for neuron in self.neurons for p in neuron.parameters()]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(Module):
    """Layers one after the other, ReLU after each but the last: `MLP(2, [16, 16, 1])`.

    `rng` as for `Neuron`. Raises ValueError for sizes that are no positive whole numbers.
    """

    def __init__(self, nin: int, nouts: Sequence[int], *, rng: random.Random | None = None):
        self.layers = [Layer(n, m, rng=rng) for n, m in pairwise([nin, *nouts])]
        if not self.layers:
            raise ValueError("an MLP needs at least one layer; give nouts, for example [16, 16, 1]")
        for neuron in self.layers[-1].neurons:
            neuron.nonlin = False

    def __call__(self, x: Iterable[Value | float]) -> Value | list[Value]:
        for layer in self.layers:
            x = layer([x] if isinstance(x, Value) else x)  # one neuron gives its value bare
        return x

    def parameters(self) -> list[Value]:
        return [p for layer in self.layers for p in layer.parameters()]

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"


def _size(n: int, name: str) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
        raise ValueError(f"{name} is {n!r}; give a whole number above zero")
    return int(n)


def moons(n: int, rng: random.Random, noise: float = 0.1) -> tuple[list[list[float]], list[int]]:
    """Return `n` points [x, y] on two interleaved half circles, in turn labelled −1 (upper), 1."""
    points, labels = [], []
    for i in range(n):
        angle, label = rng.uniform(0.0, math.pi), 1 if i % 2 else -1
        x, y = math.cos(angle), math.sin(angle)
        x, y = (1.0 - x, 0.5 - y) if label == 1 else (x, y)
        points.append([x + rng.gauss(0.0, noise), y + rng.gauss(0.0, noise)])
        labels.append(label)
    return points, labels
