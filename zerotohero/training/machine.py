"""What training asks of the machine: how fast it multiplies, in which precision, with how many.

The idea: nothing about a device is taken from its name that can be tried in a few milliseconds.
Numbers of half the size are chosen where a product of them is measurably faster (mixed precision:
Micikevicius et al. 2018, arXiv:1710.03740), and a compiler is used if it compiles.

MFU, the share of its peak that a device spends on the model: Chowdhery et al. (2022), "PaLM",
arXiv:2204.02311, appendix B.

Left out: memory, clock rates, and devices other than CPU, CUDA and Apple's.
"""

import functools
import gc
import itertools
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Dense bf16 operations a second from the makers' data sheets (the T4 has fp16 only).
PEAKS = {
    "A100": 312e12,
    "H100": 989e12,
    "H200": 989e12,
    "L4": 121e12,
    "T4": 65e12,
    "4090": 165e12,
}


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the floating-point operations a second of a large matrix product, the best of some.

    Measured once in a process for each number of threads.
    """
    return _matmul_rate(device, dtype, torch.get_num_threads())


@functools.cache
def _matmul_rate(device: torch.device, dtype: torch.dtype, threads: int) -> float:
    small, large = (256, 1024) if device.type == "cpu" else (1024, 4096)
    seconds = _seconds(device, dtype, small)
    if seconds > 0.01:  # a number that it can't multiply: the large product might take seconds
        return 2 * small**3 / seconds
    return 2 * large**3 / _seconds(device, dtype, large)


def _seconds(device: torch.device, dtype: torch.dtype, n: int) -> float:
    """Return the shortest of some products of n × n matrices."""
    a = torch.ones(n, n, device=device, dtype=dtype)
    times: list[float] = []
    while len(times) < 3 or (len(times) < 20 and sum(times) < 0.05):
        start = time.perf_counter()
        (a @ a)[0, 0].item()  # the number is there only when the product is done
        times.append(time.perf_counter() - start)
    return min(times)


def choose_precision(device: torch.device) -> str:
    """Return the precision in which the device multiplies fastest: "bf16", "fp16" or "fp32".

    CUDA: bf16 where the hardware has it, else fp16, whose gradients have to be scaled. CPU: bf16
    if a product in it takes less than half of fp32's time, tried here and now on one thread.
    Others: fp32.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # threads that wait for each other would blur the ratio
        try:
            ratio = matmul_rate(device, torch.bfloat16) / matmul_rate(device, torch.float32)
        finally:
            torch.set_num_threads(threads)
        return "bf16" if ratio > 2 else "fp32"
    return "fp32"


def peak_flops(device: torch.device, precision: str) -> float:
    """Return the operations a second that MFU is measured against.

    For a known GPU its maker's figure for bf16, whatever the precision, as in the literature;
    for any other device the rate of a large product in this precision, measured now.
    """
    if device.type == "cuda":
        words = torch.cuda.get_device_name(device).replace("-", " ").split()
        for name, peak in PEAKS.items():
            if name in words:
                return peak
    return matmul_rate(device, DTYPES[precision])


def best_device(local_rank: int = 0) -> torch.device:
    """Return CUDA's device of that number, or else Apple's, or else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def take_device(wish: str | torch.device | None, local_rank: int) -> torch.device:
    """Return the wished device, or the best; of several GPUs each process its own. ValueError."""
    device = torch.device(wish) if wish is not None else best_device(local_rank)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("There is no CUDA device here: leave `device` out to take the best.")
    if device.type == "cuda" and device.index is None:
        return best_device(local_rank)
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Return the context in which products are computed in that precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


def seed_device(device: torch.device, seed: int) -> None:
    """Set the random state that dropout draws from."""
    # torch.manual_seed visits every kind of device: 90 µs, where this takes 1.
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Make the device the current one, and put its random state and the CPU's back at the end."""
    with ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))
        modules = [torch] if device.type == "cpu" else [torch, torch.get_device_module(device)]
        for module in modules:
            stack.callback(module.set_rng_state, module.get_rng_state())
        yield


def place() -> tuple[int, int, int]:
    """Return this process's number, how many there are, and its number here, as torchrun says."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if not {*names, "MASTER_ADDR"} <= os.environ.keys():
        return 0, 1, 0
    rank, world, local = (int(os.environ[name]) for name in names)
    return rank, world, local


@functools.cache
def _meeting_point() -> tuple[dist.Store, int, int]:
    """Return the table by which torchrun's processes meet, and this one's place in it."""
    return next(dist.rendezvous("env://"))


_connections = itertools.count()


@contextmanager
def process_group(device: torch.device, world: int) -> Iterator[None]:
    """The connection between torchrun's processes; one that is there already is used and left."""
    if world == 1 or dist.is_initialized():
        yield
        return
    store, rank, _ = _meeting_point()
    # A name for each connection: where the last one's addresses are found, processes call those.
    store = dist.PrefixStore(f"run {next(_connections)}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world)
    try:
        yield
    finally:
        # What still holds the connection goes first: freed later, it could wait for ever for a
        # thread of the connection that in turn waits for Python.
        gc.collect()
        dist.destroy_process_group()


def try_compile(module: nn.Module, x: Tensor, y: Tensor, precision: str) -> nn.Module:
    """Return the module compiled, or with a warning the module itself if that doesn't work.

    `module(x, y)` is a loss of the size that training computes; it is tried with its gradients,
    since that is when compilers fail. The module itself stays as it is, with the same parameters.
    """
    try:
        compiled = torch.compile(module)
        with autocast(x.device, precision):
            loss = compiled(x, y)
        loss.backward()
    except Exception as error:  # a compiler that is missing or fails, in its own ways
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(
            f"torch.compile doesn't work here ({why}); the run goes on without it.", stacklevel=4
        )
        return module
    finally:
        module.zero_grad(set_to_none=True)
    return compiled


@contextmanager
def ctrl_c_waits(wanted: bool) -> Iterator[list[bool]]:
    """A list that Ctrl-C fills, so that no update is left half done; a second one isn't held."""
    pressed: list[bool] = []
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def note(signum, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
