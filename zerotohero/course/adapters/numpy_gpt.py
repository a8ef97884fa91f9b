"""How answers to the exercises of lecture 11 are called. This enters the sandbox."""

import copy
import itertools
import tracemalloc

import numpy as np

from zerotohero.course.adapters.shared import kind_of, pair, what_came

# --- 11.1 ---------------------------------------------------------------------------------------


def softmaxes(softmax, layer_norm, xs):
    return {"ys": [softmax(x) for x in xs]}


def layer_norms(softmax, layer_norm, asked):
    return {"ys": [_norm(layer_norm, **one) for one in asked]}


def halves(softmax, layer_norm, xs, asked):
    norms = [_norm(layer_norm, **one) for one in asked]
    return {"soft": [softmax(x) for x in xs], "norms": norms}


def _norm(layer_norm, x, g, b, eps):
    """The call without eps where it is what the card gives it."""
    return layer_norm(x, g, b) if eps == 1e-5 else layer_norm(x, g, b, eps)


# --- 11.2 ---------------------------------------------------------------------------------------


def attended(attention, x, c_attn, c_proj, n_head):
    return {"y": attention(x, c_attn, c_proj, n_head)}


# --- 11.3 ---------------------------------------------------------------------------------------


def in_parts(gpt_cached, generate_cached, params, n_head, tokens, parts):
    cache = _empty(params)
    fed = np.split(tokens, np.cumsum(parts)[:-1])
    return {"logits": [gpt_cached(part, params, n_head, cache) for part in fed]}


def two_texts(gpt_cached, generate_cached, params, n_head, tokens, parts, other):
    caches, logits = [_empty(params), _empty(params)], []
    stops = np.cumsum(parts)[:-1]
    for turn in zip(np.split(tokens, stops), np.split(other, stops), strict=True):
        for i, part in enumerate(turn):
            caches[i] = copy.deepcopy(caches[i])  # what is remembered elsewhere stays behind
            logits.append(gpt_cached(part, params, n_head, caches[i]))
    return {"logits": logits}


def to_the_end(gpt_cached, generate_cached, params, n_head, tokens, parts, more):
    first, second, last = np.split(tokens, np.cumsum(parts)[:-1])
    caches = [_empty(params), _empty(params)]
    for cache in caches:
        for part in (first, second):
            gpt_cached(part, params, n_head, cache)

    def fed(part, cache):
        return _refusing(gpt_cached, part, params, n_head, cache)

    told = {"last": fed(last, caches[0]), "two": fed(more, caches[1])}
    told |= {"after": fed(last, caches[1]), "one": fed(last, caches[1])}
    return told | {"all": fed(np.append(tokens, last), _empty(params))}


def _refusing(answer, *given):
    """What came, or the name of the error that was raised: its own or ValueError."""
    try:
        return answer(*given)
    except NotImplementedError:
        raise
    except Exception as error:
        return kind_of(error)


def continued(gpt_cached, generate_cached, params, n_head, prompt, new):
    counts = {}
    for name, layer in (("attn", "c_attn"), ("mlp", "c_fc")):
        counts[name] = [0]
        for block in params["blocks"]:
            block[name][layer]["w"] = _Counted.of(block[name][layer]["w"], counts[name])
    counts["wte"] = [0]
    params["wte"] = _Looked.of(params["wte"], counts["wte"])
    tokens = generate_cached(list(prompt), params, n_head, new)
    C, n = params["wte"].shape[1], len(params["blocks"])
    # Of one position: its row of wte, and its numbers times the size of a matrix.
    sizes = {"wte": 1, "attn": 3 * C**3 * n, "mlp": 4 * C**3 * n}
    return {"tokens": tokens} | {name: counts[name][0] / sizes[name] for name in counts}


def up_to_the_end(gpt_cached, generate_cached, params, n_head, prompt, new):
    tokens = generate_cached(list(prompt), params, n_head, new)
    beyond = _refusing(generate_cached, list(prompt), params, n_head, new + 1)
    none = generate_cached(list(prompt), params, n_head, 0)
    return {"tokens": tokens, "beyond": beyond, "none": none}


def _empty(params):
    return [{} for _ in params["blocks"]]


