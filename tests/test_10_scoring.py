"""Completion scoring, perplexity and bits a byte: by hand, and equal to `lm-eval`'s figures.

`lm-eval` itself is asked where it is installed; what it said stands in data/lm_eval.json, which
`python tests/test_10_scoring.py` writes, so that its figures are held everywhere.
"""

import functools
import json
import math
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from zerotohero import scoring, tokenizer_files
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.scoring import Question, clean, completion, hellaswag, score_tokens
from zerotohero.text import BytePairTokens, Characters
from zerotohero.tokenizer import END, Tokenizer

SAID = Path(__file__).parent / "data" / "lm_eval.json"
PEOPLE = ["A man", "A woman", "The old dog", "Two girls", "Someone"]
DOES = ["is seen washing a car", "plays the violin", "runs down a hill", "cuts some wood"]
THEN = ["the camera pans away.", "sits down and smiles to the crowd.", "falls [step] over.", "he"]
# As HellaSwag's: marks of a website, casing, a context without a second part, labels as text.
ROWS = [
    {
        "activity_label": ["Washing cars", "Music [substeps] at home"][i % 2],
        "ctx_a": f"{PEOPLE[i % 5]} {DOES[i % 4]}. [header] How [title] Then go",
        "ctx_b": ["he THEN", "", "the dog", " "][i % 4],
        "endings": [f"{PEOPLE[(i + j) % 5].lower()} {THEN[(i * j + j) % 4]}" for j in range(4)],
        "label": str((i * 5 + 1) % 4) if i % 2 else (i * 5 + 1) % 4,
    }
    for i in range(12)
]
TEXT = " ".join(f"{PEOPLE[i % 5]} {DOES[i * 3 % 4]}; {THEN[i % 4]}" for i in range(60))
SENTENCES = [TEXT[:7], TEXT[20:300], TEXT]


@functools.cache
def words() -> BytePairTokens:
    return BytePairTokens(Tokenizer.learn(TEXT, 330, special=[END], progress=False))


def opinionated(tokenizer, block_size: int = 64) -> GPT:
    """A random model whose likelihoods differ much: its weights are larger than usual."""
    config = GPTConfig(len(tokenizer), block_size, n_layer=2, n_head=2, n_embd=32)
    model = GPT(config, torch.Generator().manual_seed(3))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    return model.eval()


class Table(torch.nn.Module):
    """The probabilities of the next token depend on the last one alone: `rows` of 3."""

    config = GPTConfig(3, 6, 1, 1, 4)

    def __init__(self):
        super().__init__()
        rows = [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]]
        self.table = torch.nn.Parameter(torch.tensor(rows).log())

    def forward(self, idx):
        return self.table[idx]


ABC = Characters("abc")  # a, b, c are 0, 1, 2


# --- by hand -------------------------------------------------------------------------------------


def test_a_completions_likelihood_by_hand():
    """P(c | b) · P(a | c): what stands in the context counts nothing."""
    pair = (torch.tensor([0, 1]), torch.tensor([2, 0]))
    assert float(score_tokens(Table(), [pair])) == pytest.approx(math.log(0.7 * 0.6))


def test_rows_of_any_lengths_are_scored_as_if_alone():
    g = torch.Generator().manual_seed(0)
    pairs = [
        (torch.randint(3, (a,), generator=g), torch.randint(3, (b,), generator=g))
        for a, b in [(1, 1), (5, 2), (2, 4), (9, 1), (1, 6), (3, 3), (30, 6)]
    ]
    model = GPT(GPTConfig(3, 6, 2, 2, 16), torch.Generator().manual_seed(1))
    alone = [float(score_tokens(model, [pair])) for pair in pairs]
    for before, after, said in ((*pair, one) for pair, one in zip(pairs, alone, strict=True)):
        row = torch.cat([before, after])[-7:]
        logs = F.log_softmax(model(row[None, :-1])[0].detach(), -1)[-len(after) :]
        assert said == pytest.approx(float(logs[range(len(after)), after].sum()), abs=1e-5)
    for batch_size in (2, 3, 7, 50):
        together = score_tokens(model, pairs, batch_size=batch_size)
        assert together.tolist() == pytest.approx(alone, abs=1e-5)


