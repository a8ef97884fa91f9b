"""How answers to the exercises of lecture 07 are called. This enters the sandbox."""

import contextlib
import dataclasses
import pathlib
import tempfile
import types

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

# --- 7.1 ----------------------------------------------------------------------------------------


def attended(FusedAttention, layers):
    return {"y": [_layer(FusedAttention, **layer)(_float(layer["x"])) for layer in layers]}


def dropped(FusedAttention, layer):
    module, x = _layer(FusedAttention, **layer), _float(layer["x"])
    trained = module.train()(x)
    return {"eval": module.eval()(x), "train": trained}


def counted(FusedAttention, layers):
    outputs, calls = [], []
    for layer in layers:
        module, x = _layer(FusedAttention, **layer), _float(layer["x"])
        module(x)  # a mask that is made once for each T is there after this
        with _Counter() as counter:
            outputs.append(module(x))
        calls.append(counter.calls)
    return {"y": outputs, "calls": calls}


def _layer(FusedAttention, x, heads, proj, bias, block_size, dropout=0.0):
    """The learner's layer in eval mode, with the weights of separate heads."""
    _expect_class(FusedAttention, "FusedAttention")
    module = FusedAttention(x.shape[2], len(heads), block_size, dropout)
    weights = {
        "c_attn.weight": _float([head[i] for i in range(3) for head in heads]).flatten(0, 1),
        "c_proj.weight": _float(proj),
        "c_proj.bias": _float(bias),
    }
    mine = {name: list(p.shape) for name, p in module.named_parameters()}
    want = {name: list(w.shape) for name, w in weights.items()}
    if mine != want:
        raise TypeError(f"FusedAttention has the parameters {mine}, where {want} are needed.")
    module.load_state_dict(weights, strict=False)  # a mask may be among the buffers
    return module.eval()


def _expect_class(answer, name):
    if not (isinstance(answer, type) and issubclass(answer, nn.Module)):
        raise TypeError(f"{name} has to be a class derived from nn.Module, the class itself.")


class _Counter(TorchFunctionMode):
    """Counts the calls of torch's functions and tensors' methods."""

    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


def _float(value):
    return (
        torch.stack([_float(v) for v in value])
        if isinstance(value, list)
        else (torch.tensor(value, dtype=torch.float32))
    )


# --- 7.5 ----------------------------------------------------------------------------------------


@torch.no_grad()
def whole(CachedGPT, generate_cached, sizes, weights, idx):
    model, idx = _gpt(CachedGPT, sizes, weights), torch.tensor(idx)
    return {"plain": model(idx), "again": model(idx), "cached": model(idx, model.new_cache())}


@torch.no_grad()
def in_parts(CachedGPT, generate_cached, sizes, weights, idx, parts):
    model = _gpt(CachedGPT, sizes, weights)
    cache = model.new_cache()
    return {"logits": [model(part, cache) for part in torch.tensor(idx).split(parts, 1)]}


@torch.no_grad()
def two_texts(CachedGPT, generate_cached, sizes, weights, idx, other, parts):
    model = _gpt(CachedGPT, sizes, weights)
    caches, logits = [model.new_cache(), model.new_cache()], []
    texts = [torch.tensor(text).split(parts, 1) for text in (idx, other)]
    for pair in zip(*texts, strict=True):
        logits += [model(part, cache) for part, cache in zip(pair, caches, strict=True)]
    return {"logits": logits, "plain": model(torch.tensor(idx))}


@torch.no_grad()
def continued(CachedGPT, generate_cached, sizes, weights, idx, new):
    model, idx = _gpt(CachedGPT, sizes, weights), torch.tensor(idx)
    counts = {"wte": 0, "c_attn": 0, "c_proj": 0}
    with _Queries() as queries:
        for name, module in model.named_modules():
            kind = name.split(".")[-1]
            if kind in counts:

                def count(module, inputs, kind=kind):
                    counts[kind] += inputs[0].shape[1]
                    queries.inside = kind == "c_attn"

                module.register_forward_pre_hook(count)
        tokens = generate_cached(model, idx.clone(), new)
    computed, asked = (n / sizes["n_layer"] for n in (counts["c_attn"], queries.asked))
    return {"tokens": tokens, "fed": counts["wte"], "computed": computed, "asked": asked}


