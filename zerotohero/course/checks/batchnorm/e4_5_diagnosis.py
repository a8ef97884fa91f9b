"""4.5 · Three sick networks: telling causes apart that have the same symptom."""

from zerotohero.course.checks.batchnorm.shared import NONE
from zerotohero.course.exercise import (
    Exercise,
    Wrong,
    show,
)

# Each cause with what it would have looked like.
CAUSES = {
    "gain too small": "With a gain too small, the outputs of the tanh layers are narrower from "
    "layer to layer before the first step.",
    "gain too large": "With a gain too large, the tanh outputs already pile up at -1 and 1 before "
    "the first step.",
    "output layer too large": "With an output layer too large, the first loss is far above ln 27 = "
    "3.3.",
    "learning rate too small": "With a learning rate too small, the updates stay below 10⁻⁴ of the "
    "weights, and the loss hardly falls.",
    "learning rate too large": "With a learning rate too large, the updates lie above 10⁻² of the "
    "weights but for short dips, and the loss rises from where it started.",
}


EVIDENCE = (
    "narrowing outputs",
    "saturated at the start",
    "saturated by training",
    "high first loss",
    "small updates",
    "large updates",
)


# The notebook trains the patients from this list; its solution asserts that they are these.
PATIENTS = {
    "A": ("learning rate too large", "large updates"),
    "B": ("gain too large", "saturated at the start"),
    "C": ("output layer too large", "high first loss"),
}


SEEN = {
    "A": "Look at A again: its first loss is 3.3 and its tanh layers are in order at the start. "
    "What goes on in every single step?",
    "B": "Look at B again: its first loss is 3.3 and the sizes of its updates are in order. What "
    "is wrong before any of them?",
    "C": "Look at C again: its tanh layers are in order at the start, and its updates become "
    "smaller. What is wrong with its first prediction?",
}


diagnosis = Exercise(
    number="4.5",
    title="Three sick networks",
    difficulty=3,
    minutes=20,
    practises="telling causes apart that have the same symptom",
    answers=("diagnosis",),
    summary=(
        "Three networks end with saturated tanh layers, each for another reason. Say for each what "
        "is wrong, and which plot shows that it is this and nothing else."
    ),
    statement="""
The cell below trains three networks with five tanh layers for 300 steps and draws for each of them
the outputs of the tanh layers before the first step and after the last, the size of the updates
relative to the weights, and the loss.

`diagnosis() -> dict[str, tuple[str, str]]` returns, for each of `"A"`, `"B"` and `"C"`, a cause and
the evidence for it, word for word from these lists. Points need both.

| cause | what it means |
| --- | --- |
| `"gain too small"` | the weights of the hidden layers start too small |
| `"gain too large"` | the weights of the hidden layers start too large |
| `"output layer too large"` | the weights of the last layer start too large |
| `"learning rate too small"` | each step is too small |
| `"learning rate too large"` | each step is too large |

| evidence | what the plots show |
| --- | --- |
| `"narrowing outputs"` | before the first step, each tanh layer's outputs are narrower |
| `"saturated at the start"` | before the first step, tanh outputs already pile up at −1 and 1 |
| `"saturated by training"` | tanh outputs pile up at −1 and 1 after the last step, not before |
| `"high first loss"` | the first loss is far above ln 27 |
| `"small updates"` | the updates of all layers stay below 10⁻⁴ of the weights |
| `"large updates"` | the updates of all layers lie above 10⁻² of the weights but for short dips |

Evidence must be true of the network, and it must **decide**: what two of them show decides nothing.

```python
{"A": ("gain too small", "narrowing outputs"), ...}    # what an answer looks like
```
""",
    hints=(
        "All three are saturated at the end, so that doesn't tell them apart. In which column do "
        "they differ?",
        "Begin before the first step: one of the three is ill there already. Then read the first "
        "loss: what should a network say that knows nothing? Then the updates: 10⁻³ of the weights "
        "is healthy.",
        "One has tanh outputs at -1 and 1 from the start. One starts with a loss near 20. One goes "
        "on making updates of more than a hundredth of its weights. Each of these is one line of "
        "both lists.",
    ),
)


def _add_patient(patient: str, cause: str, evidence: str) -> None:
    @diagnosis.case(
        f"network {patient}",
        points=2,
        adapter="diagnosed",
        inputs={"patient": patient},
        crashes=NONE,
    )
    def illness_named(given, got):
        said = got["said"]
        if not (isinstance(said, list) and len(said) == 2 and all(type(s) is str for s in said)):
            raise Wrong(
                f"{patient}: expected a cause and its evidence, got {show(said)}",
                f'Write `"{patient}": ("the cause", "the evidence")`, two strings from the lists.',
            )
        said_cause, said_evidence = (" ".join(s.lower().split()) for s in said)
        if said_cause in EVIDENCE and said_evidence in CAUSES:
            raise Wrong(f"{patient}: {show(said)}", "The cause comes first, then the evidence.")
        for what, name, names in (
            ("cause", said_cause, CAUSES),
            ("evidence", said_evidence, EVIDENCE),
        ):
            if name not in names:
                raise Wrong(
                    f"{patient}: {show(name)} is no {what} from the list",
                    f"The list of {what}s: " + ", ".join(names) + ".",
                )
        if said_cause != cause:
            raise Wrong(
                f"{patient}: the cause isn't {show(said_cause)}",
                f"{CAUSES[said_cause]} {SEEN[patient]}",
            )
        if said_evidence != evidence:
            if said_evidence == "saturated by training" and patient != "B":
                hint = (
                    "It is true of this network, but A and C both show it, from different causes: "
                    "name what only this one shows."
                )
            elif said_evidence == "large updates" and patient == "C":
                hint = (
                    "C's updates are large at first and fall below 10⁻²: the large ones come from "
                    "what it got wrong. Where do you see that?"
                )
            else:
                hint = (
                    f"That is not what the plots of {patient} show; which of them made you name "
                    "this cause?"
                )
            raise Wrong(f"{patient}: the cause is right, the evidence isn't", hint)
        if got["others"] and all(o == said for o in got["others"]):
            raise Wrong(
                f"{patient}: {show(said_cause)}, as for the others",
                "Each of the three has another cause: name each cause once.",
            )


for _patient, (_cause, _evidence) in PATIENTS.items():
    _add_patient(_patient, _cause, _evidence)
