"""`zerotohero chat`: the conversation, in the terminal and on the page; SmolLM2 itself once.

The partner is a small GPT whose weights say the alphabet, so each test knows what it must hear.
"""

import dataclasses
from itertools import islice

import pytest
import torch

from chatting import alphabet, answered, briefly, partner, tokenizer
from small import gpt
from zerotohero.course.chat.conversation import Conversation, checked_temperature
from zerotohero.course.chat.reader import CHUNK, Reader

ABC = "abcdefghijklmnopqrstuvwxyz"

# --- reading and writing ------------------------------------------------------------------------


def written(reader: Reader, prompt: list[int], n: int, temperature: float = 0.0) -> list[int]:
    tokens = (token for token in reader.tokens(prompt, temperature) if token is not None)
    return list(islice(tokens, n))


def passes(model, monkeypatch) -> list[int]:
    """The lengths of what the model reads from now on."""
    lengths, forward = [], model.forward

    def counted(idx, *rest, **named):
        lengths.append(idx.shape[1])
        return forward(idx, *rest, **named)

    monkeypatch.setattr(model, "forward", counted)
    return lengths


def test_a_reader_writes_what_generate_does_until_the_context_is_full():
    model = gpt(block_size=32, position="rotary").eval()
    for prompt in ([1, 2, 3], [1, 2, 3, 4, 5, 6], [1, 2, 9], [1]):
        reader = Reader(model, torch.Generator().manual_seed(3))
        once = torch.Generator().manual_seed(3)
        expected = model.generate([prompt], 32 - len(prompt), generator=once)[0]
        assert prompt + written(reader, prompt, 99, 1.0) == expected


def test_what_was_read_is_not_read_again_and_what_differs_is(monkeypatch):
    model = gpt(block_size=32, position="rotary").eval()
    alone = {tuple(p): written(Reader(model), list(p), 4) for p in ([1, 2, 3], [1, 2, 3, 5, 6])}
    reader, lengths = Reader(model), passes(model, monkeypatch)
    assert written(reader, [1, 2, 3], 4) == alone[1, 2, 3]
    assert lengths == [3, 1, 1, 1]
    lengths.clear()
    grown = [1, 2, 3, *alone[1, 2, 3][:2], 7]
    written(reader, grown, 1)
    assert lengths == [1], "the first two of its tokens were read before"
    lengths.clear()
    assert written(reader, [1, 2, 3, 5, 6], 4) == alone[1, 2, 3, 5, 6]
    assert lengths[0] <= 2
    lengths.clear()
    assert written(reader, [1, 2, 3], 4) == alone[1, 2, 3] and lengths[0] == 1


def test_a_long_prompt_is_read_in_parts_between_which_one_can_stop(monkeypatch):
    model = gpt(block_size=3 * CHUNK, position="rotary").eval()
    lengths = passes(model, monkeypatch)
    reading = Reader(model).tokens([1, 2] * CHUNK, 0)
    assert [next(reading), next(reading)] == [None, None] and lengths == [CHUNK, CHUNK]
    assert next(reading) is not None


# --- the conversation ---------------------------------------------------------------------------


def test_a_conversation_keeps_what_was_said():
    talk = Conversation(partner())
    assert answered(talk, "Say it.") == (ABC, [])
    assert talk.turns == [
        {"role": "user", "content": "Say it."},
        {"role": "assistant", "content": ABC},
    ]
    talk.reset()
    assert talk.turns == []


def test_the_model_reads_all_turns_and_what_it_is_told_before_them():
    seen = []
    mine = partner()
    mine = dataclasses.replace(mine, prompt=lambda turns: seen.append(turns) or mine_chat(turns))
    talk = Conversation(mine)
    answered(talk, "one")
    talk.system = "Be brief."
    answered(talk, "two")
    assert [turn["role"] for turn in seen[0]] == ["user"]
    assert [(turn["role"], turn["content"]) for turn in seen[-1]] == [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", ABC),
        ("user", "two"),
    ]


