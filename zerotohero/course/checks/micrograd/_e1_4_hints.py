"""The hints that several verdicts of 1.4 give."""

CUT = "no gradient reaches the logits: a .data or a new Value(…) has cut the graph."
PARTLY_CUT = (
    "The sum below the fraction is made of .data, and so it is missing from the graph: its "
    "gradients are lost."
)
EMPTY = (
    "The list is empty. A generator, `(… for z in logits)` in round brackets, is used up by what "
    "goes through it first, such as the sum: make a list, `[… for z in logits]`."
)
ABOVE_0 = (
    "An exponent is far above 0. What you take away is not the largest logit, but far below it, as "
    "a mean, the smallest or the first may be, or the one of the largest absolute value, or a sign "
    "is turned round: it is `z - top`, neither `top - z` nor `z + top`."
)
RAISED = (
    "A small probability came out larger: add nothing to p before the log, and cut nothing off; "
    "with logits it can't be 0 here."
)
ADDED = (
    "A small number is added, to the sum or to the probability, and nothing can be 0 here: a logit "
    "that is alone has probability 1 and loss 0."
)
ONE_OF_EQUALS = (
    "Equal logits have equal probabilities, each made of its own logit: go by the place in the "
    "list, and not by the number."
)
SORTED = (
    "That is the probability at the label's place among the sorted ones: leave them in the logits' "
    "order."
)
BY_NUMBER = (
    "The gradient goes to a logit that is equal to the label's: take the one at the place `label`, "
    "and not one with its number."
)
