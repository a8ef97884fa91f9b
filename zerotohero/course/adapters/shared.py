"""What adapters say of an answer, in words: of what it raised, and of what it returned."""


def kind_of(error: Exception) -> str:
    """Return the name of an error's class, and "ValueError" for every kind of that one."""
    return "ValueError" if isinstance(error, ValueError) else type(error).__name__


def what_came(value: object) -> str:
    """Return what an answer returned, in words: "nothing", "a list", "an int"."""
    name = type(value).__name__
    return "nothing" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def pair(value: object, needed: str) -> list:
    """Return the two things that an answer returned; TypeError with what was needed, if not two."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{needed} are needed, and {what_came(value)} was returned")
    return list(value)
