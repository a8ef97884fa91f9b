"""Wrong answers to 3.5, direct connections."""

import torch

from misconceptions import wrong


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
    return network, lambda *given, **named: parameters(*given, **named, biases=0)


@wrong("3.5", "The embedding table is learned too")
def table_not_counted():
    return network, lambda *given, **named: parameters(*given, **named, table=0)


@wrong("3.5", "One embedding table serves all positions")
def a_table_a_position():
    return network, lambda *given, **named: parameters(*given, **named, tables=given[0])


@wrong("3.5", "no bias of its own")
def a_bias_for_the_direct_path():
    return network, lambda *given, **named: parameters(*given, **named, bias3=1)


@wrong("3.5", "not from one-hot contexts")
def one_hot_direct_path():
    return network, lambda *given, **named: parameters(*given, **named, one_hot=1)


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


@wrong("3.5", "Three tokens of each context are put side by side")
def three_tokens_by_name():
    def direct_logits(X, wte, W1, b1, W2, b2, W3):
        e = wte[X]
        x = torch.cat([e[:, 0], e[:, 1], e[:, 2]], 1)
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


@wrong("3.5", "W2 learns nothing")
def hidden_weights_copied():
    return lambda X, wte, W1, b1, W2, *rest: network(X, wte, W1, b1, W2.detach(), *rest), parameters


@wrong("3.5", "keep the signature as it is there")
def argument_by_another_name():
    def count_parameters(block_size, n_embd, n_hidden, V, with_direct):
        return parameters(block_size, n_embd, n_hidden, V, with_direct)

    return network, count_parameters
