"""`zerotohero chat`: talk to SmolLM2 or to a run's model, in the terminal or on a page.

`partner.py` says what can be talked to, `reader.py` lets it write, `conversation.py` keeps the
turns; `terminal.py`, `web.py` and the notebook's widget show them.
"""
