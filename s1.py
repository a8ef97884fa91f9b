import sys; sys.path.insert(0,'/tmp/np11')
from ed import sub
D='zerotohero/course/checks/numpy_gpt/'; M='tests/misconceptions/numpy_gpt/e11_1_softmax.py'
E=D+'e11_1_softmax.py'
s=open(E).read()
def cut(start,end):
    global s
    a=s.index(start); b=s.index(end,a); part=s[a:b]; s=s[:a]+s[b:]; return part
w1=cut('ONE = "Axis 1','def _softmaxes(rng)')
w2=cut('def _wrong_softmaxes','@softmax.case(\n    "softmax of one')
w3=cut('def _overflowing_softmaxes','@softmax.case(\n    "logits in')
w4=cut('def _wrong_norms','@softmax.case(\n    "layer norm of one')
w5=cut('def _in_halves','@softmax.case("float16 stays')
w5='''def wrong_halves(one: dict) -> list[Mistake]:
    """Return layer norms of float16 with something that isn't calculated in float32."""
    x, g, b = one["x"], one["g"], one["b"]
    with np.errstate(all="ignore"):
        d = x - x.mean(-1, keepdims=True)
        narrow = d / np.sqrt((d * d).mean(-1, keepdims=True) + np.float16(1e-5)) * g + b
        near = x.astype(np.float32) - x.mean(-1, keepdims=True).astype(np.float16)
        rounded = near / np.sqrt((near * near).mean(-1, keepdims=True) + 1e-5) * g + b
    overflow = "A square beyond 65504 is ∞ in float16, and what is divided by it 0. Calculate in "
    mean = "The mean is rounded to float16, which has whole numbers alone between 1024 and 2048: "
    return [
        Mistake(narrow, overflow + "float32."),
        Mistake(rounded, mean + "turn x to float32 before it is taken."),
    ]
'''
mod='''"""What wrong answers to 11.1 give, each with its hint."""

import numpy as np

from zerotohero.course.checks.numerics import softmax as right_softmax
from zerotohero.course.exercise import Mistake

'''+w1+w2+w3+w4+w5
for n in ('wrong_softmaxes','overflowing_softmaxes','wrong_norms'):
    mod=mod.replace('_'+n,n); s=s.replace('_'+n,n)
open(D+'_e11_1_wrong.py','w').write(mod.rstrip()+'\n'); open(E,'w').write(s)
sub(E,
('''from zerotohero.course.checks.numpy_gpt.shared''','''from zerotohero.course.checks.numpy_gpt._e11_1_wrong import (
    overflowing_softmaxes,
    wrong_halves,
    wrong_norms,
    wrong_softmaxes,
)
from zerotohero.course.checks.numpy_gpt.shared'''),
('''        expect_array(what, y, normed(**one), mistakes=lambda one=one: wrong_norms(**one))
''','''        expect_array(
            what, y, normed(**one), dtype="float64", mistakes=lambda one=one: wrong_norms(**one)
        )
'''),
('''    flat = np.full(many,''','''    # Between 1024 and 2048 float16 has whole numbers alone, and the mean of these is none.
    near = rng.integers(1400, 1600, (4, 1)) + rng.permuted(np.tile([0, 1, 1, 3, 5], (4, 1)), axis=1)
    near = (near - near[:, :1] % 1).astype(np.float16)
    g, b = (rng.normal(1, 0.2, 5).astype(np.float16) for _ in range(2))
    asked.append({"x": near, "g": g, "b": b, "eps": 1e-5})
    flat = np.full(many,'''),
)
s=open(E).read()
s=s.replace('[0, 1, 1, 3, 5]','[0, 1, 1, 3, 7]')   # sum 12, mean 2.4
s=s.replace('    near = (near - near[:, :1] % 1).astype(np.float16)\n','').replace('asked.append({"x": near, "g"','asked.append({"x": near.astype(np.float16), "g"')
a=s.index('        overflow = Mistake('); b=s.index('        expect_array(\n            f"layer_norm of {dtype}"')
s=s[:a]+s[b:]
s=s.replace('mistakes=lambda overflow=overflow: [overflow],','mistakes=lambda one=one: wrong_halves(one),')
open(E,'w').write(s)
m=open(M).read()
i=m.index('@wrong("11.1", "Along the first axis")')
m=m[:i]+'''@wrong("11.1", "float64 doesn't stay float64")
def always_in_float32():
    def norm(x, g, b, eps=1e-5):
        y = layer_norm(*(array.astype(np.float32) for array in (x, g, b)), eps)
        return y if x.dtype != np.float16 else y.astype(np.float16)

    return softmax, norm


@wrong("11.1", "The mean is rounded to float16")
def mean_in_float16():
    def norm(x, g, b, eps=1e-5):
        d = wide(x) - x.mean(-1, keepdims=True)
        return (d / np.sqrt((d * d).mean(-1, keepdims=True) + eps) * g + b).astype(x.dtype)

    return softmax, norm


'''+m[i:]
open(M,'w').write(m)
