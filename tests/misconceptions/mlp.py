"""Wrong answers to the exercises of lecture 03."""

import math

import torch
import torch.nn.functional as F

from misconceptions import wrong

# --- 3.1 ----------------------------------------------------------------------------------------


def build(words, block_size, stoi, end=".", row=list, source="word", late=False, dtype=None):
    X, Y, of = [], [], []
    for n, word in enumerate(words):
        context = [0] * block_size
        for s in word + end:
            after = [*context[1:], stoi[s]]
            X.append(row(after if late else context))
            of.append(n if source == "word" else len(Y))
            Y.append(stoi[s])
            context = after
    return torch.tensor(X, dtype=dtype), torch.tensor(Y), torch.tensor(of)


@wrong("3.1", "The end of each word is missing")
def no_end():
    return lambda *given: build(*given, end="")


@wrong("3.1", "already holds the character that it is to")
def context_holds_its_target():
    return lambda *given: build(*given, late=True)


@wrong("3.1", "carried from one word into the next")
def context_is_carried_on():
    def build_dataset(words, block_size, stoi):
        X, Y, source, context = [], [], [], [0] * block_size
        for n, word in enumerate(words):
            for s in word + ".":
                X.append(context)
                Y.append(stoi[s])
                source.append(n)
                context = [*context[1:], stoi[s]]
        return torch.tensor(X), torch.tensor(Y), torch.tensor(source)

    return build_dataset


@wrong("3.1", "one and the same list")
def list_changed_in_place():
    def build_dataset(words, block_size, stoi):
        X, Y, source = [], [], []
        for n, word in enumerate(words):
            context = [0] * block_size
            for s in word + ".":
                X.append(context)
                Y.append(stoi[s])
                source.append(n)
                context.pop(0)
                context.append(stoi[s])
        return torch.tensor(X), torch.tensor(Y), torch.tensor(source)

    return build_dataset


@wrong("3.1", "The boundaries stand behind the letters")
def padded_on_the_right():
    def build_dataset(words, block_size, stoi):
        _, Y, source = build(words, block_size, stoi)
        X = []
        for word in words:
            for i in range(len(word) + 1):
                seen = [stoi[s] for s in word[max(0, i - block_size) : i]]
                X.append(seen + [0] * (block_size - len(seen)))
        return torch.tensor(X), Y, source

    return build_dataset


@wrong("3.1", "The newest character stands first")
def newest_first():
    return lambda *given: build(*given, row=lambda context: context[::-1])


@wrong("3.1", "`source` numbers the examples")
def source_counts_examples():
    return lambda *given: build(*given, source="example")


@wrong("3.1", "must be int64")
def contexts_as_floats():
    return lambda *given: build(*given, dtype=torch.float32)


@wrong("3.1", "an example too many")
def boundary_as_first_target():
    return lambda words, *given: build(["." + word for word in words], *given)


@wrong("3.1", "its length is the argument")
def always_three_characters():
    return lambda words, block_size, stoi: build(words, 3, stoi)


@wrong("3.1", "the newest character of the context")
def target_inside_the_context():
    def build_dataset(*given):
        X, _, source = build(*given)
        return X, X[:, -1], source

    return build_dataset


@wrong("3.1", "the position of the character in its word")
def source_counts_characters():
    def build_dataset(words, *given):
        X, Y, _ = build(words, *given)
        return X, Y, torch.cat([torch.arange(len(word) + 1) for word in words])

    return build_dataset


@wrong("3.1", "A name may stand in")
def first_word_of_that_name():
    def build_dataset(words, *given):
        X, Y, source = build(words, *given)
        return X, Y, torch.tensor([words.index(words[n]) for n in source])

    return build_dataset


# --- 3.2 ----------------------------------------------------------------------------------------


def init(block_size, n_embd, n_hidden, V, generator, first=1.0, W2=0.01, b2=0.0, wte=1.0):
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return (
        wte * normal(V, n_embd),
        first * normal(block_size * n_embd, n_hidden),
        first * normal(n_hidden),
        W2 * normal(n_hidden, V),
        b2 * normal(V),
    )


@wrong("3.2", "That is in bits")
def loss_in_bits():
    return math.log2, init


@wrong("3.2", "1/V is the probability")
def probability_for_loss():
    return lambda V: 1 / V, init


@wrong("3.2", "The logarithm of a probability is negative")
def likelihood_for_loss():
    return lambda V: math.log(1 / V), init


@wrong("3.2", "W2 is as large as at the naive start")
def naive_start():
    return math.log, lambda *given: init(*given, W2=1.0, b2=1.0)


