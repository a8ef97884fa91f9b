"""A GPT as the files that the rest of the world reads: config.json and model.safetensors.

The idea: weights outlive the code that trained them if their names and shapes are agreed on. The
names are GPT-2's already; two things differ. GPT-2 keeps its matrices as (in, out), our nn.Linear
as (out, in), so they are transposed on the way. And a GPT-2 always has biases: where the model
has none, the file holds zeros.

The sources: Hugging Face's `transformers` (GPT2LMHeadModel), which loads what is saved here and
whose files are read here; and the safetensors format, which unlike a pickle can only hold
numbers, never code.

Weights that are split over several files are read, too; they are written into one. So is OpenAI's
own release, whose files `openai_release` reads. Left out: models that GPT-2's format has no words
for (rotary positions, RMSNorm, ...), and the older pytorch_model.bin, which is a pickle.
"""

import json
import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from zerotohero import openai_release
from zerotohero.gpt2_files import (
    CONFIG,
    FIXED,
    MASKS,
    SIZES,
    TANH_GELUS,
    WEIGHTS,
    find,
    read_config,
)

# safetensors and urllib are imported where they are used: most GPTs never leave their Trainer.

# What a GPTConfig must say to be a GPT-2.
PARTS = {"norm": "layernorm", "position": "learned", "activation": "gelu", "qk_norm": False}
TRANSPOSED = re.compile(r"(c_attn|c_proj|c_fc)\.weight$")  # (in, out) in the file


def later_parts(config) -> list[str]:
    """Return the fields that hold what came after GPT-2, for which its format has no words."""
    return [field for field, gpt2 in PARTS.items() if getattr(config, field) != gpt2]