def test_the_model_is_left_as_it_was_and_dropout_is_off():
    model = GPT(GPTConfig(3, 6, 2, 2, 16, dropout=0.5), torch.Generator().manual_seed(1)).train()
    model.transformer.h[0].eval()
    pair = [(torch.tensor([0, 1]), torch.tensor([2]))]
    assert float(score_tokens(model, pair)) == float(score_tokens(model, pair))
    assert model.training and not model.transformer.h[0].training
    assert all(p.grad is None for p in model.parameters())


def test_what_cannot_be_scored_is_said():
    one, none, long = torch.tensor([0]), torch.tensor([], dtype=torch.long), torch.zeros(7).long()
    for pair in ((one, none), (none, one), (one, long)):
        with pytest.raises(ValueError, match="the model's context holds 6"):
            score_tokens(Table(), [pair])
    assert score_tokens(Table(), []).tolist() == []


# --- text into tokens ----------------------------------------------------------------------------


def test_the_ending_begins_with_its_blank():
    before, after = completion(Characters(" abc"), "ab", "c a")
    assert (before.tolist(), after.tolist()) == ([1, 2], [0, 3, 0, 1])


def test_blanks_behind_the_context_are_the_endings():
    gpt2 = BytePairTokens(Tokenizer.named("gpt2"))
    before, after = completion(gpt2, "The dog  ", "barks")
    assert gpt2.decode(before) == "The dog"
    assert gpt2.decode(after) == "   barks"


class Greedy:
    """Takes the longest piece that fits, as a vocabulary does that knows ": " and not "x:"."""

    pieces = ("x", ": ", ":", " ", "y")

    def encode(self, text: str) -> torch.Tensor:
        found = []
        while text:
            found.append(next(i for i, piece in enumerate(self.pieces) if text.startswith(piece)))
            text = text[len(self.pieces[found[-1]]) :]
        return torch.tensor(found)


def test_a_token_across_the_seam_is_the_endings():
    """Cut behind as many tokens as the context has alone, it would be scored by neither."""
    before, after = completion(Greedy(), "x:", "y")
    assert Greedy().encode("x:").tolist() == [0, 2]
    assert (before.tolist(), after.tolist()) == ([0], [1, 4])


def test_without_a_context_a_document_begins():
    pieces = words()
    before, after = completion(pieces, "", "dog")
    assert before.tolist() == [pieces.end_of_text] and pieces.decode(after) == " dog"
    with pytest.raises(ValueError, match="longer context"):
        completion(Characters(" abc"), "", "a")


# --- multiple choice -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("How to swim [title] Go in. [step] Move", "How to swim. Go in. Move"),
        (" blanks  at the ends ", "blanks at the ends"),
        ("[header] A. [title] B", " A.. B"),
        ("A [title] B", "A. B"),
        ("plain", "plain"),
    ],
)
def test_hellaswags_marks_are_cleaned_away(given, cleaned):
    assert clean(given) == cleaned


def test_hellaswags_context_is_put_together_with_its_casing():
    row = {
        "activity_label": "Sumo",
        "ctx_a": "Two men wrestle.",
        "ctx_b": "the BIG one",
        "endings": ["[step] falls.", "wins"],
        "label": "1",
    }
    assert hellaswag(row) == Question("Sumo: Two men wrestle. The big one", (" falls.", "wins"), 1)
    assert hellaswag(row | {"ctx_b": ""}).context == "Sumo: Two men wrestle."


def test_sum_and_means_prefer_different_endings():
    """Three letters and a blank that are independent: 1/4, 3/20, 1/10, and 1/2."""

    class Independent(Table):
        config = GPTConfig(4, 8, 1, 1, 4)

        def forward(self, idx):
            return torch.tensor([0.5, 0.25, 0.15, 0.1]).log().expand(*idx.shape, 4)

    model, tokenizer = Independent(), Characters(" abc")
    short, long = scoring.score(model, tokenizer, [("b", "c"), ("b", "aaaa")])
    assert short.total == pytest.approx(math.log(0.5 * 0.1))
    assert long.total == pytest.approx(math.log(0.5 * 0.25**4))
    assert (short.tokens, long.tokens) == (2, 5)  # with the blank; which is no character of theirs
    assert long.a_token == pytest.approx(math.log(0.5 * 0.25**4) / 5)
    assert long.a_character == pytest.approx(math.log(0.5 * 0.25**4) / 4)
    # By the sum the short one wins twice; by tokens once, since −2.08 / 2 > −6.24 / 5 > −3 / 2.
    questions = [Question("b", ("a", "aaaa"), 1), Question("b", ("c", "aaaa"), 1)]
    its = scoring.multiple_choice(model, tokenizer, questions)
    assert (its.questions, its.by_sum, its.by_token, its.by_character) == (2, 0, 0.5, 1)
    assert its.chance_error == 0
    half = scoring.Accuracy(101, 0, 0, 0.5)
    assert half.chance_error == pytest.approx(0.05)


