"""The chat in the terminal: a line is a turn, /commands aside, and Ctrl-C stops an answer."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from zerotohero.course.chat.conversation import Conversation, checked_temperature
from zerotohero.course.chat.partner import load

HELP = """\
/system TEXT     tell the model how to answer; /system alone shows what it is told
/temperature X   0 is always the likeliest token, higher is more varied; alone shows it
/reset           forget all turns
/quit            leave, as does the end of input (Ctrl-D)
Ctrl-C           stop an answer; what was written stays
A turn that begins with / needs a blank before it."""


class Stopped:
    """While it is entered, Ctrl-C is noted, and nothing else happens."""

    def __enter__(self) -> "Stopped":
        self.noted = False
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, *_) -> None:
        self.noted = True

    def __exit__(self, *_) -> None:
        signal.signal(signal.SIGINT, self._before)


def chat(folder: Path | None = None) -> None:
    """Talk to the model of a run, or to SmolLM2, until /quit or the end of input.

    Raises what `partner.load` does.
    """
    with contextlib.suppress(ImportError):  # Windows has none; elsewhere lines can be edited
        import readline  # noqa: F401
    print("Loading the model …", flush=True)
    conversation = Conversation(load(folder))
    print(f"{conversation.partner.says}\n/help lists the commands, /quit leaves.", flush=True)
    for line in lines():
        if line.strip() == "/quit":
            return
        try:
            if line.startswith("/"):
                print(command(conversation, line))
            else:
                show(conversation, line)
        except ValueError as error:
            print(error)
        except KeyboardInterrupt:  # between two answers
            print()
        sys.stdout.flush()


def lines() -> Iterator[str]:
    """Yield what is typed, line by line, until it ends. Ctrl-C begins a new line."""
    while True:
        try:
            line = input("\n> ")
            if not sys.stdin.isatty():
                print(line)  # so that a transcript shows it
        except KeyboardInterrupt:
            print("\n/quit or Ctrl-D leaves.", end="")
            continue
        except EOFError:
            print()
            return
        yield line


def command(conversation: Conversation, line: str) -> str:
    """Do what a /command says; return what to print. ValueError if there is no such command."""
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if name == "/help":
        return HELP
    if name == "/reset":
        conversation.reset()
        return "All turns are forgotten."
    if name == "/temperature":
        if rest:
            conversation.temperature = checked_temperature(rest)
        return f"The temperature is {conversation.temperature:g}."
    if name == "/system":
        if not conversation.partner.system:
            raise ValueError("This model can't be told how to answer.")
        if rest:
            conversation.system = rest
        if conversation.system is None:
            return "The model is told what it was trained with."
        return f"The model is told: {conversation.system}"
    raise ValueError(f"There is no command {name}; /help lists them.")


def show(conversation: Conversation, text: str) -> None:
    """Print the answer to a turn as it is written, until it ends or Ctrl-C stops it."""
    if conversation.partner.answers and not text.strip():
        return
    with Stopped() as stopped, contextlib.closing(conversation.answer(text)) as answer:
        for said in answer:
            print(said.text, end="", flush=True)
            if said.note:
                print(f"\n({said.note})")
            if stopped.noted:
                kept = (
                    "what was written stays"
                    if conversation.turns[-1]["content"]
                    else ("before the first word: your turn is taken back")
                )
                print(f"\n(Stopped; {kept}.)", end="")
                break
    print()
