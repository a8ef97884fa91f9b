"""How answers to the exercises of lecture 11 are called. This enters the sandbox."""

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
