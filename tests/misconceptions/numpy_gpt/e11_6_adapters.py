"""Wrong answers to 11.6, adapters and a merged head."""

import copy
import math

import numpy as np

from misconceptions import wrong


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def adapter(x, down, up):
    return x + gelu(x @ down["w"] + down["b"]) @ up["w"] + up["b"]


def normal(rng, shape):
    return rng.normal(0, 0.02, shape)


def nothing(rng, shape):
    return np.zeros(shape)


def adding(down=normal, up=nothing, bias=nothing, names=("adapter_1", "adapter_2"), own=True):
    """Return add_adapters with one thing wrong."""

    def add_adapters(params, r, rng):
        new = copy.deepcopy(params) if own else params
        C, V = params["head"]["w"].shape
        for block in new["blocks"]:
            for name in names:
                block[name] = {
                    "down": {"w": down(rng, (C, r)), "b": bias(rng, r)},
                    "up": {"w": up(rng, (r, C)), "b": bias(rng, C)},
                }
        new["head"] |= {"down": down(rng, (C, r)), "up": up(rng, (r, V))}
        return new

    return add_adapters


def numbers(params):
    if isinstance(params, np.ndarray):
        return params.size
    return sum(map(numbers, params.values() if isinstance(params, dict) else params))


def sizing(layers=2, biases=(1, 1), head=True, left_out=(), exact=True, budget=float):
    """Return adapter_size with one thing wrong."""

    def adapter_size(params, share):
        C, V = params["head"]["w"].shape
        most = budget(share * numbers({k: v for k, v in params.items() if k not in left_out}))

        def added(r):
            of_down, of_up = biases
            each = 2 * C * r + of_down * r + of_up * C
            return layers * len(params["blocks"]) * each + (r * (C + V) if head else 0)

        r = 0
        while added(r + 1) < most or (exact and added(r + 1) == most):
            r += 1
        return r

    return adapter_size


def merging(scale=lambda alpha, r, C: alpha / r, sign=1, old=1):
    def merge_head(head, alpha):
        C, r = head["down"].shape
        update = scale(alpha, r, C) * (head["down"] @ head["up"])
        return {"w": old * head["w"] + sign * update, "b": head["b"]}

    return merge_head


def with_adapter(function):
    return function, adding(), sizing(), merging()


@wrong("11.6", "x isn't added")
def no_residual():
    return with_adapter(lambda x, down, up: adapter(x, down, up) - x)


@wrong("11.6", "The GELU in between is missing")
def linear():
    return with_adapter(lambda x, down, up: x + (x @ down["w"] + down["b"]) @ up["w"] + up["b"])


@wrong("11.6", "ReLU stands")
def relu():
    def rectified(x, down, up):
        return x + np.maximum(x @ down["w"] + down["b"], 0) @ up["w"] + up["b"]

    return with_adapter(rectified)


@wrong("11.6", "The bias of `up`")
def no_bias_behind():
    return with_adapter(lambda x, down, up: adapter(x, down, up) - up["b"])


@wrong("11.6", "then the model is another one from the start")
def up_drawn():
    return adapter, adding(up=normal), sizing(), merging()


@wrong("11.6", "so nothing would ever be learned")
def both_zero():
    return adapter, adding(down=nothing), sizing(), merging()


@wrong("11.6", "A bias isn't 0")
def biases_drawn():
    return adapter, adding(bias=normal), sizing(), merging()


@wrong("11.6", "The standard deviation is another")
def standard_normal():
    return adapter, adding(down=lambda rng, shape: rng.normal(size=shape)), sizing(), merging()


def even(rng, shape):
    return rng.uniform(-0.02 * 3**0.5, 0.02 * 3**0.5, shape)


@wrong("11.6", "of the adapters' `down` aren't drawn from a normal distribution")
def evenly_drawn():
    return adapter, adding(down=even), sizing(), merging()


@wrong("11.6", "of the head's `down` aren't drawn from a normal distribution")
def evenly_drawn_head():
    def add_adapters(params, r, rng):
        new = adding()(params, r, rng)
        new["head"]["down"] = even(rng, new["head"]["down"].shape)
        return new

    return adapter, add_adapters, sizing(), merging()


@wrong("11.6", "the card has them the other way round")
def down_zero_and_up_drawn():
    return adapter, adding(down=nothing, up=normal), sizing(), merging()


@wrong("11.6", "Their mean isn't 0")
def all_positive():
    return adapter, adding(down=lambda *given: np.abs(normal(*given))), sizing(), merging()


