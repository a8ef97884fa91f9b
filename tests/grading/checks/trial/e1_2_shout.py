"""1.2 of the trial lecture."""

from zerotohero.course.checks.trial.shared import trial

from zerotohero.course.exercise import expect

shout = trial("1.2", "shout")


@shout.case("a word", points=2, adapter="shout", inputs={"word": "emma", "_loud": "EMMA"})
def word_in_capitals(given, got):
    expect("shout(word)", got["word"], given["_loud"])
