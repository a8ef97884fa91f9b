"""Training a GPT: fast, on one device or many, and able to go on after any interruption.

    from zerotohero.training import TrainConfig, Trainer, evaluate

    trainer = Trainer(TrainConfig(steps=500), model, train_data, val_data).run()

Read `trainer.py` first. What it is made of stands in modules of its own: the plan of a run in
`config`, the rows of a batch in `batches`, one update in `update` (with `muon`, and `sharded` for
models too large for a device), the losses in `losses`, the device in `machine`, the files in
`checkpoint`; and in `recipes` the models and plans that fit together.
"""

from zerotohero.training.checkpoint import CheckpointError, load_checkpoint
from zerotohero.training.config import TrainConfig
from zerotohero.training.losses import evaluate
from zerotohero.training.trainer import Trainer

__all__ = ["CheckpointError", "TrainConfig", "Trainer", "evaluate", "load_checkpoint"]