@wrong("11.6", "Several hold the same numbers")
def drawn_once():
    def add_adapters(params, r, rng):
        C, V = params["head"]["w"].shape
        down = {"w": normal(rng, (C, r)), "b": np.zeros(r)}
        layers = {"down": down, "up": {"w": np.zeros((r, C)), "b": np.zeros(C)}}
        blocks = [b | {"adapter_1": layers, "adapter_2": layers} for b in params["blocks"]]
        head = params["head"] | {"down": normal(rng, (C, r)), "up": np.zeros((r, V))}
        return params | {"blocks": blocks, "head": head}

    return adapter, add_adapters, sizing(), merging()


@wrong("11.6", "What trains the one would change the others")
def zeros_shared():
    def add_adapters(params, r, rng):
        new, zeros = adding()(params, r, rng), {}
        for block in new["blocks"]:
            for name in ("adapter_1", "adapter_2"):
                block[name]["up"] = zeros or block[name]["up"]
                zeros = block[name]["up"]
        return new

    return adapter, add_adapters, sizing(), merging()


@wrong("11.6", "from elsewhere than from rng")
def global_generator():
    fresh = np.random.default_rng()
    return adapter, adding(down=lambda rng, shape: normal(fresh, shape)), sizing(), merging()


@wrong("11.6", "Each block has two adapters, and each linear layer")
def one_adapter():
    return adapter, adding(names=("adapter_1",)), sizing(), merging()


@wrong("11.6", "which a copy of the outside would still share")
def params_changed():
    return adapter, adding(own=False), sizing(), merging()


@wrong("11.6", "All that was there stays")
def only_what_is_new():
    def add_adapters(params, r, rng):
        new = adding()(params, r, rng)
        return {"blocks": new["blocks"], "head": new["head"]}

    return adapter, add_adapters, sizing(), merging()


@wrong("11.6", "The biases of the adapters aren't counted")
def biases_not_counted():
    return adapter, adding(), sizing(biases=(0, 0)), merging()


@wrong("11.6", "The biases of `down` aren't counted")
def narrow_biases_not_counted():
    return adapter, adding(), sizing(biases=(0, 1)), merging()


@wrong("11.6", "The biases of `up` aren't counted")
def wide_biases_not_counted():
    return adapter, adding(), sizing(biases=(1, 0)), merging()


@wrong("11.6", "Rounded to the nearest")
def rounded():
    def adapter_size(params, share):
        C, V = params["head"]["w"].shape
        n = 2 * len(params["blocks"])
        return round((share * numbers(params) - n * C) / (n * (2 * C + 1) + C + V))

    return adapter, adding(), adapter_size, merging()


@wrong("11.6", "Each generator gives the same numbers")
def a_generator_of_its_own():
    def add_adapters(params, r, rng):
        return adding()(params, r, np.random.default_rng(0))

    return adapter, add_adapters, sizing(), merging()


@wrong("11.6", "x may be C numbers alone")
def two_axes_at_least():
    def by_rows(x, down, up):
        rows = x.reshape(-1, x.shape[-2], x.shape[-1])
        return adapter(rows, down, up).reshape(x.shape)

    return with_adapter(by_rows)


@wrong("11.6", "A plain head has both")
def head_without_b():
    def merge_head(head, alpha):
        return {"w": merging()(head, alpha)["w"]}

    return adapter, adding(), sizing(), merge_head


@wrong("11.6", "What the head gets isn't counted")
def head_not_counted():
    return adapter, adding(), sizing(head=False), merging()


@wrong("11.6", "Each block has two adapters.")
def one_counted():
    return adapter, adding(), sizing(layers=1), merging()


@wrong("11.6", "The embeddings are numbers of `params`")
def embeddings_not_counted():
    return adapter, adding(), sizing(left_out=("wte", "wpe")), merging()


@wrong("11.6", "Exactly the share is allowed")
def less_than_the_share():
    return adapter, adding(), sizing(exact=False), merging()


@wrong("11.6", "One more than fits")
def one_beyond():
    def adapter_size(params, share):
        return sizing()(params, share) + 1

    return adapter, adding(), adapter_size, merging()


@wrong("11.6", "Even r = 1 is too much")
def at_least_one():
    def adapter_size(params, share):
        return sizing()(params, share) or -1

    return adapter, adding(), adapter_size, merging()


@wrong("11.6", "alpha / r is missing")
def not_scaled():
    return adapter, adding(), sizing(), merging(lambda alpha, r, C: 1)


@wrong("11.6", "and not divided by r")
def alpha_alone():
    return adapter, adding(), sizing(), merging(lambda alpha, r, C: alpha)


@wrong("11.6", "Times r: it is alpha / r")
def alpha_times_r():
    return adapter, adding(), sizing(), merging(lambda alpha, r, C: alpha * r)


