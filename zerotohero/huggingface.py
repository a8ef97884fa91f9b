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

# safetensors and urllib are imported where they are used: most GPTs never leave their Trainer.

CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"  # where weights are split: which tensor is in which file
PICKLE = "pytorch_model.bin"
SIZES = {  # our names, and GPT-2's
    "vocab_size": "vocab_size",
    "block_size": "n_positions",
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "n_embd",
}
# What a GPTConfig must say to be a GPT-2.
PARTS = {"norm": "layernorm", "position": "learned", "activation": "gelu", "qk_norm": False}
# GPT-2 as our blocks compute it; a file that says otherwise would give other logits.
FIXED = {
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
TANH_GELUS = ("gelu_new", "gelu_pytorch_tanh")  # one function under two names
TRANSPOSED = re.compile(r"(c_attn|c_proj|c_fc)\.weight$")  # (in, out) in the file
MASKS = re.compile(r"\.attn\.(masked_)?bias$")  # the causal mask, which old files carry along


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

    config_file, weights_files = _find(name_or_folder)
    config, readers = _read_config(config_file), {}
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


def _read_config(path: Path) -> dict:
    """Return the fields of the GPTConfig that a GPT-2's config.json describes."""
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from None
    kind = theirs.get("model_type") if isinstance(theirs, dict) else None
    if kind != "gpt2":
        raise ValueError(f"{path} describes a model of the type {kind!r}, not a 'gpt2'.")
    for field, value in FIXED.items():
        if theirs.get(field, value) != value:
            raise ValueError(f"{path} says {field}={theirs[field]!r}; a GPT has only {value!r}.")
    if theirs.get("activation_function", TANH_GELUS[0]) not in TANH_GELUS:
        raise ValueError(
            f"{path} says activation_function={theirs['activation_function']!r}; a GPT has only "
            "GELU by tanh, 'gelu_new'."
        )
    sizes = {ours: theirs.get(name) for ours, name in SIZES.items()}
    for ours, size in sizes.items():
        if type(size) is not int:
            raise ValueError(f"{path} says {SIZES[ours]}={size!r}, which is not a whole number.")
    if theirs.get("n_inner") not in (None, 4 * sizes["n_embd"]):
        raise ValueError(f"{path} says n_inner={theirs['n_inner']}; a GPT has 4 · n_embd.")
    return sizes | {
        "dropout": theirs.get("resid_pdrop", 0.1),  # GPT-2 has three rates, all of them 0.1
        "bias": theirs.get("bias", True),
        "tied": theirs.get("tie_word_embeddings", True),
    }


def _in_folder(folder: Path) -> tuple[Path, list[Path]]:
    """Return where config.json and the weights are in a folder."""
    needed = [folder / CONFIG, folder / WEIGHTS]
    if not needed[1].is_file() and (folder / INDEX).is_file():
        needed[1:] = [folder / shard for shard in _shards(folder / INDEX)]
    elif not needed[1].is_file() and list(folder.glob(f"{PICKLE}*")):
        raise FileNotFoundError(
            f"{folder} holds its weights as {PICKLE}, a pickle, which may run any program when it "
            f"is read; only {WEIGHTS} is read here. transformers writes it: "
            "GPT2LMHeadModel.from_pretrained(folder).save_pretrained(folder)."
        )
    for path in needed:
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} holds no {path.name}: give the folder that save_pretrained wrote."
            )
    return needed[0], needed[1:]


def _shards(index: Path) -> list[str]:
    """Return the names of the files that weights are split over; all lie beside the index."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        fine = all(re.fullmatch(r"[\w.-]+\.safetensors", name) for name in names)
    except (ValueError, KeyError, TypeError, AttributeError):
        fine = False
    if not fine:
        raise ValueError(f"{index} doesn't say which tensor is in which file beside it.")
    return names


def _find(name_or_folder: str | PathLike) -> tuple[Path, list[Path]]:
    """Return where config.json and the weights are, fetched if the name is the hub's."""
    folder = Path(name_or_folder)
    if folder.is_dir():
        return _in_folder(folder)
    name = str(name_or_folder)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise FileNotFoundError(f"There is no folder {name}.")
    try:
        from huggingface_hub import constants, errors, hf_hub_download
    except ImportError:
        raise ImportError(
            f"There is no folder {name}, and to fetch it from the Hugging Face hub the package "
            "is missing: pip install huggingface_hub."
        ) from None
    cached = not _answers(constants.ENDPOINT)

    def fetch(file: str) -> Path:
        return Path(hf_hub_download(name, file, local_files_only=cached))

    try:
        config = fetch(CONFIG)
        try:
            return config, [fetch(WEIGHTS)]
        except errors.EntryNotFoundError:
            return config, [fetch(shard) for shard in _shards(fetch(INDEX))]
    except Exception as error:  # the hub's own, and those of whatever carries its bytes
        missing = errors.RepositoryNotFoundError, errors.EntryNotFoundError
        if isinstance(error, missing) and not isinstance(error, errors.LocalEntryNotFoundError):
            raise FileNotFoundError(
                f"Neither a folder nor the Hugging Face hub has a {name} with {CONFIG} and "
                f"{WEIGHTS}."
            ) from None
        why = f"{constants.ENDPOINT} doesn't answer" if cached else type(error).__name__
        raise ConnectionError(
            f"There is no folder {name}, and it could not be fetched from the Hugging Face hub "
            f"({why}): try again with a network, or give a folder."
        ) from error


def _answers(address: str) -> bool:
    """Return whether a server is there; the hub's library would try for half a minute."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    url = urlsplit(address)
    if getproxies().keys() & {url.scheme, "all"}:
        return True  # the proxy may reach it where this machine can't
    try:
        port = url.port or {"https": 443, "http": 80}[url.scheme]
        with socket.create_connection((url.hostname, port), timeout=3):
            return True
    except OSError:
        return False
