"""What 8.1 asks: a conversation as tokens, and what learners get wrong about it."""

import re
from functools import partial

ROLES = ("system", "user", "assistant")


def encoded(text: str, special: dict, pairs: dict, allowed=()) -> list[int]:
    """Return the tokens of a text: special ones where allowed, pairs of characters, and bytes."""
    ids = []
    for part in re.split("|".join(f"({re.escape(name)})" for name in allowed) or "$^", text):
        if part in allowed:
            ids.append(special[part])
            continue
        i = 0
        while i < len(part or ""):
            pair = part[i : i + 2]
            ids += [pairs[pair]] if pair in pairs else part[i].encode()
            i += 2 if pair in pairs else 1
    return ids


def written(
    conversation: list,
    special: dict,
    pairs: dict,
    *,
    allowed=lambda role, special: (),
    change=lambda text, special: text,
    pieces=lambda text: [text],
    role_as_text: bool = False,
    all_as_text: bool = False,
    between: str = "",
    ids_of: dict | None = None,
    in_front: bool = False,
    end: str = "each",
    begin: str = "unless assistant",
    skip_empty: bool = False,
) -> list[int]:
    """Return the tokens of a conversation; the switches are what learners get wrong."""
    special = special | (ids_of or {})
    if in_front and conversation[0]["role"] != "system":
        conversation = [{"role": "system", "content": ""}, *conversation]
    if all_as_text:
        text = "".join(f"<|{turn['role']}|>{turn['content']}<|end|>" for turn in conversation)
        ends = conversation[-1]["role"] == "assistant"
        return encoded(text if ends else text + "<|assistant|>", special, pairs)
    ids, (first, *_, last) = [], [conversation[i]["role"] for i in (0, -1)]
    spoken = any(turn["role"] == "assistant" for turn in conversation)
    for i, turn in enumerate(conversation):
        role, text = turn["role"], change(turn["content"], special)
        if skip_empty and not turn["content"]:
            continue
        name = f"<|{role}|>"
        ids += encoded(name, special, pairs) if role_as_text else [special[name]]
        for piece in pieces(text):
            ids += encoded(piece, special, pairs, allowed(role, special))
        is_last = i == len(conversation) - 1
        left_open = end == "but the answer" and is_last and role == "assistant"
        each = end in ("each", "but the answer", "empty answer") and not left_open
        if each or end == role or end == ("last" if is_last else "between"):
            ids.append(special["<|end|>"])
        if begin == "behind users" and role == "user":
            ids.append(special["<|assistant|>"])
        if not is_last:
            ids += encoded(between, special, pairs)
    if (
        begin == "always"
        or (begin == "unless assistant" and last != "assistant")
        or (begin == "after user" and last == "user")
        or (begin == "unless first" and first != "assistant")
        or (begin == "unless spoken" and not spoken)
    ):
        ids.append(special["<|assistant|>"])
    if end == "empty answer" and last != "assistant":
        ids.append(special["<|end|>"])
    return ids


def _removed(text: str, special: dict) -> str:
    for name in special:
        text = text.replace(name, "")
    return text


def _own(role: str, special: dict) -> tuple:
    return (f"<|{role}|>", "<|end|>")


def _but_user(role: str, special: dict) -> tuple:
    return () if role == "user" else tuple(special)


def _but_end(role: str, special: dict) -> tuple:
    return tuple(name for name in special if name != "<|end|>")


TYPED = (
    "A special token that somebody typed got its id, so that anybody can speak in the assistant's "
    "name: in a content, none is allowed."
)
CARD = {"<|system|>": 300, "<|user|>": 301, "<|assistant|>": 302, "<|end|>": 303}
WRONG = [
    (
        {"allowed": lambda role, special: tuple(special)},
        TYPED,
    ),
    (
        {"allowed": _but_end},
        TYPED,
    ),
    (
        {"allowed": _own},
        "A turn may still be ended by what is typed in it: the token of its own role, and "
        "`<|end|>`, aren't allowed in a content either.",
    ),
    (
        {"allowed": _but_user},
        "The user's content gives no special token, but that of the others does: an assistant "
        "repeats what it has read, and a system's text may come from a file.",
    ),
    (
        {"change": _removed},
        "What looked like a special token is gone from the text: somebody may ask what `<|end|>` "
        "means.",
    ),
    (
        {"change": lambda text, special: text.replace("<|", "< |")},
        "A blank was put into what looks like a special token: the text is another now.",
    ),
    ({"change": lambda text, special: text.strip()}, "`strip` took something from the ends."),
    ({"change": lambda text, special: text.rstrip()}, "`rstrip` took something from the end."),
    ({"change": lambda text, special: text.lstrip()}, "`lstrip` took something from the front."),
    (
        {"pieces": lambda text: text.split("\n")},
        "The line breaks are gone: they belong to the content.",
    ),
    (
        {"pieces": lambda text: text.split(" ")},
        "The blanks are gone: they belong to the content, which is encoded whole.",
    ),
    ({"between": "\n"}, "A line break stands between the turns: nothing does."),
    (
        {"all_as_text": True},
        "All of it is encoded as text, the roles and ends too: the program's own tokens come from "
        "`special`.",
    ),
    ({"ids_of": CARD}, "These are the ids of the card's example: `special` says which they are."),
    ({"in_front": True}, "A system's turn is put in front where there is none."),
    (
        {"pieces": lambda text: list(text)},
        "`encode` got one character at a time; it joins some of them, if it gets them together.",
    ),
    (
        {"pieces": lambda text: text.splitlines(True)},
        "`encode` got one line at a time; it joins some characters across a line's end.",
    ),
    (
        {"role_as_text": True},
        "The roles' tokens are encoded as text: the program's own come from `special`.",
    ),
    ({"end": "last"}, "Only the last turn has its `<|end|>`: each of them has."),
    (
        {"end": "empty answer"},
        "Behind the last `<|assistant|>` stands `<|end|>`: the answer is to begin there.",
    ),
    ({"end": "none"}, "No turn has its `<|end|>`."),
    (
        {"end": "between"},
        "`<|end|>` stands between the turns, and the last one lacks it: it has an end, too.",
    ),
    (
        {"end": "but the answer"},
        "An assistant's turn that is the last one is left open: it is finished, and has its end.",
    ),
    (
        {"end": "assistant"},
        "Only the assistant's turns end with `<|end|>`: those of the others do, too.",
    ),
    (
        {"begin": "behind users"},
        "`<|assistant|>` stands behind every turn of a user: it begins an answer, behind the last "
        "turn.",
    ),
    (
        {"begin": "unless first"},
        "The first turn decides whether the assistant is asked: the last one does.",
    ),
    (
        {"begin": "unless spoken"},
        "The assistant isn't asked where it has spoken before: the last turn alone decides.",
    ),
    ({"begin": "never"}, "The token with which the assistant's answer begins is missing."),
    (
        {"begin": "always"},
        "Where the last turn is the assistant's, it was asked for another one behind it.",
    ),
    (
        {"begin": "after user"},
        "An answer is asked for behind any last turn but the assistant's, a system's too.",
    ),
    ({"skip_empty": True}, "A turn with an empty content is a turn: its role and its end stay."),
]
WRONGLY = [(partial(written, **switches), hint) for switches, hint in WRONG]