@wrong("3.2", "Only b2 is in the way")
def random_output_bias():
    return math.log, lambda *given: init(*given, b2=1.0)


@wrong("3.2", "root of the number of units")
def root_of_the_width():
    return math.log, lambda *given: init(*given, W2=given[2] ** -0.5)


@wrong("3.2", "Units that start alike")
def all_zeros():
    return math.log, lambda *given: init(*given, first=0.0, W2=0.0, wte=0.0)


@wrong("3.2", "The hidden layer doesn't see its context")
def embeddings_of_zero():
    return math.log, lambda *given: init(*given, wte=0.0)


@wrong("3.2", "Pass the generator to every random call")
def global_generator():
    return math.log, lambda *given: init(*given[:4], None)


@wrong("3.2", "don't make a new one inside")
def generator_of_its_own():
    return math.log, lambda *given: init(*given[:4], torch.Generator().manual_seed(42))


@wrong("3.2", "All are at one end of tanh")
def all_weights_positive():
    def calm_init(block_size, n_embd, n_hidden, V, generator):
        wte = torch.rand(V, n_embd, generator=generator)
        W1 = torch.rand(block_size * n_embd, n_hidden, generator=generator)
        return wte, W1, torch.zeros(n_hidden), torch.zeros(n_hidden, V), torch.zeros(V)

    return math.log, calm_init


@wrong("3.2", "wte and W1 must be random")
def weights_of_zero_and_random_biases():
    def calm_init(*given):
        wte, W1, *rest = init(*given)
        return wte, 0 * W1, *rest

    return math.log, calm_init


# --- 3.3 ----------------------------------------------------------------------------------------


def search(step, low, high, n, rates=None, keep=False, go_on=False):
    tried, losses = [], []
    for rate in rates or torch.logspace(math.log10(low), math.log10(high), n).tolist():
        loss = step(rate)
        if not math.isfinite(loss) and not go_on:
            losses += [loss] if keep else []
            break
        tried.append(rate)
        losses.append(loss)
    return tried, losses


def choose(rates, losses, window):
    means = [sum(losses[i : i + window]) for i in range(len(losses) - window + 1)]
    return rates[means.index(min(means)) + window - 1] / 2


@wrong("3.3", "space the exponents evenly")
def linear_spacing():
    def sweep(step, low, high, n):
        return search(step, low, high, n, torch.linspace(low, high, n).tolist())

    return sweep, choose


@wrong("3.3", "The rates fall")
def from_large_to_small():
    return lambda step, low, high, n: search(step, high, low, n), choose


@wrong("3.3", "`high` is left out")
def without_the_last():
    def sweep(step, low, high, n):
        return search(step, low, high, n, [low * (high / low) ** (i / n) for i in range(n)])

    return sweep, choose


@wrong("3.3", "These are the exponents")
def exponents_for_rates():
    def sweep(step, low, high, n):
        rates, losses = search(step, low, high, n)
        return [math.log10(rate) for rate in rates], losses

    return sweep, choose


@wrong("3.3", "step is called twice")
def two_steps_a_rate():
    def sweep(step, low, high, n):
        rates = torch.logspace(math.log10(low), math.log10(high), n).tolist()
        return rates, [step(rate) for rate in rates if math.isfinite(step(rate))]

    return sweep, choose


@wrong("3.3", "break off")
def stepping_on_after_infinity():
    return lambda *given: search(*given, go_on=True), choose


@wrong("3.3", "is still in the list")
def infinity_kept():
    return lambda *given: search(*given, keep=True), choose


@wrong("3.3", "one lucky minibatch")
def lowest_single_loss():
    return search, lambda rates, losses, window: rates[losses.index(min(losses))] / 2


@wrong("3.3", "take half of it")
def not_halved():
    return search, lambda *given: 2 * choose(*given)


@wrong("3.3", "the rate at its beginning")
def beginning_of_the_window():
    def choose_rate(rates, losses, window):
        means = [sum(losses[i : i + window]) for i in range(len(losses) - window + 1)]
        return rates[means.index(min(means))] / 2

    return search, choose_rate


@wrong("3.3", "before there are `window` losses")
def windows_that_are_not_full():
    def choose_rate(rates, losses, window):
        windows = [losses[max(0, i - window + 1) : i + 1] for i in range(len(losses))]
        means = [sum(w) / len(w) for w in windows]
        return rates[means.index(min(means))] / 2

    return search, choose_rate


@wrong("3.3", "That is a place in the list")
def index_for_rate():
    return search, lambda rates, *given: rates.index(2 * choose(rates, *given))


@wrong("3.3", "`logspace` takes exponents")
def logspace_of_rates():
    def sweep(step, low, high, n):
        return search(step, low, high, n, torch.logspace(low, high, n).tolist())

    return sweep, choose


