"""Wrong answers to 10.7, what a run costs."""

from misconceptions import wrong


def sizes(config):
    return (config[k] for k in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd"))


def count(V, T, L, H, C):
    return V * C + T * C + L * (12 * C * C + 13 * C) + 2 * C


def flops(V, T, L, H, C):
    return 6 * (count(V, T, L, H, C) - T * C) + 12 * L * C * T


def costing(parameters=count, operations=flops):
    def model_costs(config):
        return {"parameters": parameters(*sizes(config)), "flops": operations(*sizes(config))}

    return model_costs


costs = costing()


def holding(change=lambda found, N, M, half, devices, shard: {}):
    """Return state_bytes with some of its parts changed."""

    def state_bytes(config, half, devices, shard):
        V, T, L, H, C = sizes(config)
        N, M = count(V, T, L, H, C), V * C + 12 * L * C * C
        share = 1 / devices if shard else 1
        found = {
            "weights": 4 * N * share + (2 * M if half else 0),
            "gradients": 4 * N * share * (1 if shard or devices == 1 else 2),
            "optimiser": 8 * N * share,
        }
        return found | change(found, N, M, half, devices, shard)

    return state_bytes


state = holding()


def utilisation(flops, tokens_per_s, devices, peak):
    return flops * tokens_per_s / (devices * peak)


def hours(flops, tokens, devices, peak, mfu):
    return flops * tokens / (devices * peak * mfu) / 3600


def parameters(change):
    return costing(parameters=lambda *s: count(*s) + change(*s)), state, utilisation, hours


def operations(wrong_flops):
    return costing(operations=wrong_flops), state, utilisation, hours


def memory(change):
    return costs, holding(change), utilisation, hours


def rate(change):
    return costs, state, change, hours


def time(change):
    return costs, state, utilisation, change


@wrong("10.7", "The table of tokens is counted twice")
def output_layer_apart():
    return parameters(lambda V, T, L, H, C: V * C)


@wrong("10.7", "The table of tokens is missing")
def without_tokens():
    return parameters(lambda V, T, L, H, C: -V * C)


@wrong("10.7", "The table of positions is missing")
def without_positions():
    return parameters(lambda V, T, L, H, C: -T * C)


@wrong("10.7", "The biases of the linear layers are missing")
def without_biases():
    return parameters(lambda V, T, L, H, C: -9 * C * L)


@wrong("10.7", "The LayerNorms are missing")
def without_norms():
    return parameters(lambda V, T, L, H, C: -4 * C * L - 2 * C)


@wrong("10.7", "Biases and LayerNorms are missing")
def matrices_alone():
    return parameters(lambda V, T, L, H, C: -13 * C * L - 2 * C)


@wrong("10.7", "The last LayerNorm is missing")
def without_the_last_norm():
    return parameters(lambda V, T, L, H, C: -2 * C)


@wrong("10.7", "A LayerNorm has a bias as well")
def gains_alone():
    return parameters(lambda V, T, L, H, C: -2 * C * L - C)


@wrong("10.7", "Each block has two LayerNorms")
def one_norm_a_block():
    return parameters(lambda V, T, L, H, C: -2 * C * L)


@wrong("10.7", "a layer from C to C is missing")
def without_c_proj():
    return parameters(lambda V, T, L, H, C: -(C * C + C) * L)


@wrong("10.7", "that layer goes from C to 3C")
def queries_alone():
    return parameters(lambda V, T, L, H, C: -2 * (C * C + C) * L)


@wrong("10.7", "the one back from 4C to C is missing")
def half_an_mlp():
    return parameters(lambda V, T, L, H, C: -(4 * C * C + C) * L)


@wrong("10.7", "Times the heads: they share")
def heads_of_their_own():
    return parameters(lambda V, T, L, H, C: (H - 1) * (3 * C * C + 3 * C) * L)


@wrong("10.7", "The output layer has no bias")
def output_bias():
    return parameters(lambda V, T, L, H, C: V)


@wrong("10.7", "One block of L")
def one_block():
    return parameters(lambda V, T, L, H, C: -(L - 1) * (12 * C * C + 13 * C))


@wrong("10.7", "Forward alone: backward takes twice")
def forward_alone():
    return operations(lambda *s: flops(*s) // 3)


@wrong("10.7", "Backward alone: with the way forward")
def backward_alone():
    return operations(lambda *s: flops(*s) // 3 * 2)


@wrong("10.7", "A multiplication and an addition are two operations")
def multiplications():
    return operations(lambda *s: flops(*s) // 2)


@wrong("10.7", "2 forward and 4 backward are 6, not 8")
def checkpointed():
    return operations(lambda *s: flops(*s) // 3 * 4)


@wrong("10.7", "Attention is missing: its products have no")
def without_attention():
    return operations(lambda V, T, L, H, C: 6 * (count(V, T, L, H, C) - T * C))


@wrong("10.7", "That is 6 N")
def six_n():
    return operations(lambda *s: 6 * count(*s))


@wrong("10.7", "The table of positions is counted")
def positions_counted():
    return operations(lambda V, T, L, H, C: flops(V, T, L, H, C) + 6 * T * C)


@wrong("10.7", "looked up it costs nothing, but it is the output")
def without_the_output_layer():
    return operations(lambda V, T, L, H, C: flops(V, T, L, H, C) - 6 * V * C)


@wrong("10.7", "The table of tokens counts once")
def tokens_twice():
    return operations(lambda V, T, L, H, C: flops(V, T, L, H, C) + 6 * V * C)


@wrong("10.7", "by custom biases and gains count like them")
def operations_of_matrices():
    return operations(lambda V, T, L, H, C: 6 * V * C + 72 * L * C * C + 12 * L * C * T)


@wrong("10.7", "Attention's products have a way back")
def attention_forward():
    return operations(lambda V, T, L, H, C: flops(V, T, L, H, C) - 8 * L * C * T)


@wrong("10.7", "Half of attention is missing")
def attention_without_additions():
    return operations(lambda V, T, L, H, C: flops(V, T, L, H, C) - 6 * L * C * T)


@wrong("10.7", "on the average: by custom all T count")
def keys_before_the_token():
    return operations(lambda V, T, L, H, C: flops(V, T, L, H, C) - 6 * L * C * (T - 1))


@wrong("10.7", "Attention of one layer")
def one_layer_of_attention():
    return operations(lambda V, T, L, H, C: flops(V, T, L, H, C) - 12 * (L - 1) * C * T)


@wrong("10.7", "are C channels together")
def attention_times_heads():
    return operations(lambda V, T, L, H, C: flops(V, T, L, H, C) + 12 * L * C * T * (H - 1))


@wrong("10.7", "T queries of attention")
def attention_of_a_row():
    return operations(lambda V, T, L, H, C: flops(V, T, L, H, C) + 12 * L * C * T * (T - 1))


@wrong("10.7", "Of a whole row of T tokens")
def operations_of_a_row():
    return operations(lambda V, T, L, H, C: flops(V, T, L, H, C) * T)


@wrong("10.7", "of the weights.")
def weights_not_shared():
    def change(found, N, M, half, devices, shard):
        return {"weights": 4 * N + (2 * M if half else 0)}

    return memory(change)


@wrong("10.7", "each device has all the gradients")
def gradients_always_shared():
    return memory(lambda f, N, M, half, d, shard: {"gradients": 4 * N * (1 + (d > 1)) / d})


@wrong("10.7", "each device has all the optimiser")
def averages_always_shared():
    return memory(lambda f, N, M, half, d, shard: {"optimiser": 8 * N / d})


@wrong("10.7", "of the optimiser.")
def averages_not_shared():
    return memory(lambda f, N, M, half, d, shard: {"optimiser": 8 * N})


@wrong("10.7", "The copies for products are on each device as a whole")
def copies_shared():
    def change(found, N, M, half, devices, shard):
        return {"weights": (4 * N + (2 * M if half else 0)) / (devices if shard else 1)}

    return memory(change)


@wrong("10.7", "A copy of all parameters")
def copy_of_all():
    return memory(lambda f, N, M, half, d, shard: {"weights": f["weights"] + 2 * half * (N - M)})


@wrong("10.7", "Positions are added: no product reads them")
def copies_of_positions():
    def state_bytes(config, half, devices, shard):
        found = state(config, half, devices, shard)
        extra = 2 * config["block_size"] * config["n_embd"] if half else 0
        return found | {"weights": found["weights"] + extra}

    return costs, state_bytes, utilisation, hours


@wrong("10.7", "The table of tokens is in a product")
def no_copy_of_tokens():
    def state_bytes(config, half, devices, shard):
        found = state(config, half, devices, shard)
        less = 2 * config["vocab_size"] * config["n_embd"] if half else 0
        return found | {"weights": found["weights"] - less}

    return costs, state_bytes, utilisation, hours


@wrong("10.7", "With `half`, products read copies")
def no_copies():
    return memory(lambda f, N, M, half, d, shard: {"weights": f["weights"] - 2 * half * M})


@wrong("10.7", "Without `half` there are no copies")
def always_copies():
    return memory(lambda f, N, M, half, d, shard: {"weights": f["weights"] + 2 * (not half) * M})


@wrong("10.7", "Weights of 2 bytes: in training")
def weights_in_half():
    def change(found, N, M, half, devices, shard):
        return {"weights": (2 if half else 4) * N / (devices if shard else 1)}

    return memory(change)


@wrong("10.7", "gradients that travel need room as well")
def nothing_travels():
    return memory(lambda f, N, M, half, d, shard: {"gradients": 4 * N / (d if shard else 1)})


@wrong("10.7", "Twice the gradients are there only")
def always_travelling():
    return memory(lambda f, N, M, half, d, shard: {"gradients": 8 * N / (d if shard else 1)})


@wrong("10.7", "Gradients of 2 bytes")
def gradients_in_half():
    return memory(lambda f, *given: {"gradients": f["gradients"] / (1 + given[2])})


@wrong("10.7", "In larger units: bytes")
def in_gigabytes():
    return memory(lambda f, *given: {part: n / 1e9 for part, n in f.items()})


@wrong("10.7", "4 bytes a parameter: AdamW has two")
def one_average():
    return memory(lambda f, *given: {"optimiser": f["optimiser"] / 2})


@wrong("10.7", "With `half`, too, an average has 4 bytes")
def averages_in_half():
    return memory(lambda f, *given: {"optimiser": f["optimiser"] / (1 + given[2])})


@wrong("10.7", "12 bytes a parameter")
def with_a_master_copy():
    return memory(lambda f, *given: {"optimiser": f["optimiser"] * 1.5})


@wrong("10.7", "Another number of parameters than model_costs")
def memory_without_biases():
    def state_bytes(config, half, devices, shard):
        V, T, L, H, C = sizes(config)
        found, N = state(config, half, devices, shard), count(V, T, L, H, C)
        return {
            part: n - 9 * C * L * {"weights": 4, "gradients": 4, "optimiser": 8}[part]
            if devices == 1
            else n * (N - 9 * C * L) / N
            for part, n in found.items()
        }

    return costs, state_bytes, utilisation, hours


@wrong("10.7", "The peak of one device")
def peak_of_one():
    return rate(lambda f, r, devices, peak: f * r / peak)


@wrong("10.7", "Times the devices: tokens_per_s is of all")
def rate_times_devices():
    return rate(lambda f, r, devices, peak: f * r * devices / peak)


@wrong("10.7", "In percent: a share")
def in_percent():
    return rate(lambda *given: 100 * utilisation(*given))


@wrong("10.7", "what is used over what could be used")
def rate_inverted():
    return rate(lambda *given: 1 / utilisation(*given))


@wrong("10.7", "Times 6: `flops` are the operations")
def six_times_again():
    return rate(lambda *given: 6 * utilisation(*given))


@wrong("10.7", "The tokens' operations are missing")
def tokens_over_the_peak():
    return rate(lambda f, r, devices, peak: r / (devices * peak))


@wrong("10.7", "Operations a second: divide by what")
def operations_a_second():
    return rate(lambda f, r, devices, peak: f * r)


@wrong("10.7", "In seconds: 3600")
def in_seconds():
    return time(lambda *given: 3600 * hours(*given))


@wrong("10.7", "In minutes: 60")
def in_minutes():
    return time(lambda *given: 60 * hours(*given))


@wrong("10.7", "In days: hours")
def in_days():
    return time(lambda *given: hours(*given) / 24)


@wrong("10.7", "At the full peak")
def at_the_full_peak():
    return time(lambda f, n, d, peak, mfu: hours(f, n, d, peak, 1))


@wrong("10.7", "A smaller mfu makes it longer")
def times_mfu():
    return time(lambda f, n, d, peak, mfu: hours(f, n, d, peak, 1 / mfu))


@wrong("10.7", "As on one device")
def on_one_device():
    return time(lambda f, n, d, peak, mfu: hours(f, n, 1, peak, mfu))


@wrong("10.7", "More devices take less time")
def times_devices():
    return time(lambda f, n, d, peak, mfu: hours(f, n, 1 / d, peak, mfu))


@wrong("10.7", "The operations of a token are missing")
def hours_of_tokens():
    return time(lambda f, n, d, peak, mfu: hours(1, n, d, peak, mfu))


@wrong("10.7", "The other way round: the work over")
def hours_inverted():
    return time(lambda *given: 1 / hours(*given))


@wrong("10.7", "The last LayerNorm is counted in every block")
def last_norm_in_every_block():
    return parameters(lambda V, T, L, H, C: 2 * C * (L - 1))


@wrong("10.7", "A bias has as many numbers as its layer has outputs")
def biases_of_c():
    return parameters(lambda V, T, L, H, C: -5 * C * L)


@wrong("10.7", "and its biases are 3C, C, 4C and C")
def biases_of_inputs():
    return parameters(lambda V, T, L, H, C: -2 * C * L)


@wrong("10.7", "Of the parameters only the way forward is there")
def parameters_forward_alone():
    return operations(lambda *s: flops(*s) - 4 * (count(*s) - s[1] * s[4]))


@wrong("10.7", "3 operations a parameter")
def three_a_parameter():
    return operations(lambda *s: flops(*s) - 3 * (count(*s) - s[1] * s[4]))


@wrong("10.7", "Biases are copied, too")
def biases_copied():
    def model_state(config, half, devices, shard):
        _, _, L, _, C = sizes(config)
        found = state(config, half, devices, shard)
        return found | {"weights": found["weights"] + (2 * 9 * L * C if half else 0)}

    return costs, model_state, utilisation, hours


@wrong("10.7", "Biases and gains are copied, too")
def biases_and_gains_copied():
    def model_state(config, half, devices, shard):
        _, _, L, _, C = sizes(config)
        found = state(config, half, devices, shard)
        return found | {"weights": found["weights"] + (2 * (13 * L + 2) * C if half else 0)}

    return costs, model_state, utilisation, hours


@wrong("10.7", "Copies of 4 bytes")
def copies_of_four_bytes():
    return memory(
        lambda found, N, M, half, devices, shard: {
            "weights": found["weights"] + (2 * M if half else 0)
        }
    )


@wrong("10.7", "That is what all devices hold together")
def of_all_devices():
    return memory(
        lambda found, N, M, half, devices, shard: {k: v * devices for k, v in found.items()}
    )


@wrong("10.7", "put all that is divided by in brackets")
def divided_and_multiplied():
    return rate(lambda f, r, d, peak: f * r / d * peak)


@wrong("10.7", "as in `a / (b * c)`")
def hours_from_the_left():
    return time(lambda f, n, d, peak, mfu: f * n / d * peak * mfu / 3600)


@wrong("10.7", "Times 3600")
def hours_to_seconds():
    return time(lambda *given: hours(*given) * 3600**2)
