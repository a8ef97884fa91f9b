"""The sums of 8.10 and a model that half knows them; its loss, and what comes of wrong ones."""

from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache, partial

import numpy as np

from zerotohero import IGNORED

V, QUESTION, ANSWER = 12, 6, 3  # tokens; 47 + 85 = is six of them, and 231 three
PLUS, EQUALS = 10, 11
LEARNED, PROMPTS, UNSEEN = 3000, 5000, 1000  # of the 10,000 sums: of the model, and of the learner


def rows_of(sums: np.ndarray) -> np.ndarray:
    """Return (N, 9), of numbers 100 a + b: a + b = and the answer, its units first."""
    a, b = divmod(sums, 100)
    columns = [a // 10, a % 10, PLUS + 0 * a, b // 10, b % 10, EQUALS + 0 * a]
    answer = [(a + b) // 10**i % 10 for i in range(ANSWER)]
    return np.stack([*columns, *answer], 1)


@cache
def undertrained(seed: int = 1) -> tuple[dict, dict, np.ndarray]:
    """Return a GPT that has begun to learn sums, its configuration and weights, and the other sums.

    Its training ends as soon as two in five of the answers that it draws are right.
    """
    import torch  # here, as everywhere in checks: most commands need none

    from zerotohero.gpt import GPT
    from zerotohero.training import Trainer
    from zerotohero.training.recipes import RECIPES

    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(10_000, generator=generator).numpy()
    rows = torch.tensor(rows_of(order[:LEARNED]))
    X, Y = rows[:, :-1], rows[:, 1:].clone()
    Y[:, : QUESTION - 1] = IGNORED
    recipe = RECIPES["adder"]
    sizes = replace(recipe.model, vocab_size=V, block_size=QUESTION + ANSWER, n_embd=48)
    model = GPT(sizes, generator)
    plan = replace(recipe.train, steps=400, eval_every=0, log_every=4, seed=seed)

    class Enough(Exception):
        pass

    def enough(_: Trainer) -> None:
        asked = rows[:300, :QUESTION]
        drawn = model.generate(asked, ANSWER, generator=torch.Generator().manual_seed(seed))
        if (torch.tensor(drawn) == rows[:300]).all(1).float().mean() >= 0.4:
            raise Enough

    trainer = Trainer(plan, model, (X, Y), device="cpu", progress=False)
    trainer.on("log", enough)
    with suppress(Enough):
        trainer.run()
    weights = {name: w.numpy() for name, w in model.state_dict().items()}
    return asdict(model.config), weights, order[LEARNED:]


def dealt_out(rng: np.random.Generator) -> dict:
    """Return the model and sums, with tokens that mean something else each time."""
    config, weights, others = undertrained()
    meaning = rng.permutation(V)  # of the model's tokens: what stands for each
    rows = meaning[rows_of(rng.permutation(others)[: PROMPTS + UNSEEN])]
    tables = ("transformer.wte.weight", "lm_head.weight")
    moved = {name: weights[name][np.argsort(meaning)] for name in tables}
    return {
        "config": config,
        "weights": weights | moved,
        "rows": rows[:PROMPTS],
        "_unseen": rows[PROMPTS:],
    }


def likeliest(model, rows: np.ndarray) -> np.ndarray:
    """Return (N, 9): the questions of rows, each with the answer that the model finds likeliest."""
    import torch

    idx = torch.tensor(rows[:, :QUESTION])
    with torch.no_grad():
        for _ in range(ANSWER):
            idx = torch.cat([idx, model(idx)[:, -1].argmax(-1, keepdim=True)], 1)
    return idx.numpy()


# --- the loss -------------------------------------------------------------------------------------


def loss_of(logp, rewards, mask, advantage="", tokens="", count="", sign=-1) -> dict:
    """Return GRPO's loss and its gradient; the words name mistakes."""
    K = rewards.shape[1]
    axis = {"batch": None, "prompts": 0}.get(advantage, 1)
    away = rewards - rewards.mean(axis, keepdims=True)
    spread = rewards.std(axis, keepdims=True, ddof=0 if advantage == "K" else 1)
    with np.errstate(all="ignore"):
        A = {
            "rewards": rewards,
            "not centred": rewards / (spread + 1e-4),
            "others": away * K / (K - 1),
            "not scaled": away,
            "variance": away / (spread**2 + 1e-4),
            "bare": away / spread,
            "good": np.maximum(away, 0) / (spread + 1e-4),
        }.get(advantage, away / (spread + 1e-4))
    differ = (rewards != rewards[:, :1]).any(1)
    if count == "rounded":
        differ = (away != 0).any(1)
    weigh = {"mean": mask / mask.sum(2, keepdims=True), "all": np.ones(mask.shape)}
    weights = sign * A[..., None] * weigh.get(tokens, mask)
    if advantage != "bare":
        weights = np.where(differ[:, None, None], weights, 0.0)
    n = {
        "answers": rewards.size,
        "groups": differ.sum(),
        "sum": 1,
        "tokens": (mask & differ[:, None, None]).sum(),
        "all tokens": mask.sum(),
    }.get(count, differ.sum() * K)
    slope = weights / (n if count == "bare" else max(n, 1))
    return {"loss": (slope * logp).sum(), "logp": slope}


HINTS = {
    "advantage": {
        "rewards": "The rewards themselves weigh the answers: the mean of the group is subtracted "
        "from each, and the rest divided by its deviation.",
        "not centred": "The mean of the group isn't subtracted: a wrong answer, with the reward 0, "
        "then teaches nothing.",
        "others": "That is the reward less the mean of the others: GRPO subtracts the mean of all "
        "K, and divides by their deviation.",
        "not scaled": "The mean is subtracted, and nothing is divided by the deviation.",
        "variance": "Divided by the variance: the deviation is its root.",
        "bare": "0.0001 is missing beside the deviation: where all K rewards are equal, it is 0.",
        "good": "Answers below their group's mean were left out: they get less likely.",
        "batch": "One mean and deviation of the whole batch: each group has its own, since one "
        "prompt is harder than another.",
        "prompts": "The wrong axis: the K answers to a prompt stand in its row.",
        "K": "The deviation has K below the sum of squares: K − 1 is asked for.",
    },
    "tokens": {
        "mean": "A mean over each answer's tokens: the sum of them is the logarithm of the whole "
        "answer's probability.",
        "all": "The mask wasn't used: tokens that the policy didn't write are in the sum.",
    },
    "count": {
        "answers": "Divided by P · K: the answers of groups that are left out aren't counted.",
        "groups": "Divided by the number of groups: the mean is over their answers.",
        "sum": "The sum over the answers: their mean is asked for.",
        "tokens": "Divided by the number of tokens: the mean is over answers, however long.",
        "all tokens": "Divided by all the tokens of the mask: the mean is over answers, however "
        "long, of the groups that count.",
        "rounded": "Some groups whose rewards are equal weren't left out: the mean of equal "
        "numbers may be rounded, and isn't quite theirs. Compare the rewards themselves.",
        "bare": "Where no group is left, a mean over no answers is 0/0: 0 is asked for.",
    },
}
WRONGLY = [
    (partial(loss_of, **{name: word}), hint)
    for name, words in HINTS.items()
    for word, hint in words.items()
]
WRONGLY.append((partial(loss_of, sign=1), "The sign is turned: better answers got less likely."))


def _batch(rng: np.random.Generator, rewards: np.ndarray, T: int) -> dict:
    """Return a batch of these rewards, with answers of several lengths behind their prompts."""
    P, K = rewards.shape
    begin, length = rng.integers(1, 3, (P, 1)), rng.integers(1, T - 2, (P, K))
    place = np.arange(T)
    mask = (place >= begin[..., None]) & (place < (begin + length)[..., None])
    return {"logp": -rng.uniform(0.2, 3, (P, K, T)), "rewards": rewards, "mask": mask}


def unequal_groups(rng: np.random.Generator) -> dict:
    """Return batches in which no group's rewards are equal."""
    rewards = rng.normal(size=(4, 3)) + 1
    checked = rng.permuted([[1.0, 1, 0, 0, 0], [1, 1, 1, 1, 0]], axis=1)
    return {"calls": [_batch(rng, rewards, 7), _batch(rng, checked, 6)]}


def equal_groups(rng: np.random.Generator) -> dict:
    """Return batches in which some groups' rewards are equal, as numbers are that get rounded."""
    checked = np.arange(4) < rng.permutation([0, 1, 2, 3, 4])[:, None]
    checked = rng.permuted(checked, axis=1) * 1.0
    odd = rng.normal(size=(5, 3))
    odd[rng.choice(5, 2, replace=False)] = [[0.1] * 3, [0.7] * 3]
    return {"calls": [_batch(rng, checked, 6), _batch(rng, odd, 7)]}


def all_equal(rng: np.random.Generator) -> dict:
    """Return a batch whose groups all are, beside one whose groups aren't."""
    right = np.repeat(rng.permutation([0.0, 1.0, 1.0])[:, None], 4, 1)
    return {"calls": [_batch(rng, rng.normal(size=(2, 3)), 6), _batch(rng, right, 7)]}
