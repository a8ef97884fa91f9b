"""Wrong answers to 8.9, a vote and the best of n."""

import math
from collections import Counter

import torch

from misconceptions import wrong


def voted(answers):
    return [answer for answer in answers if answer is not None]


def majority(answers):
    counts = Counter(voted(answers))
    return counts.most_common(1)[0][0] if counts else None


def sums(probs, rewards):
    at_most = (probs * (rewards <= rewards[:, None])).sum(1)
    return at_most, (probs * (rewards < rewards[:, None])).sum(1)


def best_of_n_probs(probs, rewards, n):
    at_most, below = sums(probs, rewards)
    return (at_most**n - below**n) * probs / (at_most - below)


def best_of_n_divergence(n):
    return math.log(n) - (n - 1) / n


def voting(way):
    return way, best_of_n_probs, best_of_n_divergence


def best(way):
    return majority, way, best_of_n_divergence


def far(way):
    return majority, best_of_n_probs, way


@wrong("8.9", "None has a vote here")
def none_votes():
    return voting(lambda answers: Counter(answers or [None]).most_common(1)[0][0])


@wrong("8.9", "Of equally frequent answers the one that came last in the list wins")
def last_of_equals():
    return voting(lambda answers: majority(answers[::-1]))


@wrong("8.9", "Of equally frequent answers the smallest text wins")
def smallest_of_equals():
    return voting(lambda answers: majority(sorted(voted(answers))))


@wrong("8.9", "Of equally frequent answers the largest text wins")
def largest_of_equals():
    return voting(
        lambda answers: majority(sorted((a for a in answers if a is not None), reverse=True))
    )


@wrong("8.9", "Half of the votes aren't needed")
def absolute_majority():
    def way(answers):
        won = majority(answers)
        return won if won is not None and 2 * answers.count(won) > len(answers) else None

    return voting(way)


@wrong("8.9", "got its last vote first")
def first_to_reach():
    def way(answers):
        counts = Counter()
        for answer in answers:
            if answer is not None:
                counts[answer] += 1
                if counts[answer] == answers.count(majority(answers)):
                    return answer
        return None

    return voting(way)


@wrong("8.9", "The first answer is taken")
def first_answer():
    return voting(lambda answers: next((a for a in answers if a is not None), None))


@wrong("8.9", "Texts are made alike")
def as_numbers():
    return voting(lambda answers: majority([a and a.strip().lstrip("0") for a in answers]))


@wrong("8.9", "Capitals are made small")
def small_letters():
    return voting(lambda answers: majority([a and a.lower() for a in answers]))


@wrong("8.9", "Blanks are taken off")
def stripped():
    return voting(lambda answers: majority([a and a.strip() for a in answers]))


@wrong("8.9", "An empty text has no vote here")
def empty_left_out():
    return voting(lambda answers: majority([a for a in answers if a]))


@wrong("8.9", "Of equally frequent answers the longest wins")
def longest_of_equals():
    return voting(lambda answers: majority(sorted(voted(answers), key=len, reverse=True)))


@wrong("8.9", "which is neither 'None' nor an empty text")
def none_as_text():
    return voting(lambda answers: str(majority(answers)))


@wrong("8.9", "The text 'None' has no vote here")
def all_as_text():
    return voting(lambda answers: majority([a for a in map(str, answers) if a != "None"]))


@wrong("8.9", "a pair, of a text and its number")
def with_its_number():
    def way(answers):
        counts = Counter(voted(answers))
        return counts.most_common(1)[0] if counts else None

    return voting(way)


@wrong("8.9", "and one holds nothing at all")
def nothing_to_count():
    return voting(lambda answers: Counter(voted(answers)).most_common(1)[0][0])


@wrong("8.9", "it is for no answer at all")
def silent_majority():
    def way(answers):
        return None if 2 * answers.count(None) > len(answers) else majority(answers)

    return voting(way)


@wrong("8.9", "and not the one that came first")
def second_of_equals():
    def way(answers):
        counts = Counter(voted(answers))
        tied = [a for a, n in counts.items() if n == max(counts.values())]
        return tied[min(1, len(tied) - 1)] if tied else None

    return voting(way)