class _Counted(np.ndarray):
    """A matrix that counts the multiplications with it; what it gives are plain arrays."""

    count = None

    @classmethod
    def of(cls, w, count):
        counted = w.view(cls)
        counted.count = count
        return counted

    def __array_finalize__(self, of):
        self.count = getattr(of, "count", None)  # of a part of it, too

    def __array_ufunc__(self, ufunc, method, *inputs, **named):
        if ufunc is np.matmul:
            self._note(inputs)
        if "out" in named:
            named["out"] = tuple(map(_plain, named["out"]))
        return getattr(ufunc, method)(*map(_plain, inputs), **named)

    def __array_function__(self, function, types, args, named):
        if function.__name__ in ("dot", "einsum", "tensordot", "inner"):
            self._note(args)
        return _plain(super().__array_function__(function, types, args, named))

    def _note(self, inputs):
        rows = [x for x in inputs if isinstance(x, np.ndarray) and not isinstance(x, _Counted)]
        if self.count is not None and rows:
            self.count[0] += rows[0].size * self.size


class _Looked(_Counted):
    """A table that counts the rows which are looked up in it."""

    def __getitem__(self, key):
        if not isinstance(key, slice | tuple):
            self.count[0] += np.size(key)
        return _plain(super().__getitem__(key))

    def _note(self, inputs):
        pass


def _plain(x):
    return x.view(np.ndarray) if isinstance(x, np.ndarray) else x


# --- 11.4 ---------------------------------------------------------------------------------------


def nuclei_of(top_p, generate, asked):
    return {"ys": [top_p(one["probs"], one["p"]) for one in asked]}


def written(top_p, generate, table, u, prompts, eos, n_tokens, p):
    rows, seen, draws = [], [], []

    def model(texts):
        rows.append(len(texts))
        seen.append([[int(token) for token in text] for text in texts])
        if len(rows) > 2 * n_tokens * len(prompts):
            raise RuntimeError("the model is asked again and again")
        return np.array([table[len(text) % len(table), text[-1]] for text in texts])

    def draw(probs):
        draws.append(len(probs))
        if len(draws) > len(rows):
            raise RuntimeError("draw is called more often than the model")
        at = (probs.cumsum(1) <= u[(len(draws) - 1) % len(u)][: len(probs), None]).sum(1)
        return np.minimum(at, probs.shape[1] - 1)

    texts = generate(model, draw, [list(p) for p in prompts], eos, n_tokens, p)
    new = [[int(token) for token in text] for text in texts]
    got = {"texts": new, "rows": rows[:], "seen": seen[:]}
    return got | {"none": generate(model, draw, [list(p) for p in prompts], eos, 0, p)}


# --- 11.5 ---------------------------------------------------------------------------------------


def classified(classify, classify_loss, h, lengths, side, w, b):
    return {"y": classify(h, lengths, side, w, b)}


def losses(classify, classify_loss, h, lengths, side, w, b, labels):
    came = classify_loss(h, lengths, side, w, b, labels)
    if not isinstance(came, tuple | list) or len(came) != 2 or not isinstance(came[1], dict):
        what = what_came(came)
        raise TypeError(f"a loss and a dict of gradients are needed, and {what} was returned")
    return {"loss": came[0], "gradients": came[1]}


# --- 11.6 ---------------------------------------------------------------------------------------


def adapted(adapter, add_adapters, adapter_size, merge_head, xs, down, up):
    return {"ys": [adapter(x, down, up) for x in xs]}


def started(adapter, add_adapters, adapter_size, merge_head, params, r, n_head, tokens, seed):
    new = add_adapters(params, r, np.random.default_rng(seed))
    twin = add_adapters(copy.deepcopy(params), r, np.random.default_rng(seed))
    other = add_adapters(copy.deepcopy(params), r, np.random.default_rng(seed + 1))
    got = {"params": new, "plain": _logits(params, tokens, n_head), "logits": None}
    got |= {"again": False, "same": False}
    added = [a for a in _arrays(new) if not any(a is old for old in _arrays(params))]
    pairs = itertools.combinations(added, 2)
    got["apart"] = not any(np.shares_memory(a, b) for a, b in pairs)
    try:
        got["logits"] = _logits(new, tokens, n_head, adapter)
        threes = zip(_arrays(new), _arrays(twin), _arrays(other), strict=True)
        drawn = [three for three in threes if three[0].shape[-1] == r and three[0].any()]
        got["again"] = all(np.array_equal(mine, again) for mine, again, _ in drawn)
        got["same"] = any(np.array_equal(mine, same) for mine, _, same in drawn)
    except NotImplementedError:
        raise
    except (KeyError, TypeError, IndexError, ValueError):
        pass  # something is missing or of another shape: the verdict says what
    return got


def _arrays(nested):
    """All arrays of nested dicts and lists."""
    if isinstance(nested, dict | list):
        inside = nested.values() if isinstance(nested, dict) else nested
        return [array for part in inside for array in _arrays(part)]
    return [nested] if isinstance(nested, np.ndarray) else []


