"""Wrong answers to 11.5, a head on the right token."""

import numpy as np

from misconceptions import wrong


def place(h, lengths, side):
    return lengths - 1 if side == "right" else np.full(len(h), h.shape[1] - 1)


def classifying(at=place, read=None, change=lambda logits, b: logits):
    """Return classify with one thing wrong."""

    def classify(h, lengths, side, w, b):
        last = read(h, lengths, side) if read else h[np.arange(len(h)), at(h, lengths, side)]
        return change(last @ w + b, b)

    return classify


def log_softmax(logits):
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def mean(logs, rows, labels):
    return float(-logs[rows, labels].mean())


def losing(loss=mean, log=log_softmax, d=lambda d, p, B: d, back=None, dw=None):
    """Return classify_loss with one thing wrong."""

    def classify_loss(h, lengths, side, w, b, labels):
        B = len(h)
        rows, at = np.arange(B), place(h, lengths, side)
        last = h[rows, at]
        logits = last @ w + b
        p = np.exp(log_softmax(logits))
        grad = p.copy()
        grad[rows, labels] -= 1
        grad = d(grad / B, p, B)
        dh = np.zeros_like(h)
        if back:
            dh = back(dh, grad @ w.T)
        else:
            dh[rows, at] = grad @ w.T
        with np.errstate(all="ignore"):
            value = loss(log(logits), rows, labels)
        gradients = {"h": dh, "w": dw(h, grad) if dw else last.T @ grad, "b": grad.sum(0)}
        return value, gradients

    return classify_loss


@wrong("11.5", "The last column is read")
def last_column():
    return classifying(lambda h, lengths, side: np.full(len(h), -1)), losing()


@wrong("11.5", "Position lengths − 1 is read")
def always_the_length():
    return classifying(lambda h, lengths, side: lengths - 1), losing()


@wrong("11.5", "a text of length n ends at position n − 1")
def length_itself():
    return classifying(
        lambda h, lengths, side: lengths if side == "right" else lengths - 1
    ), losing()


@wrong("11.5", "The token before the last")
def one_before():
    return classifying(lambda *given: np.maximum(place(*given) - 1, 0)), losing()


@wrong("11.5", "Column max(lengths) − 1 is read")
def end_of_the_longest():
    def at(h, lengths, side):
        return lengths - 1 if side == "right" else np.full(len(h), lengths.max() - 1)

    return classifying(at), losing()


@wrong("11.5", "A batch of one text is a batch")
def squeezed():
    classify = classifying()
    return (lambda *given: classify(*given).squeeze()), losing()


@wrong("11.5", "NaN was multiplied by 0")
def multiplied_by_a_mask():
    def read(h, lengths, side):
        mask = np.arange(h.shape[1]) == place(h, lengths, side)[:, None]
        return (h * mask[..., None]).sum(1)

    return classifying(read=read), losing()


@wrong("11.5", "Take the one position out by an index")
def gradient_plus_zero_times_h():
    def classify_loss(h, *given):
        loss, gradients = losing()(h, *given)
        return loss, gradients | {"h": gradients["h"] + 0 * h}

    return classifying(), classify_loss


@wrong("11.5", "Divided by K")
def mean_over_the_classes():
    def mean_of_classes(h, lengths, side, w, b, labels):
        loss, gradients = losing()(h, lengths, side, w, b, labels)
        share = len(h) / len(b)
        return loss * share, {name: share * value for name, value in gradients.items()}

    return classifying(), mean_of_classes


@wrong("11.5", "Divided by B · K")
def divided_by_all():
    return classifying(), losing(d=lambda d, p, B: d / d.shape[1])


@wrong("11.5", "Divided by B twice")
def mean_of_b():
    def classify_loss(h, *given):
        loss, gradients = losing()(h, *given)
        return loss, gradients | {"b": gradients["b"] / len(h)}

    return classifying(), classify_loss


@wrong("11.5", 'under the keys "h", "w" and "b"')
def without_b():
    def classify_loss(*given):
        loss, gradients = losing()(*given)
        return loss, {name: gradients[name] for name in ("h", "w")}

    return classifying(), classify_loss


@wrong("11.5", "The first token is read")
def first_token():
    def at(h, lengths, side):
        return np.zeros(len(h), int) if side == "right" else h.shape[1] - lengths

    return classifying(at), losing()


@wrong("11.5", "The mean of all positions")
def mean_of_all():
    return classifying(read=lambda h, lengths, side: h.mean(1)), losing()


@wrong("11.5", "The mean of the text's own tokens")
def mean_of_its_own():
    def read(h, lengths, side):
        h = h if side == "right" else h[:, ::-1]
        return np.array([row[:n].mean(0) for row, n in zip(h, lengths, strict=True)])

    return classifying(read=read), losing()


@wrong("11.5", "reads all of these positions of every text")
def all_pairs():
    return classifying(read=lambda h, *given: h[:, place(h, *given)]), losing()


@wrong("11.5", "b is missing")
def no_bias():
    return classifying(change=lambda logits, b: logits - b), losing()


@wrong("11.5", "Those are probabilities")
def probabilities():
    return classifying(change=lambda logits, b: np.exp(log_softmax(logits))), losing()


@wrong("11.5", "That is the sum over the texts")
def summed():
    return classifying(), losing(lambda logs, rows, labels: float(-logs[rows, labels].sum()))


@wrong("11.5", "a loss is −log")
def log_likelihood():
    return classifying(), losing(lambda *given: -mean(*given))


