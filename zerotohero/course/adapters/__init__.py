"""How a learner's code is called: one module a lecture, one function a kind of question.

An adapter takes the learner's answers and then the case's inputs as keywords, calls the answers,
and returns a dict of plain values. It enters the sandbox with the code of strangers, so it holds
no reference answers and imports nothing of `zerotohero.course` but other adapters.
"""