def save_pretrained(model: nn.Module, folder: str | PathLike) -> None:
    """Write config.json and model.safetensors into `folder`, which is made if it isn't there.

    `transformers.GPT2LMHeadModel.from_pretrained(folder)` loads them. Both files are written
    under other names first and then put in place, so that a crash leaves the old ones. An output
    layer that isn't the token embeddings any more, whatever the configuration says, is written as
    a layer of its own.

    Raises ValueError, naming the field, if the model has a part that GPT-2 doesn't have.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    config, folder = model.config, Path(folder)
    if later := later_parts(config):
        field = later[0]
        raise ValueError(
            f"GPT-2's format has no {field}={getattr(config, field)!r}, only {PARTS[field]!r}: "
            "keep this model as a checkpoint of the Trainer instead."
        )
    head, table = model.lm_head.weight, model.transformer.wte.weight
    tied = config.tied and (head is table or torch.equal(head, table))
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue  # it is wte.weight, which the reader ties again
        tensors[name] = (tensor.t() if TRANSPOSED.search(name) else tensor).contiguous()
    for name, module in model.transformer.named_modules():
        if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is None:
            weight = module.weight
            tensors[f"transformer.{name}.bias"] = weight.new_zeros(weight.shape[0])
    ends = 50_256 if config.vocab_size > 50_256 else None  # <|endoftext|>, if there is one
    described = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **{theirs: getattr(config, ours) for ours, theirs in SIZES.items()},
        "activation_function": TANH_GELUS[0],
        **FIXED,
        "n_inner": None,  # 4 · n_embd
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "initializer_range": 0.02,
        "tie_word_embeddings": tied,
        "bos_token_id": ends,
        "eos_token_id": ends,
        "dtype": str(head.dtype).removeprefix("torch."),
        "bias": config.bias,  # ours; transformers passes over it
    }
    folder.mkdir(parents=True, exist_ok=True)
    new = {name: folder / f".{name}.{os.getpid()}" for name in (CONFIG, WEIGHTS)}
    try:
        save_file(tensors, new[WEIGHTS], metadata={"format": "pt"})  # transformers asks for it
        new[CONFIG].write_text(json.dumps(described, indent=2) + "\n")
        new[WEIGHTS].chmod(new[CONFIG].stat().st_mode)  # safetensors lets nobody else read it
        for name, path in new.items():
            os.replace(path, folder / name)
    except SafetensorError as error:
        raise OSError(f"{folder} can't be written ({error}).") from None
    finally:
        for path in new.values():
            path.unlink(missing_ok=True)


def from_pretrained(cls, name_or_folder: str | PathLike, **changes):
    """Return the model, a `cls`, of a folder with config.json and model.safetensors, or of a name.

    A folder with OpenAI's own files, hparams.json and model.ckpt, will do as well. "gpt2",
    "gpt2-medium", "gpt2-large" and "gpt2-xl" are OpenAI's weights on the hub; they need
    `huggingface_hub` and, the first time, a network. What `changes` may change: `dropout`, a
    shorter `block_size`, and `bias=False` where all biases are zero. The weights are float32, and
    the model is in eval mode.

    Raises ValueError if the files hold no GPT-2, or other tensors than their config asks for;
    FileNotFoundError if there are no such files; ImportError or ConnectionError if they can't be
    fetched.
    """
    for field in changes:
        if field not in ("dropout", "block_size", "bias"):
            raise ValueError(
                f"from_pretrained can change dropout, block_size and bias, but not {field}: the "
                "weights were trained with what their config.json says."
            )
    with ExitStack() as opened:
        config, readers = _opened(name_or_folder, opened)
        block_size = changes.pop("block_size", config["block_size"])
        config = cls.Config(**(config | changes))
        try:
            with torch.device("meta"):  # no time or memory for numbers that would be overwritten
                model = cls(config)
        except (RuntimeError, OverflowError):
            raise ValueError(
                f"{name_or_folder} describes a model so large that its size can't be computed."
            ) from None
        _fill(readers, model)
    if block_size != config.block_size:
        model.crop_block_size(block_size)
    return model.eval()


def _opened(
    name_or_folder: str | PathLike, opened: ExitStack
) -> tuple[dict, dict[str, Callable[[str], Tensor]]]:
    """Return the fields of the GPTConfig, and what reads each tensor by its name."""
    folder = Path(name_or_folder)
    if openai_release.is_in(folder) and not (folder / CONFIG).is_file():
        return openai_release.read(folder)
    from safetensors import SafetensorError, safe_open

    config_file, weights_files = find(name_or_folder)
    config, readers = read_config(config_file), {}
    for path in weights_files:
        try:
            file = opened.enter_context(safe_open(path, "pt"))
        except SafetensorError as error:
            raise ValueError(
                f"{path} is not a whole safetensors file ({error}): fetch or save it again."
            ) from None
        readers |= dict.fromkeys(file.keys(), file.get_tensor)
    return config, readers


@torch.no_grad()
def _fill(readers: dict[str, Callable[[str], Tensor]], model: nn.Module) -> None:
    """Make every tensor the parameter that it belongs to, one at a time.

    The model's own are on "meta", so that no memory is taken for sizes that the file doesn't have.
    `readers` holds, for the name of each tensor, what reads it: `readers[name](name)`.
    """
    names = [name for name in readers if not MASKS.search(name)]
    prefixes = "transformer.", "lm_head."
    stored = {n if n.startswith(prefixes) else f"transformer.{n}": n for n in names}
    parameters = dict(model.named_parameters())
    if model.config.tied and "lm_head.weight" in stored:
        head, table = stored.pop("lm_head.weight"), stored.get("transformer.wte.weight")
        if table and not torch.equal(readers[head](head), readers[table](table)):
            raise ValueError(
                f"{head} and {table} differ, but config.json says that they are one: set "
                "tie_word_embeddings to false in it."
            )
    if not model.config.bias:
        for ours in [name for name in stored if name.endswith(".bias")]:
            theirs = stored.pop(ours)
            if readers[theirs](theirs).any():
                raise ValueError(
                    f"{ours} in the file is not zero, so the model needs its biases: load it with "
                    "bias=True."
                )
    for what, wrong in (
        ("lacks", parameters.keys() - stored.keys()),
        ("holds what a GPT-2 has no place for:", stored.keys() - parameters.keys()),
    ):
        if wrong:
            first = ", ".join(sorted(wrong)[:3])
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise ValueError(f"The file of weights {what} {first}{more}.")
    for ours, parameter in parameters.items():
        tensor = readers[stored[ours]](stored[ours])
        shape = tuple(parameter.shape)[::-1] if TRANSPOSED.search(ours) else tuple(parameter.shape)
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{stored[ours]} has the shape {tuple(tensor.shape)} in the file, but the "
                f"sizes beside it ask for {shape}."
            )
        tensor = (tensor.t() if TRANSPOSED.search(ours) else tensor).to(parameter.dtype)
        its_own = tensor.clone(memory_format=torch.contiguous_format)
        torch.utils.swap_tensors(parameter, nn.Parameter(its_own))  # of both, where two are tied
