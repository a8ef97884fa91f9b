"""Wrong answers to 10.3, gradient accumulation."""

import torch
from torch.nn import functional as F

from misconceptions import wrong


def loss_of(logits, y, reduction="sum"):
    return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction=reduction)


def targets(y):
    return (y != -100).sum()


def cut(x, y, rows):
    return list(zip(x.split(rows), y.split(rows), strict=True))


def accumulating(
    part=lambda loss, n, x, y, rows: loss / targets(y),
    pieces=cut,
    clear=True,
    clear_within=False,
    reduction="sum",
    after=lambda model: None,
    returned=lambda losses: sum(losses),
):
    """Return accumulate with one thing wrong."""

    def accumulate(model, x, y, rows):
        if clear:
            model.zero_grad()
        losses = []
        for x_part, y_part in pieces(x, y, rows):
            if clear_within:
                model.zero_grad()
            loss = loss_of(model(x_part), y_part, reduction)
            loss = part(loss, targets(y_part), x, y, rows)
            loss.backward()
            losses.append(loss.item())
        after(model)
        return float(returned(losses))

    return accumulate


def number_of_pieces(x, rows):
    return -(-len(x) // rows)


@wrong("10.3", "A mean of means")
def mean_of_means():
    def part(loss, n, x, y, rows):
        return loss / number_of_pieces(x, rows)

    return accumulating(part, reduction="mean")


@wrong("10.3", "A mean of the rows' means")
def mean_of_rows():
    def accumulate(model, x, y, rows):
        model.zero_grad()
        total = 0.0
        for x_part, y_part in cut(x, y, rows):
            each = F.cross_entropy(model(x_part).mT, y_part, reduction="none").sum(1)
            loss = (each / (y_part != -100).sum(1).clamp(min=1)).sum() / len(x)
            loss.backward()
            total += loss.item()
        return total

    return accumulate


@wrong("10.3", "and divided by nothing")
def sum_of_means():
    return accumulating(lambda loss, n, x, y, rows: loss, reduction="mean")


@wrong("10.3", "it isn't divided by their number")
def sums():
    return accumulating(lambda loss, n, x, y, rows: loss)


@wrong("10.3", "Divided by B · T")
def all_places():
    return accumulating(lambda loss, n, x, y, rows: loss / y.numel())


@wrong("10.3", "Divided by the number of rows")
def by_rows():
    return accumulating(lambda loss, n, x, y, rows: loss / len(x))


@wrong("10.3", "Sums, divided by the number of micro-batches")
def sums_by_pieces():
    return accumulating(lambda loss, n, x, y, rows: loss / number_of_pieces(x, rows))


@wrong("10.3", "Each micro-batch counts by its rows")
def weighted_by_rows():
    def accumulate(model, x, y, rows):
        model.zero_grad()
        total = 0.0
        for x_part, y_part in cut(x, y, rows):
            loss = loss_of(model(x_part), y_part, "mean") * len(x_part) / len(x)
            loss.backward()
            total += loss.item()
        return total

    return accumulate


@wrong("10.3", "0 is a target like any other")
def zero_is_padding():
    return accumulating(lambda loss, n, x, y, rows: loss / (y > 0).sum())


@wrong("10.3", "is 0, and no mean")
def means_weighted_by_targets():
    def part(loss, n, x, y, rows):
        return loss * n / targets(y)

    return accumulating(part, reduction="mean")


@wrong("10.3", "`.grad` was cleared within the loop")
def cleared_in_the_loop():
    return accumulating(clear_within=True)


@wrong("10.3", "which is smaller, is missing")
def last_one_dropped():
    def pieces(x, y, rows):
        return cut(x, y, rows)[: max(1, len(x) // rows)]

    return accumulating(pieces=pieces)


@wrong("10.3", "What was in `.grad` before was added to")
def never_cleared():
    return accumulating(clear=False)


@wrong("10.3", "That many don't fit into memory")
def all_at_once():
    return accumulating(pieces=lambda x, y, rows: [(x, y)])


@wrong("10.3", "fill all but the last")
def row_by_row():
    return accumulating(pieces=lambda x, y, rows: cut(x, y, 1))


@wrong("10.3", "within the loop, and not once on the sum")
def one_backward_pass():
    def accumulate(model, x, y, rows):
        model.zero_grad()
        total = sum(loss_of(model(a), b) for a, b in cut(x, y, rows)) / targets(y)
        total.backward()
        return total.item()

    return accumulate


@wrong("10.3", "One forward pass a row is enough")
def loss_in_a_pass_of_its_own():
    def accumulate(model, x, y, rows):
        accumulating()(model, x, y, rows)
        with torch.no_grad():
            parts = [loss_of(model(a), b).item() for a, b in cut(x, y, rows)]
        return sum(parts) / targets(y).item()

    return accumulate


@wrong("10.3", "Only the last micro-batch is in it: add up")
def loss_of_the_last():
    return accumulating(returned=lambda losses: losses[-1])


@wrong("10.3", "`backward()` was called twice")
def backward_twice():
    def accumulate(model, x, y, rows):
        model.zero_grad()
        total = 0.0
        for a, b in cut(x, y, rows):
            loss = loss_of(model(a), b) / targets(y)
            loss.backward(retain_graph=True)
            loss.backward()
            total += loss.item()
        return total

    return accumulate


@wrong("10.3", "Divided by the targets of the last micro-batch alone")
def count_overwritten():
    def accumulate(model, x, y, rows):
        model.zero_grad()
        total, count = 0.0, 1
        for a, b in cut(x, y, rows):
            count = max(1, targets(b).item())
            loss = loss_of(model(a), b)
            loss.backward()
            total += loss.item()
        for p in model.parameters():
            p.grad /= count
        return total / count

    return accumulate


@wrong("10.3", "call `backward()` for each micro-batch")
def without_backward():
    def accumulate(model, x, y, rows):
        model.zero_grad()
        parts = [loss_of(model(a), b).item() for a, b in cut(x, y, rows)]
        return sum(parts) / targets(y).item()

    return accumulate


@wrong("10.3", "−100 is no class")
def by_hand_without_a_mask():
    def accumulate(model, x, y, rows):
        model.zero_grad()
        total = 0.0
        for a, b in cut(x, y, rows):
            logs = F.log_softmax(model(a), -1)
            loss = -torch.gather(logs, 2, b[..., None]).sum() / targets(y)
            loss.backward()
            total += loss.item()
        return total

    return accumulate


@wrong("10.3", "Its parameters or statistics are others now")
def with_an_update():
    def step(model):
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad

    return accumulating(after=step)


@wrong("10.3", "because one of its rows has no target")
def left_out_for_one_row():
    def pieces(x, y, rows):
        return [(a, b) for a, b in cut(x, y, rows) if (b != -100).any(1).all()]

    return accumulating(pieces=pieces)


@wrong("10.3", "the others have some")
def judged_by_its_first_row():
    def pieces(x, y, rows):
        return [(a, b) for a, b in cut(x, y, rows) if (b[0] != -100).any()]

    return accumulating(pieces=pieces)


@wrong("10.3", "Divided once too often")
def divided_twice():
    def accumulate(model, x, y, rows):
        return accumulating()(model, x, y, rows) / number_of_pieces(x, rows)

    return accumulate


@wrong("10.3", "Divided by the places of one micro-batch")
def by_places_of_a_piece():
    return accumulating(lambda loss, n, x, y, rows: loss / (rows * y.shape[1]))


@wrong("10.3", "as if its target were 0")
def no_target_as_target_0():
    return accumulating(pieces=lambda x, y, rows: cut(x, y.clamp(min=0), rows))


@wrong("10.3", "Shifted once more")
def shifted_once_more():
    def accumulate(model, x, y, rows):
        model.zero_grad()
        total = 0.0
        for a, b in cut(x, y, rows):
            loss = loss_of(model(a)[:, :-1], b[:, 1:]) / targets(y)
            loss.backward()
            total += loss.item()
        return total

    return accumulate


@wrong("10.3", "The losses so far are differentiated again")
def sum_so_far():
    def accumulate(model, x, y, rows):
        model.zero_grad()
        total = 0.0
        for a, b in cut(x, y, rows):
            total = total + loss_of(model(a), b) / targets(y)
            total.backward(retain_graph=True)
        return total.item()

    return accumulate