@wrong("3.3", "`low` is left out")
def without_the_first():
    def sweep(step, low, high, n):
        rates = [low * (high / low) ** (i / n) for i in range(1, n + 1)]
        return search(step, low, high, n, rates)

    return sweep, choose


@wrong("3.3", "ten times the one before")
def ten_times_each():
    def sweep(step, low, high, n):
        return search(step, low, high, n, [low * 10**i for i in range(n)])

    return sweep, choose


@wrong("3.3", "return the rates first")
def losses_first():
    return lambda *given: search(*given)[::-1], choose


@wrong("3.3", "The last window is left out")
def last_window_left_out():
    return search, lambda rates, losses, window: choose(rates, losses[:-1], window)


@wrong("3.3", "One place too far")
def window_without_its_last_loss():
    def choose_rate(rates, losses, window):
        means = [sum(losses[i - window : i]) for i in range(window, len(losses))]
        return rates[means.index(min(means)) + window] / 2

    return search, choose_rate


@wrong("3.3", "the rate in its middle")
def middle_of_the_window():
    def choose_rate(rates, losses, window):
        means = [sum(losses[i : i + window]) for i in range(len(losses) - window + 1)]
        return rates[means.index(min(means)) + window // 2] / 2

    return search, choose_rate


@wrong("3.3", "the lowest mean, a loss")
def mean_for_rate():
    def choose_rate(rates, losses, window):
        return min(sum(losses[i : i + window]) / window for i in range(len(losses) - window + 1))

    return search, choose_rate


@wrong("3.3", "the rate at half the place")
def place_halved():
    return search, lambda rates, *given: rates[rates.index(2 * choose(rates, *given)) // 2]


# --- 3.4: none of them trains for more than a second or two -------------------------------------


def briefly(words, stoi, steps=150, aligned=True, newest=False, lr=0.02, before=False):
    """A small network of torch.nn, trained a little; its five parameters, Linear's transposed."""
    X, Y, _ = build(words, 3, stoi)
    X = X.flip(1) if newest else X
    g = torch.Generator().manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Embedding(27, 5), torch.nn.Flatten(), torch.nn.Linear(15, 30), torch.nn.Tanh(),
        torch.nn.Linear(30, 27),
    )  # fmt: skip
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((3.0 if before else 0.3) * torch.randn(p.shape, generator=g))
    untrained = [p.detach().clone() for p in net.parameters()]
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    for _ in range(steps):
        rows = torch.randint(len(X), (128,), generator=g)
        targets = rows if aligned else torch.randint(len(X), (128,), generator=g)
        loss = F.cross_entropy(net(X[rows]), Y[targets])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    wte, W1, b1, W2, b2 = untrained if before else net.parameters()
    return wte, W1.T, b1, W2.T, b2


@wrong("3.4", "the context isn't used")
def rows_that_do_not_match():
    return lambda *given: briefly(*given, steps=400, aligned=False)


@wrong("3.4", "With its context turned round")
def trained_newest_first():
    return lambda *given: briefly(*given, steps=600, newest=True)


@wrong("3.4", "worse than knowing nothing")
def copy_from_before_the_training():
    return lambda *given: briefly(*given, steps=10, before=True)


@wrong("3.4", "underfits: more steps")
def too_few_steps():
    return briefly


@wrong("3.4", "`torch.nn.Linear` keeps its weight the other way round")
def weights_of_linear_layers():
    def train_mlp(words, stoi):
        wte, W1, b1, W2, b2 = briefly(words, stoi, steps=2)
        return wte, W1.T, b1, W2.T, b2

    return train_mlp


@wrong("3.4", "The training has diverged")
def diverged():
    def train_mlp(words, stoi):
        wte, W1, b1, W2, b2 = briefly(words, stoi, steps=2)
        return wte, W1 * float("inf"), b1, W2, b2

    return train_mlp


@wrong("3.4", "12,000 numbers")
def too_large_a_network():
    return lambda words, stoi: [
        torch.zeros(shape) for shape in [(27, 10), (30, 5000), (5000,), (5000, 27), (27,)]
    ]


@wrong("3.4", "They must be wte")
def one_character_too_few():
    return lambda words, stoi: [
        torch.zeros(shape) for shape in [(26, 10), (30, 200), (200,), (200, 26), (26,)]
    ]


# --- 3.5 ----------------------------------------------------------------------------------------


def network(X, wte, W1, b1, W2, b2, W3, hidden=1, direct=1, out=None, through=None, again=0):
    x = wte[X].flatten(1)
    past = x.detach() @ W3 if through == "detached" else x @ W3
    past = past.tanh() if through == "tanh" else past
    logits = hidden * (torch.tanh(x @ W1 + b1) @ W2) + b2 + direct * past + again * b2
    return logits.tanh() if out == "tanh" else logits


def parameters(T, C, H, V, direct, biases=1, table=1, tables=1, bias3=0, one_hot=0):
    rest = T * C * H + H * V + biases * (H + V)
    more = T * V * V if one_hot else T * C * V
    return table * tables * V * C + rest + direct * (more + bias3 * V)


@wrong("3.5", "the path x @ W3 is missing")
def without_the_direct_path():
    return lambda *given: network(*given, direct=0), parameters


@wrong("3.5", "Only the direct path is there")
def without_the_hidden_path():
    return lambda *given: network(*given, hidden=0), parameters


@wrong("3.5", "The sum of both paths went through tanh")
def tanh_over_all():
    return lambda *given: network(*given, out="tanh"), parameters


@wrong("3.5", "The direct path went through tanh")
def tanh_over_the_direct_path():
    return lambda *given: network(*given, through="tanh"), parameters


@wrong("3.5", "b2 is added twice")
def bias_with_each_path():
    return lambda *given: network(*given, again=1), parameters


@wrong("3.5", "in the wrong order")
def positions_and_numbers_mixed():
    def direct_logits(X, wte, W1, b1, W2, b2, W3):
        x = wte[X].transpose(1, 2).flatten(1)
        return torch.tanh(x @ W1 + b1) @ W2 + b2 + x @ W3

    return direct_logits, parameters


@wrong("3.5", "nothing through the direct path")
def direct_path_detached():
    return lambda *given: network(*given, through="detached"), parameters


@wrong("3.5", "The biases b1 and b2 are parameters too")
def biases_not_counted():
    return network, lambda *given: parameters(*given, biases=0)


@wrong("3.5", "The embedding table is learned too")
def table_not_counted():
    return network, lambda *given: parameters(*given, table=0)


@wrong("3.5", "One embedding table serves all positions")
def a_table_a_position():
    return network, lambda *given: parameters(*given, tables=given[0])


@wrong("3.5", "no bias of its own")
def a_bias_for_the_direct_path():
    return network, lambda *given: parameters(*given, bias3=1)


@wrong("3.5", "not from one-hot contexts")
def one_hot_direct_path():
    return network, lambda *given: parameters(*given, one_hot=1)


@wrong("3.5", "The tanh of the hidden layer is missing")
def no_tanh():
    def direct_logits(X, wte, W1, b1, W2, b2, W3):
        x = wte[X].flatten(1)
        return (x @ W1 + b1) @ W2 + b2 + x @ W3

    return direct_logits, parameters


@wrong("3.5", "b2 is missing")
def no_output_bias():
    return lambda *given: network(*given, again=-1), parameters


@wrong("3.5", "b1 is missing")
def no_hidden_bias():
    return lambda X, wte, W1, b1, *rest: network(X, wte, W1, 0 * b1, *rest), parameters


@wrong("3.5", "These are probabilities")
def softmax_of_the_logits():
    return lambda *given: network(*given).softmax(1), parameters


@wrong("3.5", "The newest character stands first")
def context_turned_round():
    return lambda X, *rest: network(X.flip(1), *rest), parameters


@wrong("3.5", "put side by side, of shape")
def embeddings_not_side_by_side():
    def direct_logits(X, wte, W1, b1, W2, b2, W3):
        return torch.tanh(wte[X] @ W1 + b1) @ W2 + b2 + wte[X] @ W3

    return direct_logits, parameters


@wrong("3.5", "read them off the tensors' shapes")
def sizes_of_the_lecture():
    def direct_logits(X, wte, W1, b1, W2, b2, W3):
        x = wte[X].view(-1, 30)
        return torch.tanh(x @ W1 + b1) @ W2 + b2 + x @ W3

    return direct_logits, parameters


@wrong("3.5", "The embeddings learn nothing at all")
def embeddings_copied():
    return lambda X, wte, *rest: network(X, wte.detach(), *rest), parameters


@wrong("3.5", "W3 is counted even without")
def direct_always_counted():
    return network, lambda T, C, H, V, direct: parameters(T, C, H, V, True)


@wrong("3.5", "W3 isn't counted")
def direct_never_counted():
    return network, lambda T, C, H, V, direct: parameters(T, C, H, V, False)


@wrong("3.5", "The output bias b2 is missing")
def output_bias_not_counted():
    return network, lambda T, C, H, V, direct: parameters(T, C, H, V, direct) - V
