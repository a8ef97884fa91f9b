"""Configurations: NumPy's and torch's scalars become Python's; what is wrong is named."""

import dataclasses
import json
import pkgutil
from importlib import import_module

import numpy as np
import pytest
import torch

import zerotohero
from untyped import jaxtyping_off
from zerotohero import batchnorm, mlp, wavenet
from zerotohero.configs import PLAIN
from zerotohero.gpt import GPT, GPTConfig
from zerotohero.training import Trainer
from zerotohero.training.checkpoint import load_checkpoint
from zerotohero.training.config import TrainConfig

COUNTS = [np.int64, np.int32, np.uint8, lambda n: np.array(n), lambda n: torch.tensor(n)]
COUNTS += [lambda n: torch.tensor([n - 1]).max() + 1]
NUMBERS = [np.float64, np.float32, np.float16, np.longdouble, lambda x: torch.tensor(x)]


@pytest.fixture(autouse=True)
def untyped():
    """The tests' own checks of annotations would refuse NumPy's numbers before we see them."""
    with jaxtyping_off():
        yield


def configurations() -> dict[str, type]:
    """Every dataclass of the package with a size in it, outside the course's machinery."""
    found = {}
    for module in pkgutil.walk_packages(zerotohero.__path__, "zerotohero."):
        if module.name.startswith("zerotohero.course"):
            continue
        for name, kind in vars(import_module(module.name)).items():
            own = isinstance(kind, type) and kind.__module__ == module.name
            if not (own and dataclasses.is_dataclass(kind)):
                continue
            # What a user writes has defaults; what stands in a file has none.
            needed = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
            if needed <= {"steps"} and int in kind.__annotations__.values():
                found[f"{module.name}.{name}"] = kind
    return found


CONFIGURATIONS = configurations()


def made(kind: type, **changes):
    return kind(**({"steps": 1000} if "steps" in kind.__annotations__ else {}) | changes)


def is_plain(value) -> bool:
    if isinstance(value, (tuple, dict)):  # a dict: a configuration within one
        return all(map(is_plain, value.values() if isinstance(value, dict) else value))
    return type(value) in PLAIN


def test_all_configurations_are_found():
    kinds = {GPTConfig, TrainConfig, mlp.MLPConfig, batchnorm.NetworkConfig, wavenet.WaveNetConfig}
    assert kinds < set(CONFIGURATIONS.values()), "and lecture 03's plan of a training"


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_scalar_of_numpy_and_torch_becomes_pythons(name):
    kind = CONFIGURATIONS[name]
    plain = made(kind)
    tried = 0
    for field in dataclasses.fields(kind):
        value = getattr(plain, field.name)
        wraps = {
            int: COUNTS,
            float: NUMBERS,
            bool: [np.bool_, lambda b: torch.tensor(b)],
            str: [np.str_],
        }.get(type(value), [])
        for wrap in wraps:
            if wrap is np.uint8 and value > 255:
                continue
            config = made(kind, **{field.name: wrap(value)})
            got = getattr(config, field.name)
            assert type(got) is type(value), (field.name, wrap)
            close = pytest.approx(value, rel=1e-2) if type(value) is float else value
            assert got == close, (field.name, wrap)
            assert json.loads(json.dumps(dataclasses.asdict(config))), "a JSON file holds it"
            tried += 1
    assert tried > 10
    assert all(is_plain(value) for value in dataclasses.asdict(plain).values())


def test_numbers_within_a_tuple_too():
    config = TrainConfig(1000, betas=(np.float64(0.9), torch.tensor(0.5)))
    assert config.betas == (0.9, 0.5) and is_plain(config.betas)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_embd": 16.0}, "n_embd is 16.0; it must be a whole number"),
        ({"n_embd": np.float64(16)}, "n_embd is 16.0; it must be a whole number"),
        ({"vocab_size": "65"}, "vocab_size is '65'; it must be a whole number"),
        ({"n_layer": True}, "n_layer is True; it must be a whole number"),
        ({"n_layer": None}, "n_layer is None; it must be a whole number"),
        ({"vocab_size": torch.tensor([65])}, "it must be a whole number"),
        ({"dropout": "0.1"}, "dropout is '0.1'; it must be a number"),
        ({"dropout": 1j}, "dropout is 1j; it must be a number"),
        ({"dropout": torch.tensor(float("nan"))}, "dropout is nan; it must be at least 0"),
        ({"bias": [1]}, r"bias is \[1\]; it must be"),
        ({"n_layer": np.int64(0)}, "n_layer is 0; it must be at least 1"),
        ({"norm": np.str_("none")}, "norm is 'none'; it must be one of layernorm, rmsnorm"),
    ],
)
def test_what_is_no_such_number_is_refused_by_its_name(changes, says):
    with pytest.raises(ValueError, match=says) as caught:
        GPTConfig(**changes)
    assert "\n" not in str(caught.value)


def test_a_model_made_from_numpys_sizes_comes_back_from_every_file(tmp_path):
    """A step, a checkpoint read back, and Hugging Face's files: the whole way."""
    text = torch.randint(11, (400,), generator=torch.Generator().manual_seed(0))
    config = GPTConfig(
        vocab_size=text.max() + 1,
        block_size=np.int64(8),
        n_layer=np.int32(1),
        n_head=torch.tensor(2),
        n_embd=np.uint8(16),
        dropout=np.float32(0),
        bias=np.bool_(True),
    )
    plan = TrainConfig(
        np.int64(2), batch_size=np.int64(4), lr=np.float64(1e-3), warmup=0, grad_clip=np.float32(1)
    )
    model = GPT(config, torch.Generator().manual_seed(0))
    Trainer(plan, model, text, text, folder=tmp_path / "run", device="cpu", progress=False).run()
    content = load_checkpoint(tmp_path / "run" / "last.pt")
    again = GPT(GPTConfig(**content["model_config"]))
    again.load_state_dict(content["model"])
    assert again.config == config and content["train_config"]["lr"] == 1e-3
    again.save_pretrained(tmp_path / "saved")
    loaded = GPT.from_pretrained(tmp_path / "saved")
    assert loaded.config == config
    torch.testing.assert_close(loaded(text[None, :8]), model.eval()(text[None, :8]))
