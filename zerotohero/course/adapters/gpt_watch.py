"""What an answer's training is watched by, and what it returns, for 7.2 to 7.4, 7.8 and 8.10."""

import dataclasses

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from zerotohero.course.adapters.shared import what_came


class Stopped(BaseException):
    """Ends a training that has shown what it begins with."""


def sums(model):
    """Return a number for each of a model's weights, which tell two states of it apart."""
    return [float(p.detach().double().abs().sum()) for p in model.parameters()]


class Watch:
    """What is seen of a training: the tokens that go through the model, and its updates.

    The model is the outermost module that takes tokens, (B, T) whole numbers, or with `named` the
    GPT among the modules. rows: those tokens, as far as gradients are taken. began: its weights
    before the first of them. steps: the updates of each optimiser. rate: the largest of theirs.

    stop: the passes after which the training is ended, with the weights of then in `ended`.
    """

    def __init__(self, named=False, stop=None, keep=sums):
        self.named, self.stop, self.keep, self.module = named, stop, keep, None
        self.rows, self.began, self.ended, self.steps, self.rate = [], None, None, {}, 0.0

    def __enter__(self):
        modules = nn.modules.module.register_module_forward_pre_hook(self._forward)
        steps = register_optimizer_step_pre_hook(self._step)
        self.hooks = (modules, steps)
        return self

    def __exit__(self, *error):
        for hook in self.hooks:
            hook.remove()

    def _forward(self, module, inputs):
        idx = inputs[0] if inputs else None
        tokens = isinstance(idx, torch.Tensor) and idx.ndim == 2 and not idx.is_floating_point()
        if not tokens or not torch.is_grad_enabled():
            return
        if self.named and not (hasattr(module, "lm_head") and hasattr(module, "config")):
            return
        if self.module is None:
            self.module, self.began = module, self.keep(module)
        if module is self.module and len(self.rows) == self.stop:
            self.ended = self.keep(module)
            raise Stopped
        if module is self.module or self.named:
            self.rows.append(idx.detach().to("cpu", torch.int16))  # a third of the memory

    def _step(self, optimizer, args, kwargs):
        self.steps[id(optimizer)] = self.steps.get(id(optimizer), 0) + 1
        self.rate = max(self.rate, *(float(group["lr"]) for group in optimizer.param_groups))


def trained(model, name):
    """Return a trained GPT as plain values: its configuration and its weights."""
    config = getattr(model, "config", None)
    if not isinstance(model, nn.Module) or not dataclasses.is_dataclass(config):
        raise TypeError(
            f"{name} has to return a trained `zerotohero.gpt.GPT`, and it returned "
            f"{what_came(model)}."
        )
    model = getattr(model, "_orig_mod", model)  # of a compiled one
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    return {"config": dataclasses.asdict(config), "weights": weights}
