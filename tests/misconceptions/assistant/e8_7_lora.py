"""Wrong answers to 8.7, LoRA."""

import copy

import torch
from torch import nn

from misconceptions import wrong


class Base(nn.Module):
    """The right layer, with what can be wrong as attributes of the class."""

    a, b, frozen = 1.0, 0.0, True

    @staticmethod
    def scaling(alpha, rank):
        return alpha / rank

    def __init__(self, linear, rank, alpha):
        super().__init__()
        self.linear, self.scale = linear, self.scaling(alpha, rank)
        if self.frozen:
            linear.requires_grad_(False)
        o, i = linear.weight.shape
        like = {"dtype": linear.weight.dtype}
        self.A = nn.Parameter(self.a * torch.randn(rank, i, **like))
        self.B = nn.Parameter(self.b * torch.randn(o, rank, **like))

    def product(self, x):
        return self.scale * (x @ self.A.T @ self.B.T)

    def forward(self, x):
        return self.linear(x) + self.product(x)

    def merged(self):
        linear = copy.deepcopy(self.linear)
        with torch.no_grad():
            linear.weight += self.scale * self.B @ self.A
        return linear


def adding(kind, frozen=True, fits=lambda name, names: name in names, deep=True, share=None):
    """Return add_lora for this kind of layer, with one thing wrong."""

    def add_lora(model, names, rank, alpha):
        if frozen:
            model.requires_grad_(False)
        for parent in list(model.modules()) if deep else [model]:
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Linear) and fits(name, names):
                    setattr(parent, name, kind(child, rank, alpha))
        if share:
            return share(model)
        every = list(model.parameters())
        return sum(p.numel() for p in every if p.requires_grad) / sum(p.numel() for p in every)

    return add_lora


def merging(kind, put=lambda layer: layer.merged()):
    def merge_lora(model):
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, kind):
                    setattr(parent, name, put(child))

    return merge_lora


def layer(**changes):
    """Return answers of which the layer has something else."""
    kind = type("LoRALinear", (Base,), {"forward": Base.forward, **changes})
    return kind, adding(kind), merging(kind)


def scaled(how):
    return layer(scaling=staticmethod(how))


def model(**changes):
    """Return answers of which add_lora does something else."""
    return Base, adding(Base, **changes), merging(Base)


def counts(model):
    every = [p.numel() for p in model.parameters()]
    return sum(p.numel() for p in model.parameters() if p.requires_grad), sum(every)


@wrong("8.7", "With A and B both zero")
def both_zero():
    return layer(a=0.0)


@wrong("8.7", "B is random, so that")
def both_random():
    return layer(b=1.0)


@wrong("8.7", "B isn't zero, so that")
def ones():
    class LoRALinear(Base):
        def __init__(self, linear, rank, alpha):
            super().__init__(linear, rank, alpha)
            self.B = nn.Parameter(torch.ones_like(self.B))

        def forward(self, x):
            return super().forward(x)

    return LoRALinear, adding(LoRALinear), merging(LoRALinear)


@wrong("8.7", "Equal rows of A learn the same")
def equal_rows():
    class LoRALinear(Base):
        def __init__(self, linear, rank, alpha):
            super().__init__(linear, rank, alpha)
            self.A = nn.Parameter(self.A[:1].detach().repeat(rank, 1))

        def forward(self, x):
            return super().forward(x)

    return LoRALinear, adding(LoRALinear), merging(LoRALinear)


@wrong("8.7", "A and B lie on their side")
def on_their_side():
    class LoRALinear(Base):
        def __init__(self, linear, rank, alpha):
            super().__init__(linear, rank, alpha)
            self.A, self.B = nn.Parameter(self.A.T), nn.Parameter(self.B.T)

        def forward(self, x):
            return self.linear(x) + self.scale * (x @ self.A @ self.B)

        def merged(self):
            linear = copy.deepcopy(self.linear)
            linear.weight.data += self.scale * (self.A @ self.B).T
            return linear

    return LoRALinear, adding(LoRALinear), merging(LoRALinear)


@wrong("8.7", "The layer that is kept learns on")
def everything_learns():
    return layer(frozen=False)


@wrong("8.7", "The product isn't scaled")
def no_scale():
    return scaled(lambda alpha, rank: 1.0)


@wrong("8.7", "and not divided by the rank")
def alpha_alone():
    return scaled(lambda alpha, rank: alpha)


@wrong("8.7", "alpha is left out")
def rank_alone():
    return scaled(lambda alpha, rank: 1 / rank)


@wrong("8.7", "upside down")
def rank_over_alpha():
    return scaled(lambda alpha, rank: rank / alpha)


@wrong("8.7", "The rank multiplies")
def alpha_times_rank():
    return scaled(lambda alpha, rank: alpha * rank)