@wrong("8.9", "that of a worse one")
def no_worse_than_this():
    return best(lambda probs, rewards, n: sums(probs, rewards)[0] ** n)


@wrong("8.9", "That is the worst of n")
def worst():
    return best(lambda probs, rewards, n: best_of_n_probs(probs, -rewards, n))


@wrong("8.9", "Equally good answers get all of what they share")
def not_shared():
    def way(probs, rewards, n):
        at_most, below = sums(probs, rewards)
        return at_most**n - below**n

    return best(way)


@wrong("8.9", "Equally good answers share alike")
def shared_alike():
    def way(probs, rewards, n):
        at_most, below = sums(probs, rewards)
        return (at_most**n - below**n) / (rewards == rewards[:, None]).sum(1)

    return best(way)


@wrong("8.9", "Of equally good answers the later in the table wins")
def sorted_sums():
    def way(probs, rewards, n):
        order = rewards.argsort(stable=True)
        up_to = probs[order].cumsum(0)
        taken = torch.zeros_like(probs)
        taken[order] = up_to**n - (up_to - probs[order]) ** n
        return taken

    return best(way)


@wrong("8.9", "Of equally good answers the earlier in the table wins")
def sorted_sums_from_above():
    def way(probs, rewards, n):
        order = rewards.argsort(descending=True, stable=True).flip(0)
        up_to = probs[order].cumsum(0)
        taken = torch.zeros_like(probs)
        taken[order] = up_to**n - (up_to - probs[order]) ** n
        return taken

    return best(way)


@wrong("8.9", "in the order of the rewards")
def left_sorted():
    def way(probs, rewards, n):
        probs = probs[rewards.argsort(stable=True)]
        return probs.cumsum(0) ** n - (probs.cumsum(0) - probs) ** n

    return best(way)


@wrong("8.9", "is a density")
def density():
    return best(lambda probs, rewards, n: n * probs * sums(probs, rewards)[0] ** (n - 1))


@wrong("8.9", "The probability to be drawn at all")
def drawn_at_all():
    return best(lambda probs, rewards, n: 1 - (1 - probs) ** n)


@wrong("8.9", "All answers are taken for equally likely")
def ranks():
    def way(probs, rewards, n):
        return best_of_n_probs(torch.full_like(probs, 1 / len(probs)), rewards, n)

    return best(way)


@wrong("8.9", "One answer too few is drawn")
def one_less():
    return best(lambda probs, rewards, n: best_of_n_probs(probs, rewards, n - 1))


@wrong("8.9", "Rewards that differ by little are taken for equal")
def in_float32():
    return best(lambda probs, rewards, n: best_of_n_probs(probs, rewards.float(), n))


@wrong("8.9", "The best answer has all of it")
def always_the_best():
    return best(lambda probs, rewards, n: torch.eye(len(probs))[rewards.argmax()].double())


@wrong("8.9", "are another policy than the best of n")
def tilted():
    return best(lambda probs, rewards, n: (probs.log() + rewards).softmax(0))


@wrong("8.9", "log n alone is more than it is")
def logarithm_alone():
    return far(lambda n: math.log(n))


@wrong("8.9", "is divided by n, too")
def all_divided():
    return far(lambda n: (math.log(n) - (n - 1)) / n)


@wrong("8.9", "Without brackets")
def without_brackets():
    return far(lambda n: math.log(n) - n - 1 / n)


@wrong("8.9", "n may be 1")
def turned_fraction():
    return far(lambda n: math.log(n) - n / (n - 1))


@wrong("8.9", "In bits")
def bits():
    return far(lambda n: math.log2(n) - (n - 1) / n)


@wrong("8.9", "(n − 1) / n is added")
def added():
    return far(lambda n: math.log(n) + (n - 1) / n)


@wrong("8.9", "The other sign")
def negative():
    return far(lambda n: (n - 1) / n - math.log(n))


@wrong("8.9", "and not 1 / n")
def less_one_over_n():
    return far(lambda n: math.log(n) - 1 / n)


@wrong("8.9", "That is what it comes to for large n")
def limit():
    return far(lambda n: math.log(n) - 1)
