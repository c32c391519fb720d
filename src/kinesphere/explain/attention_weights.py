"""The weights of attention, which fused kernels never hold: computed step by step while they are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class RecordedAttention(TorchFunctionMode):
    """While it is entered, `scaled_dot_product_attention` is computed step by step and its weights are shown.

    In this thread alone, and on no module: leaving it, also by an error, leaves everything as it was. Outputs
    equal those of the fused kernels to rounding.

    Args:
        record: Gets the weights softmax(Q Kᵀ / √d) `(N, heads, queries, keys)` of each attention in the order
            in which they run. With gradients on, they take part in the graph.
    """

    def __init__(self, record: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.record = record

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        return self._attend(*args, **(kwargs or {}))

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        *,
        is_causal: bool = False,
        scale: float | None = None,
    ) -> Tensor:
        affinity = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            affinity = affinity + torch.full_like(affinity, float("-inf")).triu(1)
        weights = (affinity if attn_mask is None else affinity + attn_mask).softmax(-1)
        if torch.is_grad_enabled() and not weights.requires_grad:
            weights = weights.detach().requires_grad_()
        self.record(weights)
        return weights @ v
