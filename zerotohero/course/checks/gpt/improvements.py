"""The seven functions of exercise 7.4: what they are called with, and the verdicts on what came.

Each has two verdicts: its values on small inputs, and the property that defines it. They stand in
`_e7_4_rotary`, `_e7_4_layers` and `_e7_4_muon`.
"""

from collections.abc import Callable

import numpy as np

from zerotohero.course.checks.gpt import _e7_4_layers as layers
from zerotohero.course.checks.gpt import _e7_4_muon as muon
from zerotohero.course.checks.gpt import _e7_4_rotary as rotary

Verify = Callable[[list[list], list], None]  # the arguments of some calls, and what came back


def calls_of_each(rng: np.random.Generator) -> dict:
    """Return, for each improvement, the arguments of the calls that its verdicts need."""
    B, H, T, S = 2, 4, 6, 8
    x = rng.normal(size=(3, 5, 16)) + rng.normal(size=16)
    q, k, v = rng.normal(size=(3, B, H, T, S)) * 2
    W = [rng.normal(size=shape) / 3 for shape in ((16, 20), (16, 20), (20, 16))]
    positive = np.abs(x) + 0.5
    G = 2  # key heads
    kg, vg = k[:, :G], v[:, :G]
    changed = (kg.copy(), vg.copy())
    for z in changed:
        z[:, :, -1] += 1
    same = [np.broadcast_to(rng.normal(size=(B, H, 1, S)), (B, H, 11, S)).copy() for _ in "qk"]
    m = 0.9

    def matrix(rows: int, columns: int) -> np.ndarray:
        # Singular values of 1 to 1/5: five rounds of the polynomial are enough for these.
        U, _, Vt = np.linalg.svd(rng.normal(size=(rows, columns)), full_matrices=False)
        return U * np.linspace(1, 0.2, min(rows, columns)) @ Vt * float(rng.uniform(0.5, 5))

    wide, tall = matrix(6, 10), matrix(12, 5)
    ruled = matrix(7, 7)
    U, s, Vt = np.linalg.svd(ruled)
    ruled = U * np.array([8.0, *s[1:] / s[1]]) @ Vt
    U, s, Vt = np.linalg.svd(wide, full_matrices=False)
    far = U * np.geomspace(1, 1 / muon.APART, len(s)) @ Vt
    zero = np.zeros_like
    return {
        "rotary": [[q], [same[0]], [same[1]]],
        "rms_norm": [[x], [100 * x], [x + 3], [x[0]]],
        "swiglu": [[x, *W], [x, W[0], 2 * W[1], W[2]], [positive, 0 * W[0] - 9, W[1], W[2]]],
        "qk_norm": [[q, k], [100 * q, 7 * k]],
        "relu2": [[x], [3 * x], [-positive], [x[0, 0]]],
        "grouped_query": [
            [q, kg, vg],
            [q, *(np.repeat(z, H // G, 1) for z in (kg, vg))],
            [q, *changed],
            [q, k[:, :1], v[:, :1]],
        ],
        "muon": [
            [matrix(6, 8), matrix(6, 8), m],
            [wide, zero(wide), m],
            [tall, zero(tall), m],
            [1000 * wide, zero(wide), m],
            [ruled, zero(ruled), m],
            [1e-4 * wide, zero(wide), m],
            [far, zero(far), m],
        ],
    }


VERIFY: dict[str, tuple[Verify, Verify]] = {
    "rotary": (rotary.rotary_values, rotary.rotary_property),
    "rms_norm": (layers.norm_values, layers.norm_property),
    "swiglu": (layers.swiglu_values, layers.swiglu_property),
    "qk_norm": (layers.qk_values, layers.qk_property),
    "relu2": (layers.relu2_values, layers.relu2_property),
    "grouped_query": (layers.grouped_values, layers.grouped_property),
    "muon": (muon.muon_values, muon.muon_property),
}
ARGUMENTS = {
    "rotary": ("x",),
    "rms_norm": ("x",),
    "swiglu": ("x", "W_gate", "W_up", "W_down"),
    "qk_norm": ("q", "k"),
    "relu2": ("x",),
    "grouped_query": ("q", "k", "v"),
    "muon": ("gradient", "buffer", "momentum"),
}