class _Queries(TorchFunctionMode):
    """Counts the queries that meet keys between c_attn and c_proj, as far as softmax shows them."""

    asked, inside = 0, False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if self.inside and name in ("scaled_dot_product_attention", "softmax"):
            first = args[0] if args else next(iter(kwargs.values()))
            self.asked += first.shape[-2]
        return func(*args, **(kwargs or {}))


def _gpt(CachedGPT, sizes, weights):
    _expect_class(CachedGPT, "CachedGPT")
    model = CachedGPT(**sizes)
    if not hasattr(model, "new_cache"):
        raise TypeError(
            "CachedGPT has lost its method `new_cache()`: the check makes caches by it."
        )
    try:
        model.load_state_dict({name: _float(w) for name, w in weights.items()})
    except RuntimeError:
        mine = ", ".join(model.state_dict())[:150]
        raise TypeError(
            f"CachedGPT's weights must keep their names and shapes; they are now: {mine}."
        ) from None
    return model.eval()


# --- 7.6 ----------------------------------------------------------------------------------------


def nucleus(top_p, logits, p, temperature):
    logits = torch.tensor(logits)
    probs = top_p(logits, p, temperature)
    return {"probs": probs, "logits": logits}


# --- 7.7 ----------------------------------------------------------------------------------------


def judged(is_causal, models):
    got = {"causal": [], "lengths": [], "texts": [], "in_train": [], "mode_kept": []}
    for spec in models:
        model = _OneLayer(**spec)
        n, V = spec["bias"].shape[0], spec["wte"].shape[0]
        mode = model.training
        got["causal"].append(is_causal(model, V, n))
        got["lengths"].append(sorted({len(text) for text in model.calls.texts}))
        got["texts"].append(len(model.calls.texts))
        got["in_train"].append(model.calls.in_train)
        got["mode_kept"].append(model.training == mode)
    return got


class _Calls:
    """What a model and its copies were called on, and whether in train mode."""

    def __init__(self):
        self.texts, self.in_train = set(), False

    def __deepcopy__(self, memo):
        return self


class _OneLayer(nn.Module):
    """A model of one attention layer, in which some things may leak, and what it was called on.

    bias: (n, n), added to the scores: 0 where a position may look, −∞ where it may not.
    tail: whether a shorter text gets the bias's last rows, not its first.
    leaky_at: the only length for which the bias is used; texts of others get a right one. 0: none.
    axis: that softmax goes over. center: whether the mean over time is subtracted.
    total: whether the mean of the past is added, computed from the sum over all positions.
    shift: added to all logits.
    """

    def __init__(
        self, wte, wpe, w_attn, w_out, shift, bias, tail, leaky_at, axis, center, total,
        dropout, norm, train,
    ):  # fmt: skip
        super().__init__()
        tables = (nn.Parameter(_float(w)) for w in (wte, wpe, w_attn, w_out))
        self.wte, self.wpe, self.w_attn, self.w_out = tables
        self.bias, self.tail, self.axis = _float(bias), tail, axis
        self.leaky_at, self.center, self.total, self.shift = leaky_at, center, total, shift
        self.drop = nn.Dropout(dropout)
        self.norm = nn.BatchNorm1d(self.wte.shape[1]) if norm else None
        self.calls = _Calls()
        self.train(train)

    def forward(self, idx):
        if idx.ndim != 2:
            raise ValueError(f"idx has to be of shape (B, T), not {tuple(idx.shape)}.")
        self.calls.texts |= set(map(tuple, idx.tolist()))
        self.calls.in_train |= self.training
        n, T = len(self.bias), idx.shape[1]
        if n < T:
            raise ValueError(f"{T} tokens are more than block_size = {n}.")
        x = F.embedding(idx, self.wte) + self.wpe[:T]
        if self.norm is not None:
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        if self.center:
            x = x - x.mean(1, keepdim=True)
        if self.total:
            after = x.flip(1).cumsum(1).flip(1) - x
            x = x + (x.sum(1, keepdim=True) - after) / torch.arange(1, T + 1)[:, None]
        q, k, v = (x @ w for w in self.w_attn)
        bias = self.bias[n - T :, :T] if self.tail else self.bias[:T, :T]
        if self.leaky_at not in (0, T):
            bias = torch.full((T, T), float("-inf")).triu(1)
        weights = F.softmax(q @ k.transpose(1, 2) / q.shape[2] ** 0.5 + bias, self.axis)
        return self.drop(x + weights @ v) @ self.w_out + self.shift


# --- 7.2, 7.3, 7.4, 7.8: those that train -------------------------------------------------------