def mine_chat(turns):
    return tokenizer().chat(turns)


def test_an_answer_that_is_stopped_stays_as_far_as_it_was_shown():
    talk = Conversation(partner())
    answer = talk.answer("Say it.")
    shown = ""
    for said in answer:
        shown += said.text
        if shown.endswith("d"):
            break
    answer.close()
    assert talk.turns[-1] == {"role": "assistant", "content": "abcd"}
    assert answered(talk, "Again.")[0] == ABC


def test_a_stop_before_the_first_word_takes_the_question_back():
    talk = Conversation(partner())
    answer = talk.answer("Say it.")
    assert next(answer).text == ""
    answer.close()
    assert talk.turns == []


def test_an_answer_without_a_word_is_said_and_not_kept():
    talk = Conversation(partner(last="\n"))
    text, notes = answered(talk, "Say it.")
    assert text == "" and talk.turns == []
    assert notes == ["It has ended without a word, so your turn is taken back."]


def test_a_full_context_forgets_the_oldest_turns_and_says_so():
    talk = Conversation(partner(block_size=300))
    notes = [answered(talk, f"question {i}")[1] for i in range(5)]
    assert notes[0] == [] and notes[-1] == [
        "The context of 300 tokens is full: the 2 oldest turns are no longer read."
    ]
    assert len(talk.turns) == 10, "what was said stays to be seen"
    assert len(talk._read([])) + 300 // 4 <= 300 + len(ABC) + 60
    seen = bytes(token - 3 for token in talk.reader.read if token > 2).decode()
    assert "question 0" not in seen and "question 4" in seen and seen.startswith("system\nYou are")


def test_a_context_that_fills_up_within_an_answer_forgets_too_and_then_ends():
    talk = Conversation(briefly(partner(block_size=300, last=None), 150))
    assert answered(talk, "one")[0] == (ABC * 6)[:150]
    text, notes = answered(talk, "two")
    assert text == (ABC * 6)[:150], "the answer goes on where it was, after a turn less was read"
    assert notes[0].endswith("the 2 oldest turns are no longer read.")
    assert notes[1:] == ["The answer is cut off after 150 tokens."]
    talk = Conversation(partner(block_size=200, last=None))
    text, notes = answered(talk, "three")
    assert notes == ["The context of 200 tokens is full, so the answer ends here."]
    assert text == (ABC * 9)[: len(text)] and len(text) > 50


def test_what_is_too_long_to_read_is_refused_and_leaves_nothing():
    talk = Conversation(partner(block_size=200))
    answered(talk, "hello")
    before = list(talk.turns)
    with pytest.raises(ValueError, match=r"makes 597 tokens, .* at most 199: shorten it"):
        answered(talk, "x" * 500)
    assert talk.turns == before and talk.forgotten == 0
    assert answered(talk, "hello")[0] == ABC


def test_a_character_of_several_bytes_comes_whole():
    model = alphabet()
    euro, table = [3 + byte for byte in "€".encode()], model.transformer.wte.weight
    with torch.no_grad():
        for before, after in zip([3 + ord("\n"), *euro], [*euro, 2], strict=True):
            model.lm_head.weight[after] += 5 * model.transformer.ln_f(table[before])
    talk = Conversation(dataclasses.replace(partner(), model=model))
    assert [said.text for said in talk.answer("Price?") if said.text] == ["€"]


@pytest.mark.parametrize("text", ["x", "-1", "nan", "inf", "1e999", ""])
def test_what_is_no_temperature_is_named(text):
    with pytest.raises(ValueError, match="is no temperature: give 0"):
        checked_temperature(text)


def test_a_temperature_is_a_number_from_0_on():
    assert [checked_temperature(text) for text in ("0", "0.7", "0,7", "2")] == [0, 0.7, 0.7, 2]
