"""What a run of GPT-2 costs, as 10.7 asks, and what comes of counting wrongly."""

from collections.abc import Iterable

from zerotohero.course.exercise import Mistake

HOUR = 3600  # seconds
UNITS = 1e3, 1e6, 1e9, 2**10, 2**20, 2**30  # bytes


def _parts(config: dict) -> dict[str, int]:
    """Return the numbers of parameters by kind."""
    V, T, L, C = (config[k] for k in ("vocab_size", "block_size", "n_layer", "n_embd"))
    return {
        "tokens": V * C,
        "positions": T * C,
        "matrices": 12 * L * C * C,
        "biases": 9 * L * C,
        "norms": 4 * L * C,
        "last": 2 * C,
    }


def parameters_of(config: dict) -> int:
    return sum(_parts(config).values())


def _attention(config: dict) -> int:
    """Return the multiplications of keys and values for a token, in all layers."""
    return 2 * config["n_layer"] * config["n_embd"] * config["block_size"]


def flops_of(config: dict) -> int:
    return 6 * (parameters_of(config) - _parts(config)["positions"] + _attention(config))


OUTPUTS = "A bias has as many numbers as its layer has outputs: 3C, C, 4C and C."


def wrong_parameters(config: dict) -> list[Mistake]:
    its, N = _parts(config), parameters_of(config)
    L, H, C = config["n_layer"], config["n_head"], config["n_embd"]
    found = [
        (
            N + its["tokens"],
            "The table of tokens is counted twice: the output layer is the same table.",
        ),
        (N - its["tokens"], "The table of tokens is missing."),
        (N - its["positions"], "The table of positions is missing: it is learned as well."),
        (N - its["biases"], "The biases of the linear layers are missing."),
        (N - its["norms"] - its["last"], "The LayerNorms are missing."),
        (N - its["biases"] - its["norms"] - its["last"], "Biases and LayerNorms are missing."),
        (N - its["last"], "The last LayerNorm is missing, which stands behind the blocks."),
        (N - its["norms"] // 2 - C, "A LayerNorm has a bias as well as a gain."),
        (
            N - its["norms"] // 2,
            "2C numbers are missing in a block. Each block has two LayerNorms, and its biases are "
            "3C, C, 4C and C.",
        ),
        (N - C * C * L, "Behind the heads, a layer from C to C is missing."),
        (N - (C * C + C) * L, "Behind the heads, a layer from C to C is missing."),
        (
            N - 2 * (C * C + C) * L,
            "Queries, keys and values are three of C each: that layer goes from C to 3C.",
        ),
        (N - (4 * C * C + C) * L, "The MLP has two layers: the one back from 4C to C is missing."),
        (N + (H - 1) * (4 * C * C + 4 * C) * L, "Times the heads: they share the C channels."),
        (N + (H - 1) * (3 * C * C + 3 * C) * L, "Times the heads: they share the C channels."),
        (N + config["vocab_size"], "The output layer has no bias."),
        (
            N + (L - 1) * its["last"],
            "The last LayerNorm is counted in every block: it stands once, behind them.",
        ),
        *((N - its["biases"] + k * L * C, OUTPUTS) for k in (4, 6)),
        (N - (L - 1) * (its["matrices"] + its["biases"] + its["norms"]) // L, "One block of L."),
    ]
    return [Mistake(value, hint) for value, hint in found]


SIX = "2 forward and twice that backward are 6."


def wrong_flops(config: dict) -> list[Mistake]:
    its, N, attention = _parts(config), parameters_of(config), _attention(config)
    n, T = N - its["positions"], config["block_size"]
    right = flops_of(config)
    heads = "n_head heads of C / n_head channels are C channels together: count these once."
    found = [
        (2 * (n + attention), "Forward alone: backward takes twice as much again, so 6, not 2."),
        (4 * (n + attention), "Backward alone: with the way forward it is 6, not 4."),
        (3 * (n + attention), "A multiplication and an addition are two operations."),
        (8 * (n + attention), "Forward is computed once: 2 forward and 4 backward are 6, not 8."),
        (6 * n, "Attention is missing: its products have no parameters, and cost all the same."),
        (6 * N, "That is 6 N: attention is missing, and positions are only looked up."),
        (
            6 * (N + attention),
            "The table of positions is counted: a row of it is looked up and added, no more.",
        ),
        (
            6 * (n - its["tokens"] + attention),
            "The table of tokens is left out: looked up it costs nothing, but it is the output "
            "layer, too.",
        ),
        (
            6 * (N - its["tokens"] + attention),
            "The table of tokens is left out, which is the output layer, and that of positions "
            "counts, which is only looked up.",
        ),
        (
            6 * (n + its["tokens"] + attention),
            "The table of tokens counts once, as the output layer: to look it up costs nothing.",
        ),
        (
            6 * (its["tokens"] + its["matrices"] + attention),
            "The matrices alone are counted: by custom biases and gains count like them.",
        ),
        (6 * n + 2 * attention, "Attention's products have a way back, too, of twice as much."),
        (
            6 * n + 3 * attention,
            "Half of attention is missing: a multiplication and an addition are two operations, "
            "keys and values are two products, and by custom the keys that the mask hides count.",
        ),
        (
            6 * (n + attention * (T + 1) / (2 * T)),
            "The mask lets a token meet (T + 1) / 2 keys on the average: by custom all T count.",
        ),
        (
            6 * (n + attention // config["n_layer"]),
            "Attention of one layer: there are n_layer.",
        ),
        (6 * (n + attention * config["n_head"]), heads),
        (6 * (n + attention // config["n_head"]), heads),
        (
            2 * n + 6 * attention,
            "Of the parameters only the way forward is there: the way back takes twice as much.",
        ),
        *((k * n + 6 * attention, f"{k} operations a parameter: {SIX}") for k in (3, 4, 8)),
        (
            6 * (n + attention * T),
            "T queries of attention: one token has one, which meets T keys.",
        ),
        (right * T, "Of a whole row of T tokens: one token is asked for."),
    ]
    return [Mistake(value, hint) for value, hint in found]


def _multiplied(config: dict) -> int:
    its = _parts(config)
    return its["tokens"] + its["matrices"]


def bytes_a_device(config: dict, half: bool, devices: int, shard: bool) -> dict[str, float]:
    """Return the bytes of weights, gradients and optimiser."""
    N, share = parameters_of(config), 1 / devices if shard else 1
    return {
        "weights": 4 * N * share + (2 * _multiplied(config) if half else 0),
        "gradients": 4 * N * share * (1 if shard or devices == 1 else 2),
        "optimiser": 8 * N * share,
    }


def wrong_bytes(part: str, config: dict, half: bool, devices: int, shard: bool) -> list[Mistake]:
    its, N, M = _parts(config), parameters_of(config), _multiplied(config)
    right = bytes_a_device(config, half, devices, shard)[part]
    share, copies = (1 / devices if shard else 1), 2 * half
    alone = {"weights": copies * M, "gradients": 0, "optimiser": 0}[part]
    found: list[tuple[float, str]] = []
    if devices > 1 and shard:
        found.append(
            (
                (right - alone) * devices + alone,
                f"`shard` gives each device 1/{devices} of the {part}.",
            )
        )
    elif devices > 1:
        found.append(
            (
                (right - alone) / devices + alone,
                f"Without `shard` each device has all the {part}.",
            )
        )
    found += [(right / unit, "In larger units: bytes are asked for.") for unit in UNITS]
    if part == "weights":
        whole = 4 * N * share
        found += [
            (
                whole + copies * M * share,
                "The copies for products are on each device as a whole, shared out or not.",
            ),
            (whole + copies * N, "A copy of all parameters: only matrices take part in products."),
            (
                whole + copies * (M + its["positions"]),
                "Positions are added: no product reads them.",
            ),
            (
                whole + copies * (M + its["biases"]),
                "Biases are copied, too: they are added, and no product reads them.",
            ),
            (
                whole + copies * (M + its["biases"] + its["norms"] + its["last"]),
                "Biases and gains are copied, too: only matrices take part in products.",
            ),
            (whole + 2 * copies * M, "Copies of 4 bytes: a number in bfloat16 takes 2."),
            (whole + copies * its["matrices"], "The table of tokens is in a product, the last."),
            (whole, "With `half`, products read copies of 2 bytes a weight, beside the weights."),
            (whole + 2 * M, "Without `half` there are no copies."),
            (
                2 * N * share,
                "Weights of 2 bytes: in training the weights stay in 4, and copies are made.",
            ),
            (2 * N * share + 2 * M, "Weights of 2 bytes: in training the weights stay in 4."),
        ]
    elif part == "gradients":
        if not half:  # with half, gradients of 2 bytes come to the same
            travel = "On several devices without `shard`, gradients that travel need room as well."
            found.append((4 * N, travel))
        found += [
            (
                2 * right,
                "Twice the gradients are there only on several devices without `shard`.",
            ),
            (right / 2, "Gradients of 2 bytes: they have the weights' 4, whatever the products."),
        ]
    else:
        if half:  # who has one average only is told so without half
            halved = "With `half`, too, an average has 4 bytes a parameter, as the weights have."
            found.append((4 * N * share, halved))
        found += [
            (4 * N * share, "4 bytes a parameter: AdamW has two averages, of 4 bytes each."),
            (12 * N * share, "12 bytes a parameter: the weights count elsewhere, so 8 are left."),
            (right / 4, "2 bytes a parameter: AdamW has two averages, of 4 bytes each."),
        ]
    if devices > 1:
        together = "That is what all devices hold together: the bytes on each are asked for."
        found += [
            (right * devices, together),
            (right - alone + alone * devices, together),
            ((right - alone) * devices + alone, together),
        ]
    other = "Another number of parameters than model_costs has to find."
    per = (right - alone) / N
    for wrong in wrong_parameters(config):
        found += [(per * wrong.value + alone, other), (per * wrong.value, other)]
    return _differing(found, right)


def _differing(found: Iterable[tuple[float, str]], right: float) -> list[Mistake]:
    """Return those mistakes that make a difference here."""
    return [Mistake(value, hint) for value, hint in found if abs(value - right) > 1e-4 * right]


FROM_THE_LEFT = (
    "a / b * c is (a / b) · c: put all that is divided by in brackets, as in `a / (b * c)`."
)


def wrong_rates(flops: float, rate: float, devices: int, peak: float) -> list[Mistake]:
    right = flops * rate / (devices * peak)
    found = [
        (right * devices, "The peak of one device: all of them could work, so their peaks add up."),
        (right * devices**2, "Times the devices: tokens_per_s is of all of them already."),
        (right * 100, "In percent: a share goes from 0 to 1."),
        (1 / right, "The other way round: what is used over what could be used."),
        (right * 6, "Times 6: `flops` are the operations of a token already."),
        (rate / (devices * peak), "The tokens' operations are missing: times `flops`."),
        (flops * rate, "Operations a second: divide by what the devices could do."),
        (right * peak**2, FROM_THE_LEFT),
        (right / HOUR, "tokens_per_s and the peak are both a second's: nothing to convert."),
    ]
    return [Mistake(value, hint) for value, hint in found]


def wrong_hours(
    flops: float, tokens: float, devices: int, peak: float, share: float
) -> list[Mistake]:
    right = flops * tokens / (devices * peak * share) / HOUR
    found = [
        (right * HOUR, "In seconds: 3600 of them are an hour."),
        (right * 60, "In minutes: 60 of them are an hour."),
        (right / 24, "In days: hours are asked for."),
        (right * share, "At the full peak: only the share `mfu` of it is reached."),
        (right * share**2, "A smaller mfu makes it longer: divide by it."),
        (right * devices, "As on one device: they work at the same time."),
        (right * devices**2, "More devices take less time: divide by their number."),
        (right * 6, "Times 6: `flops` are the operations of a token already."),
        (right / flops, "The operations of a token are missing: times `flops`."),
        (right * HOUR**2, "Times 3600: seconds become hours by a division."),
        (right * (peak * share) ** 2, FROM_THE_LEFT),
        (right * peak**2, FROM_THE_LEFT),
        (1 / right, "The other way round: the work over what is done in an hour."),
    ]
    return [Mistake(value, hint) for value, hint in found]
