"""What wrong answers to lecture 07 share: small models, trained or not."""

import torch

from zerotohero.gpt import GPT, GPTConfig
from zerotohero.training import TrainConfig, Trainer


def untrained(V, block_size, **changes):
    config = GPTConfig(V, block_size, **{"n_layer": 1, "n_head": 2, "n_embd": 16} | changes)
    return GPT(config, torch.Generator().manual_seed(1))


def train(model, tokens, steps, part=1.0, rows=16):
    config = TrainConfig(
        steps=steps,
        batch_size=rows,
        lr=0.01 * part,
        min_lr=0.0,
        warmup=min(5, steps // 2),
        schedule="trapezoid",
        weight_decay=0.0,
        grad_clip=0.0,
        optimizer="muon",
        muon_lr=0.02 * part,
        precision="fp32",
    )
    return Trainer(config, model, tokens, device="cpu", progress=False).run().model


def small(V, **changes):
    """Small and modern, so that it learns something in a second."""
    modern = {"norm": "rmsnorm", "position": "rotary", "activation": "relu2", "qk_norm": True}
    return untrained(V, 32, n_embd=32, bias=False, zero_init=True, **modern, **changes)
