"""Wrong answers to 4.5, three sick networks."""

from misconceptions import wrong


def say(**changes):
    return lambda: (
        {
            "A": ("learning rate too large", "large updates"),
            "B": ("gain too large", "saturated at the start"),
            "C": ("output layer too large", "high first loss"),
        }
        | changes
    )


@wrong("4.5", "the tanh outputs already pile up at -1 and 1 before the first step. Look at A again")
def saturation_means_gain():
    symptom = ("gain too large", "saturated by training")
    return say(A=symptom, B=symptom, C=symptom)


@wrong("4.5", "A and C both show it")
def symptom_for_evidence():
    return say(A=("learning rate too large", "saturated by training"))


@wrong("4.5", "and the loss rises from where it started. Look at C again")
def falling_loss_taken_for_large_steps():
    return say(C=("learning rate too large", "large updates"))


@wrong("4.5", "narrower from layer to layer")
def small_gain_for_large():
    return say(B=("gain too small", "narrowing outputs"))


@wrong("4.5", "the loss hardly falls")
def small_steps_for_large():
    return say(A=("learning rate too small", "small updates"))


@wrong("4.5", "the first loss is far above ln 27")
def output_layer_for_gain():
    return say(B=("output layer too large", "high first loss"))


@wrong("4.5", "That is not what the plots of B show")
def evidence_of_another():
    return say(B=("gain too large", "large updates"))


@wrong("4.5", "C's updates are large at first")
def early_updates_for_evidence():
    return say(C=("output layer too large", "large updates"))


@wrong("4.5", "The cause comes first")
def evidence_first():
    return say(C=("high first loss", "output layer too large"))


@wrong("4.5", "The list of causes")
def words_of_ones_own():
    return say(A=("learning rate too high", "large updates"))


@wrong("4.5", "two strings from the lists")
def cause_without_evidence():
    return say(B="gain too large")


@wrong("4.5", "name each cause once")
def the_same_for_all():
    return lambda: dict.fromkeys("ABC", ("gain too large", "saturated at the start"))
