"""Wrong answers to 8.1, a chat template."""

from misconceptions import wrong

ROLES = ("system", "user", "assistant")


def chatting(
    content=lambda text, role, special, encode: encode(text, set()),
    role_token=lambda role, special, encode: [special[f"<|{role}|>"]],
    ends=lambda i, conversation: True,
    begins=lambda last: last != "assistant",
    known=lambda role, special: role in ROLES,
    error=ValueError,
    kept=lambda turn: True,
):
    """Return chat_ids with one thing wrong."""

    def chat_ids(conversation, special, encode):
        ids = []
        for i, turn in enumerate(conversation):
            role = turn["role"]
            if not known(role, special):
                raise error(f"{role} is no role")
            if kept(turn):
                ids += role_token(role, special, encode)
                ids += content(turn["content"], role, special, encode)
                ids += [special["<|end|>"]] * ends(i, conversation)
        return ids + [special["<|assistant|>"]] * begins(conversation[-1]["role"])

    return chat_ids


@wrong("8.1", "speak in the assistant's name: in a content, none is allowed")
def one_text_of_all():
    def chat_ids(conversation, special, encode):
        text = ""
        for turn in conversation:
            if turn["role"] not in ROLES:
                raise ValueError(turn["role"])
            text += f"<|{turn['role']}|>{turn['content']}<|end|>"
        if conversation[-1]["role"] != "assistant":
            text += "<|assistant|>"
        return encode(text, set(special))

    return chat_ids


@wrong("8.1", "A turn may still be ended by what is typed in it")
def turn_by_turn():
    def content(text, role, special, encode):
        return encode(text, {f"<|{role}|>", "<|end|>"})

    return chatting(content)


@wrong("8.1", "an assistant repeats what it has read")
def only_users_are_distrusted():
    def content(text, role, special, encode):
        return encode(text, set() if role == "user" else set(special))

    return chatting(content)


@wrong("8.1", "What looked like a special token is gone")
def removed():
    def content(text, role, special, encode):
        for name in special:
            text = text.replace(name, "")
        return encode(text, set())

    return chatting(content)


@wrong("8.1", "A blank was put into what looks like")
def escaped():
    return chatting(lambda text, role, special, encode: encode(text.replace("<|", "< |"), set()))


@wrong("8.1", "None of these conversations is refused")
def refused():
    def content(text, role, special, encode):
        if any(name in text for name in special):
            raise ValueError("special tokens are not allowed")
        return encode(text, set())

    return chatting(content)


@wrong("8.1", "`strip` took something from the ends")
def stripped():
    return chatting(lambda text, role, special, encode: encode(text.strip(), set()))


@wrong("8.1", "one character at a time")
def by_characters():
    def content(text, role, special, encode):
        return [i for c in text for i in encode(c, set())]

    return chatting(content)


@wrong("8.1", "one line at a time")
def by_lines():
    def content(text, role, special, encode):
        return [i for line in text.splitlines(True) for i in encode(line, set())]

    return chatting(content)


@wrong("8.1", "The roles' tokens are encoded as text")
def roles_as_text():
    return chatting(role_token=lambda role, special, encode: encode(f"<|{role}|>", set()))


@wrong("8.1", "No turn has its `<|end|>`")
def without_ends():
    return chatting(ends=lambda i, conversation: False)


@wrong("8.1", "the last one lacks it: it has an end, too")
def ends_between():
    return chatting(ends=lambda i, conversation: i < len(conversation) - 1)


@wrong("8.1", "that is the last one is left open")
def open_answer():
    def ends(i, conversation):
        return i < len(conversation) - 1 or conversation[i]["role"] != "assistant"

    return chatting(ends=ends)


@wrong("8.1", "Only the assistant's turns end")
def ends_of_the_assistant():
    return chatting(ends=lambda i, conversation: conversation[i]["role"] == "assistant")


@wrong("8.1", "with which the assistant's answer begins is missing")
def nobody_answers():
    return chatting(begins=lambda last: False)


@wrong("8.1", "it was asked for another one behind it")
def always_answered():
    return chatting(begins=lambda last: True)


@wrong("8.1", "a system's too")
def users_are_answered():
    return chatting(begins=lambda last: last == "user")


@wrong("8.1", "A turn with an empty content is a turn")
def empty_turns_dropped():
    return chatting(kept=lambda turn: turn["content"])


@wrong("8.1", "`special` knows more texts than those of the three roles")
def whatever_is_special():
    return chatting(known=lambda role, special: f"<|{role}|>" in special)


@wrong("8.1", "as if it were one of the three, or left out")
def strangers_left_out():
    def chat_ids(conversation, special, encode):
        known = [turn for turn in conversation if turn["role"] in ROLES]
        return chatting()(known, special, encode)

    return chat_ids


