"""Wrong answers to 3.1, contexts and targets."""

import torch

from misconceptions import wrong
from misconceptions.mlp.shared import build


@wrong("3.1", "The end of each word is missing")
def no_end():
    return lambda *given: build(*given, end="")


@wrong("3.1", "already holds the character that it should")
def context_holds_its_target():
    return lambda *given: build(*given, late=True)


@wrong("3.1", "carried from one word into the next")
def context_is_carried_on():
    def build_dataset(words, block_size, stoi):
        X, Y, source, context = [], [], [], [0] * block_size
        for n, word in enumerate(words):
            for s in word + ".":
                X.append(context)
                Y.append(stoi[s])
                source.append(n)
                context = [*context[1:], stoi[s]]
        return torch.tensor(X), torch.tensor(Y), torch.tensor(source)

    return build_dataset


@wrong("3.1", "one and the same list")
def list_changed_in_place():
    def build_dataset(words, block_size, stoi):
        X, Y, source = [], [], []
        for n, word in enumerate(words):
            context = [0] * block_size
            for s in word + ".":
                X.append(context)
                Y.append(stoi[s])
                source.append(n)
                context.pop(0)
                context.append(stoi[s])
        return torch.tensor(X), torch.tensor(Y), torch.tensor(source)

    return build_dataset


@wrong("3.1", "The boundaries stand behind the letters")
def padded_on_the_right():
    def build_dataset(words, block_size, stoi):
        _, Y, source = build(words, block_size, stoi)
        X = []
        for word in words:
            for i in range(len(word) + 1):
                seen = [stoi[s] for s in word[max(0, i - block_size) : i]]
                X.append(seen + [0] * (block_size - len(seen)))
        return torch.tensor(X), Y, source

    return build_dataset


@wrong("3.1", "The newest character stands first")
def newest_first():
    return lambda *given: build(*given, row=lambda context: context[::-1])


@wrong("3.1", "`source` numbers the examples")
def source_counts_examples():
    return lambda *given: build(*given, source="example")


@wrong("3.1", "The word without letters")
def words_without_letters_left_out():
    return lambda words, *given: build([word for word in words if word], *given)


@wrong("3.1", "must be int64")
def contexts_as_floats():
    return lambda *given: build(*given, dtype=torch.float32)


@wrong("3.1", "an example too many")
def boundary_as_first_target():
    return lambda words, *given: build(["." + word for word in words], *given)


@wrong("3.1", "its length is the argument")
def always_three_characters():
    return lambda words, block_size, stoi: build(words, 3, stoi)


@wrong("3.1", "the newest character of the context")
def target_inside_the_context():
    def build_dataset(*given):
        X, _, source = build(*given)
        return X, X[:, -1], source

    return build_dataset


@wrong("3.1", "the position of the character in its word")
def source_counts_characters():
    def build_dataset(words, *given):
        X, Y, _ = build(words, *given)
        return X, Y, torch.cat([torch.arange(len(word) + 1) for word in words])

    return build_dataset


@wrong("3.1", "A name may stand in")
def first_word_of_that_name():
    def build_dataset(words, *given):
        X, Y, source = build(words, *given)
        return X, Y, torch.tensor([words.index(words[n]) for n in source])

    return build_dataset


@wrong("3.1", "Each context has a character too many")
def one_character_more():
    return lambda words, block_size, stoi: build(words, block_size + 1, stoi)


@wrong("3.1", "look them up in `stoi`")
def places_in_the_alphabet():
    def build_dataset(words, block_size, stoi):
        return build(words, block_size, {s: 0 if s == "." else ord(s) - 96 for s in stoi})

    return build_dataset