@wrong("11.6", "w itself is missing")
def update_alone():
    return adapter, adding(), sizing(), merging(old=0)


@wrong("11.6", "It is taken away")
def taken_away():
    return adapter, adding(), sizing(), merging(sign=-1)


@wrong("11.6", "would be added a second time")
def still_there():
    return adapter, adding(), sizing(), lambda head, alpha: head | merging()(head, alpha)


@wrong("11.6", "numbers come from elsewhere")
def second_adapters_from_elsewhere():
    def add_adapters(params, r, rng):
        new = adding()(params, r, rng)
        for block in new["blocks"]:
            down = block["adapter_2"]["down"]
            down["w"] = np.random.default_rng().normal(0, 0.02, down["w"].shape)
        return new

    return adapter, add_adapters, sizing(), merging()


@wrong("11.6", "The head gets two matrices")
def head_left_out():
    def add_adapters(params, r, rng):
        new = adding()(params, r, rng)
        return new | {"head": params["head"]}

    return adapter, add_adapters, sizing(), merging()


@wrong("11.6", "V biases are counted that nobody adds")
def biases_of_the_head():
    def adapter_size(params, share):
        V, whole = params["head"]["w"].shape[1], numbers(params)
        return sizing()(params, share - V / whole)

    return adapter, adding(), adapter_size, merging()


@wrong("11.6", "Divided by the root of r")
def root_of_r():
    return adapter, adding(), sizing(), merging(lambda alpha, r, C: alpha / math.sqrt(r))


@wrong("11.6", "with it more than the share is allowed")
def share_rounded():
    return adapter, adding(), sizing(budget=round), merging()


@wrong("11.6", "what stands behind the point")
def floor_division():
    return adapter, adding(), sizing(), merging(lambda alpha, r, C: alpha // r)


@wrong("11.6", "alpha was cut to a whole number")
def whole_alpha():
    return adapter, adding(), sizing(), merging(lambda alpha, r, C: int(alpha) / r)


@wrong("11.6", "Divided by C")
def divided_by_channels():
    return adapter, adding(), sizing(), merging(lambda alpha, r, C: alpha / C)


@wrong("11.6", "The GELU stands behind `up`")
def gelu_behind_up():
    return with_adapter(
        lambda x, down, up: x + gelu((x @ down["w"] + down["b"]) @ up["w"] + up["b"])
    )


@wrong("11.6", "The GELU stands in front of `down`")
def gelu_in_front():
    return with_adapter(
        lambda x, down, up: x + (gelu(x) @ down["w"] + down["b"]) @ up["w"] + up["b"]
    )


@wrong("11.6", "comes behind the GELU")
def bias_behind_the_gelu():
    return with_adapter(
        lambda x, down, up: x + (gelu(x @ down["w"]) + down["b"]) @ up["w"] + up["b"]
    )


@wrong("11.6", "A tanh stands where the GELU belongs")
def tanh_alone():
    return with_adapter(
        lambda x, down, up: x + np.tanh(x @ down["w"] + down["b"]) @ up["w"] + up["b"]
    )


@wrong("11.6", "That is the GELU with an error function")
def exact_gelu():
    def exact(x, down, up):
        h = x @ down["w"] + down["b"]
        phi = np.vectorize(lambda z: (1 + math.erf(z / math.sqrt(2))) / 2)(h)
        return x + (h * phi) @ up["w"] + up["b"]

    return with_adapter(exact)


@wrong("11.6", "`@` takes them as they are")
def one_axis_in_front():
    def flattened(x, down, up):
        h = gelu(x.reshape(-1, x.shape[-1]) @ down["w"] + down["b"])
        return x + h @ up["w"] + up["b"]

    return with_adapter(flattened)


@wrong("11.6", "Nothing is drawn with a standard deviation of 0")
def mean_and_deviation_exchanged():
    add = adding(down=lambda rng, shape: rng.normal(0.02, 0, shape))
    return adapter, add, sizing(), merging()


@wrong("11.6", "and not of all that are there then")
def share_of_the_new_model():
    def adapter_size(params, share):
        return sizing()(params, share / (1 - share))

    return adapter, adding(), adapter_size, merging()


@wrong("11.6", "r times what r = 1 adds")
def in_proportion():
    def adapter_size(params, share):
        C, V = params["head"]["w"].shape
        one = 2 * len(params["blocks"]) * (2 * C + 1 + C) + C + V
        return int(share * numbers(params) // one)

    return adapter, adding(), adapter_size, merging()


@wrong("11.6", "Times r / alpha")
def scale_upside_down():
    return adapter, adding(), sizing(), merging(lambda alpha, r, C: r / alpha)
