"""The verdict on BatchNorm1d's eval mode in 4.4, and on train mode after it."""

import numpy as np

from zerotohero.course.checks.batchnorm.running import FLOAT, expect_moved, moved
from zerotohero.course.checks.batchnorm.shared import IN_PLACE, normalised
from zerotohero.course.exercise import Mistake, array, expect, expect_that


def output_in_eval_mode(given, got):
    given = given | {key: given[key].astype(float) for key in ("x", "gamma", "beta")}
    x, before = given["x"], got["before"]
    mean, var = array("running_mean", before["mean"], (3,)), array("running_var", before["var"])
    expect_moved(given, before, " before eval mode")
    expect_that(got["kept"], "norm(x) in eval mode changed x", IN_PLACE)
    batch_stats = "In eval mode the batch's own statistics are used: look at self.training."
    biased = x.mean(0), x.var(0)
    want = normalised(given, x, stats=(mean, var))
    late = moved(given | {"batches": [*given["batches"], x]})
    expect(
        "norm(x) in eval mode",
        got["y"],
        want,
        tol=FLOAT,
        mistakes=[
            Mistake(normalised(given, x), batch_stats),
            Mistake(normalised(given, x, correction=1), batch_stats),
            Mistake(
                normalised(given, x, stats=(mean, biased[1])),
                "The variance is still the batch's in eval mode.",
            ),
            Mistake(
                normalised(given, x, stats=(biased[0], var)),
                "The mean is still the batch's in eval mode.",
            ),
            Mistake(
                normalised(given, x, stats=late),
                "The running statistics move in eval mode, before they are used: there they stay.",
            ),
            Mistake(
                normalised(given, x, stats=(mean, var), eps=None),
                "eps, as it was given, has no part in eval mode.",
            ),
            Mistake(
                normalised(given, x, stats=(mean, var), gamma=False, beta=False),
                "gamma and beta are missing in eval mode: they scale and shift in both modes.",
            ),
        ],
    )
    expect_that(
        all(np.array_equal(before[name], got["after"][name]) for name in ("mean", "var")),
        "the running statistics moved in eval mode",
        "Eval mode only looks: move the running statistics in train mode only, or every evaluation "
        "changes the model.",
    )
    expect_that(
        not got["refused"],
        f"norm(x[:1]) in eval mode: expected an output, got a ValueError, {got['refused']}",
        "In eval mode a batch of one is welcome, for the running statistics are known: raise only "
        "in train mode.",
    )
    expect(
        "norm(x[:1]) in eval mode",
        got["alone"],
        want[:1],
        tol=FLOAT,
        hint="A batch of one has the same output as in company: in eval mode nothing depends on "
        "the others.",
    )
    expect(
        "norm(x) in train mode again",
        got["again"],
        normalised(given, x),
        tol=FLOAT,
        mistakes=[
            Mistake(
                want,
                "`training` is True again, and the layer is still in eval mode: look at "
                "self.training in each call.",
            ),
        ],
    )
    last = got["last"]
    expect(
        "norm(x) in eval mode, for the second time",
        last["y"],
        normalised(given, x, stats=(last["mean"], last["var"])),
        tol=FLOAT,
        mistakes=[
            Mistake(
                want,
                "The statistics in use are those of the first time in eval mode; train mode has "
                "moved them since.",
            )
        ],
    )