def test_a_random_model_is_right_by_chance():
    tokenizer = words()
    questions = [hellaswag(row) for row in ROWS]
    rights = [
        scoring.multiple_choice(
            opinionated(tokenizer),
            tokenizer,
            [Question(q.context, q.endings, label) for q in questions],
        ).by_character
        for label in range(4)
    ]
    assert sum(rights) == pytest.approx(1)  # each answer is right for one of the four labels


def test_questions_are_read_from_both_forms(tmp_path):
    plain = {"context": "Two and two are", "endings": ["four.", "five."], "label": 0}
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, [ROWS[0], plain])) + "\n\n")
    first, second = scoring.read_questions(path)
    assert first == hellaswag(ROWS[0])
    assert second == Question("Two and two are", ("four.", "five."), 0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2, is no question: Expecting"),
        ("3", "line 2, is no question"),
        ('{"context": "a", "label": 0}', "line 2, is no question: there is no 'endings'"),
        ('{"context": "a", "endings": "ab", "label": 0}', "endings are a list of texts"),
        ('{"context": "a", "endings": ["b", ""], "label": 0}', "none of them empty"),
        ('{"context": "a", "endings": ["b", "c"], "label": 2}', "label is 2"),
        ('{"context": "a", "endings": ["b", "c"], "label": ""}', "line 2, is no question"),
        ('{"context": 5, "endings": ["b", "c"], "label": 1}', "line 2, is no question"),
        ('{"context": "a", "endings": [1, 2], "label": 1}', "line 2, is no question"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path, line, says):
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + line + "\n")
    with pytest.raises(ValueError, match="is no question") as error:
        scoring.read_questions(path)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_no_questions_are_no_test(tmp_path):
    (tmp_path / "q.jsonl").write_text("\n\n")
    with pytest.raises(ValueError, match="holds no questions"):
        scoring.read_questions(tmp_path / "q.jsonl")
    with pytest.raises(ValueError, match="no questions"):
        scoring.multiple_choice(Table(), ABC, [])


# --- whole texts ---------------------------------------------------------------------------------


def test_perplexity_and_bits_by_hand():
    """ "abca": 0.25 · 0.7 · 0.6 behind the a."""
    tokens = ABC.encode("abca")
    assert scoring.perplexity(Table(), tokens) == pytest.approx((0.25 * 0.7 * 0.6) ** (-1 / 3))
    bits = -math.log2(0.25 * 0.7 * 0.6) / 3  # the first letter isn't scored, nor counted
    assert scoring.bits_per_byte(Table(), ABC, "abca") == pytest.approx(bits)


@pytest.mark.parametrize("stride", [1, 2, 3, 6, None])
@pytest.mark.parametrize("length", [2, 5, 7, 8, 20])
def test_windows_score_each_token_once_behind_as_much_as_was_said(stride, length):
    tokens = torch.arange(length)
    pieces = list(scoring.windows(tokens, 6, stride or 6))
    assert torch.cat([after for _, after in pieces]).equal(tokens[1:])
    for number, (before, after) in enumerate(pieces):
        row = torch.cat([before, after])
        assert len(row) <= 7 and row.equal(torch.arange(int(row[0]), int(row[0]) + len(row)))
        if number:
            assert len(after) <= (stride or 6) and len(row) == 7


def test_a_stride_of_one_is_each_token_behind_the_longest_context():
    model = GPT(GPTConfig(3, 6, 2, 2, 16), torch.Generator().manual_seed(1)).eval()
    tokens = torch.randint(3, (20,), generator=torch.Generator().manual_seed(2))
    total = 0.0
    for i in range(1, 20):
        logits = model(tokens[None, max(0, i - 6) : i])[0, -1].detach()
        total += float(F.log_softmax(logits, -1)[tokens[i]])
    assert scoring.log_likelihood(model, tokens, 1) == pytest.approx(total, abs=1e-4)
    assert scoring.log_likelihood(model, tokens, 6) != pytest.approx(total, abs=1e-2)


