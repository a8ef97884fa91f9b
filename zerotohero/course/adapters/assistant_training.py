"""How answers to 8.10, which trains, are called. This enters the sandbox."""

import torch

from zerotohero.course.adapters.gpt_watch import Watch, trained
from zerotohero.course.adapters.shared import what_came
from zerotohero.gpt import GPT, GPTConfig

V, QUESTION, T = 12, 6, 9  # tokens, those of a question, and those of a question with its answer


def losses(grpo_loss, improve, calls):
    return {"losses": [_loss(grpo_loss, **call) for call in calls]}


def _loss(grpo_loss, logp, rewards, mask):
    logp, rewards = (torch.tensor(x, requires_grad=True) for x in (logp, rewards))
    loss = grpo_loss(logp, rewards, torch.tensor(mask))
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"grpo_loss has to return a tensor, and it returned {what_came(loss)}")
    if loss.ndim == 0:
        loss.backward()
    to_rewards = torch.zeros_like(rewards) if rewards.grad is None else rewards.grad
    return {"loss": loss, "logp": logp.grad, "rewards": to_rewards}


class Judge:
    """Says which answers are right, and keeps what it was asked."""

    def __init__(self, rows):
        self.known = {tuple(row[:QUESTION]): tuple(row[QUESTION:]) for row in rows.tolist()}
        self.asked, self.count = set(), 0

    def __call__(self, rows):
        if not isinstance(rows, torch.Tensor) or rows.ndim != 2 or rows.shape[1] != T:
            what = tuple(getattr(rows, "shape", ())) or what_came(rows)
            raise ValueError(f"judge takes a tensor of rows, (N, {T}), and got {what}")
        rewards = []
        for row in map(tuple, rows.tolist()):
            if row[:QUESTION] not in self.known:
                raise ValueError(f"{list(row[:QUESTION])} is none of the prompts")
            rewards.append(float(self.known[row[:QUESTION]] == row[QUESTION:]))
            self.asked.add(row)
        self.count += len(rewards)
        return torch.tensor(rewards)


def improved(grpo_loss, improve, config, weights, rows):
    model, rows = GPT(GPTConfig(**config)), torch.tensor(rows)
    model.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    judge, updates = Judge(rows), [0]
    with Watch(named=True) as watch:

        def judged(rows):  # no object, in which anyone would find the answers
            updates.append(sum(watch.steps.values()))
            return judge(rows)

        model = improve(model.eval(), rows[:, :QUESTION].clone(), judged)
    learned = [row for some in watch.rows for row in map(tuple, some.tolist())]
    learned = [row for row in learned if len(row) > QUESTION]
    known = {row[:n] for row in judge.asked for n in range(QUESTION + 1, T + 1)}
    return trained(model, "improve") | {
        "judged": judge.count,
        "groups": len({row[:QUESTION] for row in judge.asked}),
        "different": len(judge.asked),
        "learned": len(learned),
        "strangers": sum(row not in known for row in learned),
        "updates": sum(watch.steps.values()),
        "before_the_last": updates[-1],
    }
