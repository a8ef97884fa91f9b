"""One table for the tokens that are read and for those that are predicted, whatever happens to it.

The idea: the embedding of a token and the weights that predict it say the same thing, what the
token is like, so GPT-2 has one parameter for both, under two names. PyTorch knows nothing of that:
`load_state_dict(..., assign=True)` and `to_empty` leave two parameters, which training then pulls
apart. Here they are tied again.

The paper: Press & Wolf (2017), "Using the Output Embedding to Improve Language Models".
"""

import torch
from torch import nn

HEAD, TABLE = "lm_head.weight", "transformer.wte.weight"


class TiedHead(nn.Module):
    """A model with the two parameters, and a `config` whose `tied` says whether they are one."""

    def tie(self, _=None) -> None:
        """Make the output layer's weight the table's, now and after each load_state_dict."""
        self.lm_head.weight = self.transformer.wte.weight
        if not self._load_state_dict_post_hooks:
            self.register_load_state_dict_post_hook(TiedHead.tie)

    def _apply(self, fn, recurse: bool = True) -> "TiedHead":
        tied = self.lm_head.weight is self.transformer.wte.weight
        super()._apply(fn, recurse)
        if tied:
            self.tie()
        return self

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest) -> None:
        """Refuse two different tables for one; ValueError before anything is changed."""
        head, table = (state_dict.get(prefix + name) for name in (HEAD, TABLE))
        both = self.config.tied and head is not None and table is not None
        if both and not (head is table or head.is_meta or torch.equal(head, table.to(head.device))):
            raise ValueError(
                f"{HEAD} and {TABLE} differ in what is loaded, but this model has one table for "
                "both: make it with tied=False."
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)