def sized(adapter, add_adapters, adapter_size, merge_head, asked):
    return {"sizes": [adapter_size(one["params"], one["share"]) for one in asked]}


def merged(adapter, add_adapters, adapter_size, merge_head, head, alpha):
    return {"head": merge_head(head, alpha)}


def _logits(params, tokens, n_head, adapter=None):
    """The logits of a GPT with its own head, and with adapters if there is a function for them."""

    def affine(x, layer):
        return x @ layer["w"] + layer["b"]

    def normed(x, layer):
        d = x - x.mean(-1, keepdims=True)
        return d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * layer["g"] + layer["b"]

    def through(block, name, y):
        return adapter(y, block[name]["down"], block[name]["up"]) if adapter else y

    T = len(tokens)
    x = params["wte"][tokens] + params["wpe"][:T]
    for block in params["blocks"]:
        parts = np.split(affine(normed(x, block["ln_1"]), block["attn"]["c_attn"]), 3, -1)
        q, k, v = (z.reshape(T, n_head, -1).swapaxes(0, 1) for z in parts)
        scores = np.where(np.tri(T), q @ k.swapaxes(1, 2) / q.shape[-1] ** 0.5, -np.inf)
        e = np.exp(scores - scores.max(-1, keepdims=True))
        y = (e / e.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(x.shape)
        x = x + through(block, "adapter_1", affine(y, block["attn"]["c_proj"]))
        h = affine(normed(x, block["ln_2"]), block["mlp"]["c_fc"])
        h = 0.5 * h * (1 + np.tanh(0.7978845608028654 * (h + 0.044715 * h * h * h)))
        x = x + through(block, "adapter_2", affine(h, block["mlp"]["c_proj"]))
    n, head = normed(x, params["ln_f"]), params["head"]
    return affine(n, head) + ((n @ head["down"]) @ head["up"] if adapter else 0)


# --- 11.7 ---------------------------------------------------------------------------------------

QUANTISED = "a q and a scale"


def quantised(quantise, product, w):
    return dict(zip(("q", "scale"), pair(quantise(w), QUANTISED), strict=True))


def multiplied(quantise, product, x, q, scale):
    bare, copies = getattr(product, "__wrapped__", product), (x.copy(), q.copy(), scale.copy())
    tracemalloc.start()  # for the first call, since a later one could use what that one kept
    try:
        bare(*copies)  # without what is noted about the call, which takes memory as well
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return {"y": product(x, q, scale), "peak": peak}


def round_trip(quantise, product, x, w, small):
    eye = np.eye(len(small), dtype=np.float32)
    return {
        "y": product(x, *pair(quantise(w), QUANTISED)),
        "back": product(eye, *pair(quantise(small), QUANTISED)),
    }


# --- 11.8 ---------------------------------------------------------------------------------------


def block_of_values(block, x, params, n_head, weights):
    from zerotohero.micrograd import Value

    def values(numbers):
        return [values(n) for n in numbers] if isinstance(numbers, list) else Value(numbers)

    def each(nested):
        return [v for n in nested for v in each(n)] if isinstance(nested, list) else [nested]

    inputs, nested, leaves = values(x.tolist()), {}, []
    for name, array in params.items():
        *path, last = name.split(".")
        holder = nested
        for part in path:
            holder = holder.setdefault(part, {})
        holder[last] = values(array.tolist())
        leaves += each(holder[last])
    leaves = each(inputs) + leaves
    numbers = [v.data for v in leaves]
    for v in leaves:
        v.grad = 1.0
    out = block([list(row) for row in inputs], nested, n_head)
    grads_kept = all(v.grad == 1.0 for v in leaves)
    for v in leaves:
        v.grad = 0.0
    if out is None:
        raise TypeError("block returned None, where lists of Values are needed")
    rows = [list(row) if hasattr(row, "__iter__") else row for row in out]
    if len(rows) != len(x) or any(not isinstance(r, list) or len(r) != x.shape[1] for r in rows):
        raise TypeError(f"{len(rows)} positions of the wrong kind or length were returned")
    for v in each(rows):
        if not hasattr(v, "backward"):
            raise TypeError(f"block returned {what_came(v)}, where a Value is needed")
    loss = sum((v * w for v, w in zip(each(rows), weights.ravel().tolist(), strict=True)), Value(0))
    loss.backward()
    return {
        "out": [[v.data for v in row] for row in rows],
        "grads": [v.grad for v in leaves],
        "kept": [v.data for v in leaves] == numbers,
        "grads_kept": grads_kept,
    }