def test_bits_per_byte_count_bytes_and_the_first_token():
    tokenizer = words()
    model, text = opinionated(tokenizer), "A man, naïve — runs."
    tokens = torch.cat([torch.tensor([tokenizer.end_of_text]), tokenizer.encode(text)])
    logs = F.log_softmax(model(tokens[None, :-1])[0], -1)
    total = float(logs[range(len(tokens) - 1), tokens[1:]].sum().detach())
    assert len(text.encode()) == len(text) + 3
    expected = -total / math.log(2) / len(text.encode())
    assert scoring.bits_per_byte(model, tokenizer, text) == pytest.approx(expected, rel=1e-5)


def test_a_stride_or_text_that_cannot_be_is_said():
    for stride in (0, 7):
        with pytest.raises(ValueError, match="from 1 to the context, 6"):
            scoring.perplexity(Table(), ABC.encode("abca"), stride)
    for text in ("", "a"):
        with pytest.raises(ValueError, match="two tokens or more"):
            scoring.bits_per_byte(Table(), ABC, text)


# --- equal to lm-eval ----------------------------------------------------------------------------


def ours() -> dict:
    """The figures that `lm_evals` has too."""
    tokenizer = words()
    model = opinionated(tokenizer)
    questions = [hellaswag(row) for row in ROWS]
    scores = scoring.score(
        model, tokenizer, [(q.context, e) for q in questions for e in q.endings], batch_size=5
    )
    accuracy = scoring.multiple_choice(model, tokenizer, questions)
    bits = [scoring.bits_per_byte(model, tokenizer, text) for text in SENTENCES]
    return {
        "likelihoods": [one.total for one in scores],
        "acc": accuracy.by_sum,
        "acc_norm": accuracy.by_character,
        "texts": [-b * math.log(2) * len(t.encode()) for b, t in zip(bits, SENTENCES, strict=True)],
    }


def lm_evals(folder: Path) -> dict:
    """What `lm-eval` says of the same model, by its own task for the same rows in a file."""
    import transformers
    from lm_eval import evaluator
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks.hellaswag.utils import process_docs

    tokenizer = words()
    opinionated(tokenizer).save_pretrained(folder / "model")
    tokenizer_files.save(tokenizer.tokenizer, folder / "model")
    model = transformers.GPT2LMHeadModel.from_pretrained(folder / "model")
    pieces = transformers.AutoTokenizer.from_pretrained(folder / "model")
    lm = HFLM(pretrained=model, tokenizer=pieces, batch_size=3, device="cpu", max_length=64)
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row | {"label": str(row["label"])}) for row in ROWS))
    task = ConfigurableTask(
        config={
            "task": "local_hellaswag",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"validation": str(path)}},
            "output_type": "multiple_choice",
            "validation_split": "validation",
            "process_docs": process_docs,
            "doc_to_text": "{{query}}",
            "doc_to_target": "{{label}}",
            "doc_to_choice": "choices",
            "metric_list": [
                {"metric": name, "aggregation": "mean", "higher_is_better": True}
                for name in ("acc", "acc_norm")
            ],
        }
    )
    said = evaluator.evaluate(lm, {"local_hellaswag": task}, log_samples=True)
    samples = sorted(said["samples"]["local_hellaswag"], key=lambda sample: sample["doc_id"])
    rolling = [
        Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(SENTENCES)
    ]
    result = said["results"]["local_hellaswag"]
    return {
        "likelihoods": [float(pair[0]) for sample in samples for pair in sample["filtered_resps"]],
        "acc": result["acc,none"],
        "acc_norm": result["acc_norm,none"],
        "texts": [float(total) for total in lm.loglikelihood_rolling(rolling)],
    }


def assert_alike(mine: dict, theirs: dict) -> None:
    assert mine.keys() == theirs.keys()
    for name in mine:
        assert mine[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-3), name


def test_the_figures_are_lm_evals():
    theirs = json.loads(SAID.read_text())
    assert len(theirs["likelihoods"]) == 4 * len(ROWS)
    assert 0 < theirs["acc"] < 1 and theirs["acc"] != theirs["acc_norm"], "measures differ here"
    assert_alike(ours(), theirs)


def test_lm_eval_still_says_so(tmp_path):
    pytest.importorskip("lm_eval")
    assert_alike(lm_evals(tmp_path), json.loads(SAID.read_text()))


if __name__ == "__main__":
    SAID.write_text(json.dumps(lm_evals(Path(sys.argv[1])), indent=1) + "\n")