def encoded(encode_sums, add, carry_chain, train_adder, a, b, reverse):
    returned = encode_sums(torch.tensor(a), torch.tensor(b), reverse)
    X, Y = _several(returned, "encode_sums", "X, Y")
    return {"X": X, "Y": Y, "kinds": [str(getattr(part, "dtype", type(part))) for part in (X, Y)]}


def asked_for_sums(encode_sums, add, carry_chain, train_adder, a, b, reverse, shift):
    model, a, b = _Calculator(shift, reverse), torch.tensor(a), torch.tensor(b)
    with torch.no_grad():
        return {"sums": add(model, a, b, reverse), "again": add(model, a, b, reverse)}


def chained(encode_sums, add, carry_chain, train_adder, a, b):
    return {"chain": carry_chain(torch.tensor(a), torch.tensor(b))}


def trained_adder(encode_sums, add, carry_chain, train_adder, a, b):
    pairs = (torch.tensor(part.astype("int64")) for part in (a, b))
    return _trained(train_adder(*pairs), "train_adder")


class _Calculator(nn.Module):
    """Stands in for a model: it writes a + b + shift, digit by digit, as long as it may.

    Fed with digits that it would not have written, it goes wrong from there on.
    """

    def __init__(self, shift, reverse):
        super().__init__()
        self.shift, self.reverse = shift, reverse
        self.sure = nn.Parameter(torch.tensor(3.0))
        self.config = types.SimpleNamespace(vocab_size=12, block_size=11)
        self.device = self.sure.device

    def forward(self, idx, cache=None):
        if idx.ndim != 2 or idx.shape[1] < 8 or (idx[:, 3] != 10).any() or (idx[:, 7] != 11).any():
            raise ValueError(
                f"the model was given {tuple(idx.shape)} tokens that do not begin with a question "
                "such as 1 2 3 + 4 5 6 ="
            )
        place = torch.tensor([100, 10, 1])
        said = (idx[:, :3] * place).sum(1) + (idx[:, 4:7] * place).sum(1) + self.shift
        digits = said[:, None] // torch.tensor([1000, 100, 10, 1]) % 10  # (N, 4)
        if self.reverse:
            digits = digits.flip(1)
        logits = torch.zeros(*idx.shape, 12)
        for t in range(7, min(idx.shape[1], 11)):
            off = (idx[:, 8 : t + 1] != digits[:, : t - 7]).sum(1)
            logits[:, t] = self.sure * F.one_hot((digits[:, t - 7] + off) % 10, 12)
        return logits

    def generate(self, *args, **options):  # GPT's; there is nothing here that a cache could keep
        from zerotohero.generation import generate

        return generate(self, *args, **{**options, "use_cache": False})


def alphabet(to_alphabet, pretrain, from_scratch, finetune, text, chars):
    return {"text": to_alphabet(text, chars)}


def finetuned(to_alphabet, pretrain, from_scratch, finetune, other=None, tokens=None, missing=""):
    if missing:
        raise FileNotFoundError(missing)
    other, tokens = (torch.tensor(part.astype("int64")) for part in (other, tokens))
    got = {}
    model, got["seen_before"] = _counting(lambda: pretrain(other, 65))
    got["pretrained"] = _trained(model, "pretrain")
    model, got["seen_tuned"] = _counting(lambda: finetune(model, tokens))
    got["tuned"] = _trained(model, "finetune")
    model, got["seen_scratch"] = _counting(lambda: from_scratch(tokens, 65))
    got["scratch"] = _trained(model, "from_scratch")
    return got


def _counting(train):
    """What `train` returns, and how many tokens went through a GPT in train mode meanwhile."""
    seen = 0

    def count(module, inputs):
        nonlocal seen
        whole = hasattr(module, "lm_head") and hasattr(module, "config")
        if whole and module.training and torch.is_grad_enabled():
            seen += inputs[0].numel()

    hook = nn.modules.module.register_module_forward_pre_hook(count)
    try:
        return train(), seen
    finally:
        hook.remove()


def read(read_data, bigram_loss, own_data, text, block_size):
    with _file(text.encode()) as path:
        chars, train, val = _several(read_data(path, block_size), "read_data", "chars, train, val")
    return {"chars": chars, "train": train, "val": val}


def unreadable(read_data, bigram_loss, own_data, contents, block_size):
    replies = []
    for content in contents:
        with _file(bytes(content)) as path:
            try:
                read_data(path, block_size)
            except NotImplementedError:
                raise
            except Exception as error:
                replies.append({"type": type(error).__name__, "message": str(error)[:300]})
            else:
                replies.append({"type": "", "message": ""})
    return {"replies": replies, "name": path.name}


