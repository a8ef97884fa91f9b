"""What the exercises of lecture 01 share: a hint for a function that was called."""


def call_hint(*names: str) -> dict[str, str]:
    """Return the hint for whoever gives check what a function returned, not the function."""
    call = ", ".join(names)
    return {
        "'(NoneType|tuple|list|Value)' object is not callable": f"Give check the function itself, "
        f"without calling it: check({call})."
    }
