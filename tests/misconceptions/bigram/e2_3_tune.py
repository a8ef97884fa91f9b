"""Wrong answers to 2.3, tune on dev, report test once."""

from misconceptions import wrong


@wrong("2.3", "This k is the best on train")
def tunes_on_train():
    def tune_smoothing(loss, ks):
        best = min(ks, key=lambda k: loss("train", k))
        return best, loss("test", best)

    return tune_smoothing


@wrong("2.3", "This k is the best on test")
def tunes_on_test():
    def tune_smoothing(loss, ks):
        test_loss, best = min((loss("test", k), k) for k in ks)
        return best, test_loss

    return tune_smoothing


@wrong("2.3", "Test was looked at for several k")
def looks_at_test_for_all():
    def tune_smoothing(loss, ks):
        table = [(loss("dev", k), k, loss("test", k)) for k in ks]
        _, best, test_loss = min(table)
        return best, test_loss

    return tune_smoothing


@wrong("2.3", "This is the loss on dev")
def reports_dev():
    def tune_smoothing(loss, ks):
        dev_loss, best = min((loss("dev", k), k) for k in ks)
        return best, dev_loss

    return tune_smoothing


@wrong("2.3", "return the k itself")
def returns_the_place():
    def tune_smoothing(loss, ks):
        dev = [loss("dev", k) for k in ks]
        best = dev.index(min(dev))
        return best, loss("test", ks[best])

    return tune_smoothing


@wrong("2.3", "highest loss on dev")
def takes_the_highest():
    def tune_smoothing(loss, ks):
        best = max(ks, key=lambda k: loss("dev", k))
        return best, loss("test", best)

    return tune_smoothing


@wrong("2.3", "Return two numbers")
def returns_nothing():
    def tune_smoothing(loss, ks):
        best = min(ks, key=lambda k: loss("dev", k))
        print(best, loss("test", best))

    return tune_smoothing


@wrong("2.3", "twice with the same k")
def looks_twice():
    def tune_smoothing(loss, ks):
        best = min(ks, key=lambda k: loss("dev", k))
        print(end=f"{loss('test', best)}"[:0])
        return best, loss("test", best)

    return tune_smoothing


@wrong("2.3", "the k comes first")
def returns_them_swapped():
    def tune_smoothing(loss, ks):
        best = min(ks, key=lambda k: loss("dev", k))
        return loss("test", best), best

    return tune_smoothing


@wrong("2.3", "The split comes first")
def asks_with_k_first():
    return lambda loss, ks: min(ks, key=lambda k: loss(k, "dev"))


@wrong("2.3", "The last k of the list is left out")
def last_left_out():
    def tune_smoothing(loss, ks):
        best = min(ks[:-1], key=lambda k: loss("dev", k))
        return best, loss("test", best)

    return tune_smoothing


@wrong("2.3", "The first k of the list is left out")
def first_left_out():
    def tune_smoothing(loss, ks):
        best = min(ks[1:], key=lambda k: loss("dev", k))
        return best, loss("test", best)

    return tune_smoothing


@wrong("2.3", "takes a 0 for none")
def zero_taken_for_none():
    def tune_smoothing(loss, ks):
        best, lowest = None, None
        for k in ks:
            on_dev = loss("dev", k)
            if not best or on_dev < lowest:
                best, lowest = k, on_dev
        return best, loss("test", best)

    return tune_smoothing


@wrong("2.3", "compare with None, and try every k")
def loss_of_zero_taken_for_none():
    def tune_smoothing(loss, ks):
        best, lowest = None, None
        for k in ks:
            on_dev = loss("dev", k)
            if not lowest or on_dev < lowest:
                best, lowest = k, on_dev
        return best, loss("test", best)

    return tune_smoothing


def too_low_to_beat(start, lowest):
    def tune_smoothing(loss, ks):
        best_k, best_loss = start(ks), lowest
        for k in ks:
            if loss("dev", k) < best_loss:
                best_k, best_loss = k, loss("dev", k)
        return best_k, loss("test", best_k)

    return tune_smoothing


@wrong("2.3", "only the first. Is the loss to be beaten at the start")
def first_k_and_too_low_a_loss():
    return too_low_to_beat(lambda ks: ks[0], 100.0)


@wrong("2.3", "only the smallest. Is the loss to be beaten at the start")
def zero_and_too_low_a_loss():
    return too_low_to_beat(lambda ks: 0, 1000.0)


@wrong("2.3", "so no k was chosen. Is the loss to be beaten at the start")
def none_and_too_low_a_loss():
    return too_low_to_beat(lambda ks: None, 100.0)


@wrong("2.3", "falls, rises and falls again")
def stops_at_the_first_rise():
    def tune_smoothing(loss, ks):
        best, lowest = None, float("inf")
        for k in sorted(ks):
            on_dev = loss("dev", k)
            if on_dev > lowest:
                break
            best, lowest = k, on_dev
        return best, loss("test", best)

    return tune_smoothing


@wrong("2.3", "compare them as they are")
def rounds_the_losses():
    def tune_smoothing(loss, ks):
        best = min(ks, key=lambda k: round(loss("dev", k), 3))
        return best, loss("test", best)

    return tune_smoothing
