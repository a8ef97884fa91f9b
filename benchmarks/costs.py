"""What published runs took, beside what `zerotohero.costs` says: the utilisation that follows.

    python benchmarks/costs.py                     # at once: nothing is trained

For each run the operations by the formula, the hours at 40 % of the devices' peak, the hours that
were published, and the share of the peak with which both agree. Exits with 1 if a target is missed.

Where the figures are from: GPT-2, karpathy/llm.c (discussion 481, and the readme of
KellerJordan/modded-nanogpt) and karpathy/nanoGPT (readme, config/train_gpt2.py); LLaMA 65B, Touvron
et al. (2023), arXiv:2302.13971, section 2.4; PaLM, Chowdhery et al. (2022), arXiv:2204.02311,
appendix B, whose own figure is 46.2 %: it isn't in the table, but checked with it.
"""

import sys
from dataclasses import dataclass

from _shared import report

from zerotohero import costs
from zerotohero.training.machine import PEAKS
from zerotohero.training.recipes import RECIPES

GUESS = 0.4  # the share of the peak that --dry-run assumes
TPU_V4 = 275e12  # dense bf16, as in PaLM's paper


@dataclass(frozen=True)
class Published:
    """A run as it was described."""

    name: str
    flops: costs.Flops  # a token
    tokens: float
    devices: int
    kind: str
    peak: float  # of one device
    hours: float


GPT2 = costs.flops_per_token(RECIPES["gpt2-124m"].model)
LLAMA = costs.decoder_flops(65_200_000_000, layers=80, width=8192, context=2048)
PALM_FLOPS = costs.decoder_flops(540_350_000_000, layers=118, width=48 * 256, context=2048)
A100, H100 = PEAKS["A100"], PEAKS["H100"]
RUNS = (
    Published("GPT-2 124M, llm.c", GPT2, 10e9, 8, "A100", A100, 1.5),
    Published("GPT-2 124M, llm.c", GPT2, 10e9, 8, "H100", H100, 0.75),
    Published("GPT-2 124M, nanoGPT", GPT2, 600_000 * 491_520, 8, "A100", A100, 4 * 24),
    Published("LLaMA 65B", LLAMA, 1.4e12, 2048, "A100", A100, 21 * 24),
)
# Its paper tells the speed: 238.3 thousand tokens in a second.
PALM = Published("PaLM 540B", PALM_FLOPS, 238_300, 6144, "TPU v4", TPU_V4, 1 / costs.HOUR)


def utilisation(run: Published) -> float:
    rate = run.tokens / (run.hours * costs.HOUR)
    return costs.mfu(rate, run.flops.total, run.devices * run.peak)


def main() -> int:
    row = "| {} | {} | {} | {} | {} | {} |".format
    print(row("run", "tokens", "operations", f"hours at {GUESS:.0%}", "published", "utilisation"))
    print("|:--|--:|--:|--:|--:|--:|")
    for run in RUNS:
        flops = run.tokens * run.flops.total
        expected = costs.hours(flops, run.devices * run.peak, GUESS)
        name = f"{run.name}, {run.devices:,} {run.kind}"
        figures = (
            f"{run.tokens / 1e9:,.0f} billion",
            f"{flops:.3g}",
            f"{expected:,.1f}",
            f"{run.hours:,.1f}",
        )
        print(row(name, *figures, f"{utilisation(run):.1%}"))

    targets = {
        "PaLM's utilisation is its paper's 46.2 %": abs(utilisation(PALM) - 0.462) < 5e-4,
        "LLaMA 65B made between 45 and 50 % of its devices' peak": (
            0.45 < utilisation(RUNS[3]) < 0.5
        ),
        f"{GUESS:.0%} is within a factor of 1.6 of every run": all(
            1 / 1.6 < utilisation(run) / GUESS < 1.6 for run in RUNS
        ),
    }
    return report(targets)


if __name__ == "__main__":
    sys.exit(main())