@wrong("8.1", "The error has another type")
def another_error():
    return chatting(error=KeyError)


@wrong("8.1", "which may be empty")
def encode_with_a_text_alone():
    return chatting(lambda text, role, special, encode: encode(text))


@wrong("8.1", "puts in each of them")
def nested():
    return chatting(lambda text, role, special, encode: [encode(text, set())])


@wrong("8.1", "The keys of `special` are whole texts")
def bare_names():
    return chatting(role_token=lambda role, special, encode: [special[role]])


@wrong("8.1", "`rstrip` took something")
def stripped_behind():
    return chatting(lambda text, role, special, encode: encode(text.rstrip(), set()))


@wrong("8.1", "`lstrip` took something")
def stripped_in_front():
    return chatting(lambda text, role, special, encode: encode(text.lstrip(), set()))


@wrong("8.1", "The line breaks are gone")
def without_line_breaks():
    def content(text, role, special, encode):
        return [token for line in text.split("\n") for token in encode(line, set())]

    return chatting(content)


@wrong("8.1", "The blanks are gone")
def word_by_word():
    def content(text, role, special, encode):
        return [token for word in text.split(" ") for token in encode(word, set())]

    return chatting(content)


@wrong("8.1", "A line break stands between the turns")
def lines_between():
    def token(role, special, encode):
        return [special[f"<|{role}|>"]]

    def chat_ids(conversation, special, encode):
        turns = [chatting(begins=lambda last: False)([t], special, encode) for t in conversation]
        ids = turns[0] + [i for turn in turns[1:] for i in encode("\n", set()) + turn]
        asked = conversation[-1]["role"] != "assistant"
        return ids + token("assistant", special, encode) * asked

    return chat_ids


@wrong("8.1", "All of it is encoded as text")
def all_as_text():
    all_at_once = one_text_of_all()

    def chat_ids(conversation, special, encode):
        return all_at_once(conversation, [], encode)

    return chat_ids


@wrong("8.1", "the ids of the card's example")
def ids_of_the_card():
    ids = {"<|system|>": 300, "<|user|>": 301, "<|assistant|>": 302, "<|end|>": 303}
    return lambda conversation, special, encode: chatting()(conversation, ids, encode)


@wrong("8.1", "A system's turn is put in front")
def system_in_front():
    def chat_ids(conversation, special, encode):
        if conversation[0]["role"] != "system":
            conversation = [{"role": "system", "content": ""}, *conversation]
        return chatting()(conversation, special, encode)

    return chat_ids


@wrong("8.1", "Only the last turn has its `<|end|>`")
def one_end():
    return chatting(ends=lambda i, conversation: i == len(conversation) - 1)


@wrong("8.1", "the answer is to begin there")
def empty_answer():
    def chat_ids(conversation, special, encode):
        asked = conversation[-1]["role"] != "assistant"
        return chatting()(conversation, special, encode) + [special["<|end|>"]] * asked

    return chat_ids


@wrong("8.1", "stands behind every turn of a user")
def behind_each_user():
    def chat_ids(conversation, special, encode):
        ids = []
        for turn in conversation:
            ids += chatting(begins=lambda last: last == "user")([turn], special, encode)
        return ids

    return chat_ids


@wrong("8.1", "The first turn decides")
def first_turn_decides():
    def chat_ids(conversation, special, encode):
        asked = conversation[0]["role"] != "assistant"
        return chatting(begins=lambda last: asked)(conversation, special, encode)

    return chat_ids


@wrong("8.1", "where it has spoken before")
def only_before_it_has_spoken():
    def chat_ids(conversation, special, encode):
        asked = all(turn["role"] != "assistant" for turn in conversation)
        return chatting(begins=lambda last: asked)(conversation, special, encode)

    return chat_ids


@wrong("8.1", "A token's text stands among the ids")
def texts_for_ids():
    return chatting(role_token=lambda role, special, encode: [f"<|{role}|>"])


@wrong("8.1", "is the same in every call")
def one_list_for_all():
    def chat_ids(conversation, special, encode, ids=[]):  # noqa: B006
        ids += chatting()(conversation, special, encode)
        return ids

    return chat_ids


@wrong("8.1", "Only the role of the first turn")
def first_role_alone():
    def chat_ids(conversation, special, encode):
        if conversation[0]["role"] not in ROLES:
            raise ValueError("no role")
        return chatting(known=lambda role, special: True)(conversation, special, encode)

    return chat_ids


@wrong("8.1", "Only the role of the last turn")
def last_role_alone():
    def chat_ids(conversation, special, encode):
        if conversation[-1]["role"] not in ROLES:
            raise ValueError("no role")
        return chatting(known=lambda role, special: True)(conversation, special, encode)

    return chat_ids