@wrong("11.5", "No logarithm is in it")
def share_of_wrong():
    return classifying(), losing(
        lambda *given: 1 + mean(*given), log=lambda z: np.exp(log_softmax(z))
    )


@wrong("11.5", "takes all these labels of every text")
def labels_without_rows():
    return classifying(), losing(lambda logs, rows, labels: float(-logs[:, labels].mean()))


@wrong("11.5", "The logits themselves are taken")
def no_softmax():
    return classifying(), losing(log=lambda logits: logits)


@wrong("11.5", "the log of ∞/∞ NaN")
def no_maximum():
    def log(logits):
        e = np.exp(logits)
        return np.log(e / e.sum(-1, keepdims=True))

    return classifying(), losing(log=log)


@wrong("11.5", "A softmax of 0 has the log −∞")
def log_of_zero():
    return classifying(), losing(log=lambda logits: np.log(np.exp(log_softmax(logits))))


@wrong("11.5", "inside of the log changes the loss")
def small_number():
    return classifying(), losing(log=lambda logits: np.log(np.exp(log_softmax(logits)) + 1e-9))


@wrong("11.5", "B times as large")
def not_divided():
    return classifying(), losing(d=lambda d, p, B: d * B)


@wrong("11.5", "without the 1 that is taken from it")
def softmax_alone():
    return classifying(), losing(d=lambda d, p, B: p / B)


@wrong("11.5", "It was put at the last column")
def into_the_last_column():
    def back(dh, gradient):
        dh[:, -1] = gradient
        return dh

    return classifying(), losing(back=back)


@wrong("11.5", "It stands at all positions")
def everywhere():
    return classifying(), losing(back=lambda dh, gradient: dh + gradient[:, None])


@wrong("11.5", "is the gradient of what was read")
def without_positions():
    return classifying(), losing(back=lambda dh, gradient: gradient)


@wrong("11.5", "It is made of the last column")
def matrix_of_the_last_column():
    return classifying(), losing(dw=lambda h, d: h[:, -1].T @ d)


@wrong("11.5", "It is the loss of the last column")
def loss_of_the_last_column():
    right = losing()

    def classify_loss(h, lengths, side, w, b, labels):
        loss, _ = right(h, np.full(len(h), h.shape[1]), "right", w, b, labels)
        return loss, right(h, lengths, side, w, b, labels)[1]

    return classifying(), classify_loss


@wrong("11.5", "d holds the share of each text")
def mean_of_w():
    def classify_loss(h, *given):
        loss, gradients = losing()(h, *given)
        return loss, gradients | {"w": gradients["w"] / len(h)}

    return classifying(), classify_loss


@wrong("11.5", "A share of 1/K")
def divided_by_the_classes():
    return classifying(), losing(d=lambda d, p, B: d * B / d.shape[1])


@wrong("11.5", "The largest logit of all texts is taken away")
def largest_of_all():
    def log(logits):
        logits = logits - logits.max()
        return logits - np.log(np.exp(logits).sum(1, keepdims=True))

    return classifying(), losing(log=log)


@wrong("11.5", "The softmax goes along the texts")
def along_the_texts():
    return classifying(), losing(log=lambda logits: log_softmax(logits.T).T)


@wrong("11.5", "Divided by B · K: the mean is over the B texts")
def mean_of_all_numbers():
    def loss(logs, rows, labels):
        return float(-logs[rows, labels].sum() / logs.size)

    return classifying(), losing(loss)


def losing_labels(mark):
    """Return classify_loss in which `mark` changes the softmax at the labels."""

    def classify_loss(h, lengths, side, w, b, labels):
        def d(d, p, B):
            p = p.copy()
            mark(p, np.arange(B), labels)
            return p / B

        return losing(d=d)(h, lengths, side, w, b, labels)

    return classify_loss


@wrong("11.5", "`d[:, labels]` takes all these labels")
def one_less_in_every_row():
    def mark(p, rows, labels):
        p[:, labels] -= 1

    return classifying(), losing_labels(mark)


@wrong("11.5", "The 1 at the label is added")
def one_more_at_the_label():
    def mark(p, rows, labels):
        p[rows, labels] += 1

    return classifying(), losing_labels(mark)


def gradient_at(where):
    """Return classify_loss that puts the gradient of h where (h, lengths, side) says."""

    def classify_loss(h, lengths, side, w, b, labels):
        loss, gradients = losing()(h, lengths, side, w, b, labels)
        back = gradients["h"].sum(1, keepdims=True)
        return loss, gradients | {"h": np.where(where(h, lengths, side)[..., None], back, 0)}

    return classify_loss


@wrong("11.5", "It was put at lengths − 1")
def put_at_the_length():
    return classifying(), gradient_at(
        lambda h, lengths, side: np.arange(h.shape[1]) == lengths[:, None] - 1
    )


@wrong("11.5", "It stands at all of a text's own positions")
def put_at_all_own_positions():
    def own(h, lengths, side):
        places = np.arange(h.shape[1])
        return (places if side == "right" else places[::-1]) < lengths[:, None]

    return classifying(), gradient_at(own)


@wrong("11.5", "and `d @ w.T` goes back")
def back_without_a_transpose():
    def classify_loss(h, lengths, side, w, b, labels):
        loss, gradients = losing()(h, lengths, side, w, b, labels)
        return loss, gradients | {"h": gradients["b"][None] @ w}

    return classifying(), classify_loss
