"""What is explained: the score of one class, or how far it is ahead of another."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kinesphere.models import Recogniser


@dataclass(frozen=True)
class Target:
    """A class, or a pair of classes.

    Attributes:
        label: Index of the class among the model's labels.
        against: Index of another class: "why `label` and not `against`?". None explains the class alone.
    """

    label: int
    against: int | None = None

    def of(self, logits_BK: Tensor) -> Tensor:
        """What is explained, `(B,)`: the class's logit, or its lead over the other class's."""
        score = logits_BK[:, self.label]
        return score if self.against is None else score - logits_BK[:, self.against]


class Scored(nn.Module):
    """A recogniser whose output is the target's score `(B,)`; in evaluation mode, in fp32.

    Args:
        recogniser: Its parameters are left as they are.
        target: What to score.
    """

    def __init__(self, recogniser: Recogniser, target: Target) -> None:
        super().__init__()
        self.recogniser = recogniser.eval()
        self.target = target
        self._recurrent = any(isinstance(module, nn.RNNBase) for module in recogniser.modules())

    def forward(self, *inputs: Tensor) -> Tensor:
        """Scores `(B,)` of normalised clips, one tensor per input."""
        # cuDNN's recurrent kernels have no backward pass in evaluation mode; PyTorch's own have.
        without_cudnn = self._recurrent and inputs[0].is_cuda and torch.is_grad_enabled()
        with torch.backends.cudnn.flags(enabled=False) if without_cudnn else nullcontext():
            return self.target.of(self.recogniser(*inputs).float())
