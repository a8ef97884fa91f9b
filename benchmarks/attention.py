"""Torch's kernel for attention against the formula, forward and backward, on this CPU.

    python benchmarks/attention.py      # seconds

Why `gpt.CausalSelfAttention` takes the formula in bfloat16 on a CPU: the time of the kernel in
times of the formula, in one run. Exits with 1 if the choice that the model makes is the slower
one by more than a tenth in any row where a CPU multiplies bfloat16 natively.
"""

import statistics
import sys
import time

import torch
import torch.nn.functional as F

from zerotohero.gpt import plain_attention
from zerotohero.training.machine import choose_precision

SHAPES = {"the speedrun's": (16, 4, 64, 32), "a GPT-2 head's, short": (2, 12, 256, 64)}
REPEATS = 15


def kernel(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def formula(q, k, v):
    return plain_attention(q, k, v)[0]


def seconds(function, operands) -> float:
    start = time.process_time()
    y = function(*operands)
    y.backward(torch.ones_like(y))
    return time.process_time() - start


def main() -> int:
    torch.set_num_threads(1)
    native = choose_precision(torch.device("cpu")) == "bf16"
    print(f"bfloat16 products are {'fast' if native else 'emulated'} on this CPU")
    slower = False
    for name, shape in SHAPES.items():
        for dtype in (torch.float32, torch.bfloat16):
            g = torch.Generator().manual_seed(0)
            operands = [torch.randn(shape, generator=g).to(dtype).requires_grad_() for _ in "qkv"]
            gap = (kernel(*operands) - formula(*operands)).abs().max().item()
            times = [
                (seconds(kernel, operands), seconds(formula, operands)) for _ in range(REPEATS)
            ]
            ratio = statistics.median(a / b for a, b in times[2:])
            print(
                f"{name} shape {shape}, {str(dtype)[6:]:8}: the kernel takes {ratio:.2f} of the "
                f"formula's time; they differ by {gap:.0e} at most"
            )
            slower |= native and dtype == torch.bfloat16 and ratio < 0.9
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