@wrong("8.7", "`//` makes a whole number")
def whole_scale():
    return scaled(lambda alpha, rank: alpha // rank)


@wrong("8.7", "the layer has a parameter too many")
def learned_scale():
    class LoRALinear(Base):
        def __init__(self, linear, rank, alpha):
            super().__init__(linear, rank, alpha)
            self.gain = nn.Parameter(torch.ones((), dtype=linear.weight.dtype))

        def forward(self, x):
            return self.linear(x) + self.gain * self.product(x)

    return LoRALinear, adding(LoRALinear), merging(LoRALinear)


@wrong("8.7", "Divided by the root of the rank")
def root_of_the_rank():
    return scaled(lambda alpha, rank: alpha / rank**0.5)


@wrong("8.7", "The layer that is kept is left out of the sum")
def product_alone():
    def forward(self, x):
        bias = 0 if self.linear.bias is None else self.linear.bias
        return self.product(x) + bias

    return layer(forward=forward)


@wrong("8.7", "The bias of the layer that is kept is lost")
def bias_lost():
    return layer(forward=lambda self, x: x @ self.linear.weight.T + self.product(x))


@wrong("8.7", "No gradient reaches x through the layer that is kept")
def layer_without_a_gradient():
    def forward(self, x):
        with torch.no_grad():
            kept = self.linear(x)
        return kept + self.product(x)

    return layer(forward=forward)


@wrong("8.7", "No gradient reaches x through A and B")
def product_without_a_gradient():
    return layer(forward=lambda self, x: self.linear(x) + self.product(x.detach()))


@wrong("8.7", "A and B are in another data type")
def in_float32():
    class LoRALinear(Base):
        def __init__(self, linear, rank, alpha):
            super().__init__(linear, rank, alpha)
            self.A, self.B = nn.Parameter(self.A.float()), nn.Parameter(self.B.float())

        def forward(self, x):
            return super().forward(x)

    return LoRALinear, adding(LoRALinear), merging(LoRALinear)


@wrong("8.7", "What learns has to be a parameter")
def plain_tensors():
    class LoRALinear(nn.Module):
        def __init__(self, linear, rank, alpha):
            super().__init__()
            self.linear = linear.requires_grad_(False)
            o, i = linear.weight.shape
            self.A = torch.randn(rank, i, dtype=linear.weight.dtype, requires_grad=True)
            self.B = torch.zeros(o, rank, dtype=linear.weight.dtype, requires_grad=True)

        def forward(self, x):
            return self.linear(x) + x @ self.A.T @ self.B.T

    return LoRALinear, adding(LoRALinear), merging(LoRALinear)


@wrong("8.7", "`merged` forgets the scale")
def merged_unscaled():
    def merged(self):
        linear = copy.deepcopy(self.linear)
        linear.weight.data += self.B @ self.A
        return linear

    return layer(merged=merged)


@wrong("8.7", "The product isn't added to the weight")
def not_merged():
    return layer(merged=lambda self: copy.deepcopy(self.linear))


@wrong("8.7", "That is the product alone")
def merged_without_the_layer():
    def merged(self):
        linear = copy.deepcopy(self.linear)
        linear.weight.data = self.scale * self.B.data @ self.A.data
        return linear

    return layer(merged=merged)


@wrong("8.7", "The bias of the layer has to come along")
def merged_without_its_bias():
    def merged(self):
        linear = nn.Linear(
            *self.linear.weight.shape[::-1], bias=False, dtype=self.linear.weight.dtype
        )
        linear.weight.data = self.linear.weight + self.scale * self.B.data @ self.A.data
        return linear

    return layer(merged=merged)


@wrong("8.7", "There is no bias in `linear`")
def merged_with_a_new_bias():
    def merged(self):
        linear = nn.Linear(*self.linear.weight.shape[::-1], dtype=self.linear.weight.dtype)
        linear.weight.data = self.linear.weight + self.scale * self.B.data @ self.A.data
        if self.linear.bias is not None:
            linear.bias.data = self.linear.bias.data.clone()
        return linear

    return layer(merged=merged)


@wrong("8.7", "`merged` has written into the layer")
def merged_in_place():
    def merged(self):
        self.linear.weight.data += self.scale * self.B.data @ self.A.data
        return copy.deepcopy(self.linear)

    return layer(merged=merged)


@wrong("8.7", "The product was moved into the layer that is kept")
def moved():
    def merged(self):
        self.linear.weight.data += self.scale * self.B.data @ self.A.data
        self.B.data.zero_()
        return self.linear

    return layer(merged=merged)


@wrong("8.7", "The merged layer shares a parameter")
def bias_shared():
    def merged(self):
        linear = copy.copy(self.linear)
        linear._parameters = dict(self.linear._parameters)
        weight = self.linear.weight + self.scale * self.B @ self.A
        linear.weight = nn.Parameter(weight.detach())
        return linear

    return layer(merged=merged)


@wrong("8.7", "`merged` returns a new layer")
def merged_to_a_weight():
    def merged(self):
        return self.linear.weight + self.scale * self.B @ self.A

    return layer(merged=merged)


@wrong("8.7", "layers inside of blocks have to be found too")
def outermost_only():
    return model(deep=False)


@wrong("8.7", "Only the first block was changed")
def first_block_only():
    def add_lora(whole, names, rank, alpha):
        whole.requires_grad_(False)
        adding(Base)(whole.blocks[0], names, rank, alpha)
        learn, total = counts(whole)
        return learn / total

    return Base, add_lora, merging(Base)


@wrong("8.7", "A name that only contains one of `names`")
def parts_of_names():
    return model(fits=lambda name, names: any(n in name for n in names))


@wrong("8.7", "What stands within a module of such a name was replaced")
def any_part():
    def add_lora(whole, names, rank, alpha):
        whole.requires_grad_(False)
        for full, child in list(whole.named_modules()):
            if isinstance(child, nn.Linear) and {*full.split(".")} & {*names}:
                parent, _, name = full.rpartition(".")
                setattr(whole.get_submodule(parent), name, Base(child, rank, alpha))
        learn, total = counts(whole)
        return learn / total

    return Base, add_lora, merging(Base)


@wrong("8.7", "whatever else has such a name")
def any_kind():
    def add_lora(whole, names, rank, alpha):
        for parent in list(whole.modules()):
            for name, child in list(parent.named_children()):
                if name in names:
                    setattr(parent, name, Base(child, rank, alpha))

    return Base, add_lora, merging(Base)


@wrong("8.7", "Layers were replaced that aren't in `names`")
def every_layer():
    return model(fits=lambda name, names: True)


@wrong("8.7", "The rest of the model learns on")
def not_frozen():
    return model(frozen=False)


@wrong("8.7", "A and B are exchanged")
def exchanged():
    class LoRALinear(Base):
        def __init__(self, linear, rank, alpha):
            super().__init__(linear, rank, alpha)
            self.A, self.B = self.B, nn.Parameter(torch.randn_like(self.A))
            nn.init.zeros_(self.B)

        def product(self, x):
            return self.scale * (x @ self.B.T @ self.A.T)

        def merged(self):
            linear = copy.deepcopy(self.linear)
            linear.weight.data += self.scale * self.A @ self.B
            return linear

    return LoRALinear, adding(LoRALinear), merging(LoRALinear)


@wrong("8.7", "`super().__init__()` has to come first")
def without_super():
    class LoRALinear(Base):
        def __init__(self, linear, rank, alpha):
            self.linear = linear

    return LoRALinear, adding(LoRALinear), merging(LoRALinear)


@wrong("8.7", "A and B have no part in what comes out")
def layer_alone():
    return layer(forward=lambda self, x: self.linear(x))


@wrong("8.7", "The merged layer is in another data type")
def merged_in_float32():
    class LoRALinear(Base):
        def merged(self):
            return super().merged().float()

    return LoRALinear, adding(LoRALinear), merging(LoRALinear)


@wrong("8.7", "they are in a copy of it")
def in_a_copy():
    return Base, lambda whole, *given: adding(Base)(copy.deepcopy(whole), *given), merging(Base)


@wrong("8.7", "hands both on to each layer")
def alpha_of_the_card():
    def add_lora(whole, names, rank, alpha):
        return adding(Base)(whole, names, rank, 8)

    return Base, add_lora, merging(Base)


@wrong("8.7", "A and B don't learn: freeze the model first")
def frozen_at_the_end():
    def add_lora(whole, *given):
        share = adding(Base)(whole, *given)
        whole.requires_grad_(False)
        return share

    return Base, add_lora, merging(Base)


@wrong("8.7", "A and B are missing in the number of all")
def over_what_was_there():
    return model(share=lambda m: counts(m)[0] / (counts(m)[1] - counts(m)[0]))


@wrong("8.7", "is counted twice")
def tied_twice():
    def share(m):
        return counts(m)[0] / sum(w.numel() for w in m.state_dict().values())

    return model(share=share)


@wrong("8.7", "A share, and no percentage")
def in_percent():
    return model(share=lambda m: 100 * counts(m)[0] / counts(m)[1])


@wrong("8.7", "The number itself")
def not_divided():
    return model(share=lambda m: counts(m)[0])


@wrong("8.7", "Tensors are counted")
def tensors_counted():
    def share(m):
        learn = [p.requires_grad for p in m.parameters()]
        return sum(learn) / len(learn)

    return model(share=share)


@wrong("8.7", "Go through all modules, and put what `merged` returns")
def merged_to_nowhere():
    return Base, adding(Base), merging(Base, lambda layer: layer)


@wrong("8.7", "What was learned is lost")
def old_layers_back():
    return Base, adding(Base), merging(Base, lambda layer: layer.linear)


@wrong("8.7", "The merged layer hangs somewhere else")
def wrapped():
    def put(layer):
        return nn.Sequential(layer.merged())

    return Base, adding(Base), merging(Base, put)