def baseline(read_data, bigram_loss, own_data, train, val, V):
    return {"loss": bigram_loss(torch.tensor(train), torch.tensor(val), V)}


def reported(read_data, bigram_loss, own_data, text):
    with _file(text.encode()) as path:
        model, report = _several(own_data(path), "own_data", "model, report")
    if not isinstance(report, dict):
        raise TypeError(f"The report has to be a dict; own_data returned a {type(report).__name__}")
    return {**_trained(model, "own_data"), "report": report}


@contextlib.contextmanager
def _file(content):
    """A file of that content, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "mine.txt")
        path.write_bytes(content)
        yield path


def _trained(model, name):
    """A trained GPT as plain values: its configuration and its weights."""
    config = getattr(model, "config", None)
    if not isinstance(model, nn.Module) or not dataclasses.is_dataclass(config):
        raise TypeError(
            f"{name} has to return a trained `zerotohero.gpt.GPT`, and it returned "
            f"{'nothing' if model is None else f'a {type(model).__name__}'}."
        )
    model = getattr(model, "_orig_mod", model)  # of a compiled one
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    return {"config": dataclasses.asdict(config), "weights": weights}


def _several(returned, name, values):
    """The values that were returned, if there are as many as `values` names."""
    if returned is None:
        raise TypeError(f"Nothing came back from {name}: end it with `return {values}`.")
    if not isinstance(returned, (tuple, list)) or len(returned) != len(values.split(", ")):
        raise TypeError(f"{name} has to end with `return {values}`.")
    return returned


def improved(improvements, train_model, **given):
    """Each of the functions that were returned, called on its own inputs."""
    functions = improvements()
    if not isinstance(functions, dict) or not functions:
        raise TypeError('improvements has to return a dict such as {"rotary": rotary}.')
    if strangers := functions.keys() - given.keys():
        raise KeyError(f"{sorted(map(str, strangers))} is none of {', '.join(given)}")
    got = {}
    for name, function in functions.items():
        if not callable(function):
            raise TypeError(f"{name!r} has to stand for a function, not a {type(function)}")
        got[name] = []
        for inputs in given[name]:
            leaves = [_double(x) for x in inputs]
            y = function(*leaves)
            got[name].append(list(y) if isinstance(y, (tuple, list)) else y)
    return got


def _double(x):
    return torch.tensor(x, dtype=torch.float64) if hasattr(x, "shape") else x


def compared(improvements, train_model, runs=(), windows=None, V=0, missing=""):
    if missing:
        raise FileNotFoundError(missing)
    windows = torch.tensor(windows.astype("int64"))
    got = {"plain": [], "improved": [], "names": list(improvements())}
    for run in runs:
        for name in ("plain", "improved"):
            batches = _Batches(run["tokens"])
            model = train_model(batches, V, name == "improved", run["seed"])
            if not callable(model) or isinstance(model, type):
                raise TypeError(
                    "train_model has to return the trained model, which can be called on xb; it "
                    f"returned {'nothing' if model is None else f'a {type(model).__name__}'}."
                )
            got[name].append({"taken": batches.taken, **_last_logits(model, windows)})
    return got


class _Batches:
    """(xb, yb) of shape (B, T) each; they can be gone through once."""

    def __init__(self, tokens):
        self.tokens, self.taken = torch.tensor(tokens.astype("int64")), 0

    def __len__(self):
        return len(self.tokens)

    def __iter__(self):
        if self.taken:
            raise RuntimeError("the batches can be gone through once: that is the compute")
        for rows in self.tokens:
            self.taken += 1
            yield rows[:, :-1], rows[:, 1:]


@torch.no_grad()
def _last_logits(model, windows):
    """The logits after each window, and the operations that one window takes."""
    if isinstance(model, nn.Module):
        model.eval()
    with FlopCounterMode(display=False) as counter:
        first = model(windows[:1])
    if first.ndim != 3 or first.shape[:2] != windows[:1].shape:
        raise TypeError(
            f"the model takes {tuple(windows[:1].shape)} tokens to logits of the shape "
            f"{tuple(first.shape)}: (B, T) goes to (B, T, V)"
        )
    logits = torch.cat([model(part)[:, -1] for part in windows.split(512)])
    return {"logits": logits.float(), "flops": counter.get_total_flops()}
