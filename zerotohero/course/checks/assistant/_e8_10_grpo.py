"""The sums of 8.10 and a model that half knows them; its loss, and what comes of wrong ones."""

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
    try:
        trainer.run()
    except Enough:
        pass
    weights = {name: w.numpy() for name, w in model.state_dict().items()}
    return asdict(model.config), weights, order[LEARNED:]


def dealt_out(rng: np.random.Generator) -> dict:
    """Return the model and sums, with tokens that mean something else each time."""
    config, weights, others = undertrained()
    meaning = rng.permutation(V)  # of the model's tokens: what stands for each
    rows = meaning[rows_of(rng.permutation(others)[: PROMPTS + UNSEEN])]
    tables = ("wte.weight", "lm_head.weight")
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


def loss_of(logp, rewards, mask, advantage="", over="", count="", sign=-1, left_out=True) -> dict:
    """Return GRPO's loss and its gradients; the words name mistakes."""
    K = rewards.shape[1]
    axis = {"batch": None, "prompts": 0}.get(advantage, 1)
    away = rewards - rewards.mean(axis, keepdims=True)
    spread = rewards.std(axis, keepdims=True, ddof=0 if advantage == "K" else 1)
    A = {
        "reward": rewards,
        "not centred": rewards / (spread + 1e-4),
        "others": away * K / (K - 1),
        "not scaled": away,
        "variance": away / (spread**2 + 1e-4),
        "bare": away / spread,
    }.get(advantage, away / (spread + 1e-4))
    A = np.maximum(A, 0) if advantage == "good" else A
    A = A > 0 if advantage == "imitate" else A
    differ = (rewards != rewards[:, :1]).any(1)
    if advantage == "rounded":
        differ = rewards.std(1, ddof=1) > 0
    its = {"mean": mask / mask.sum(2, keepdims=True), "all": np.ones(mask.shape)}.get(over, mask)
    weights = its * A[..., None]
    if left_out:
        weights = np.where(differ[:, None, None], weights, 0.0)
    n = {
        "all": rewards.size,
        "groups": differ.sum(),
        "sum": 1,
        "tokens": (mask * differ[:, None, None]).sum(),
        "every token": mask.sum(),
        "right": (rewards > 0).sum(),
    }.get(count, differ.sum() * K)
    slope = sign * weights / (n if count == "bare" else max(n, 1))
    return {"loss": (slope * logp).sum(), "logp": slope, "rewards": np.zeros(rewards.shape)}
