"""The last layer of a recogniser in another form than its model's builder gives it: cosines, or a bias added.

B clips, C features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting

SCALE = 30.0
"""Of the cosines of a normalised head (Cao et al. 2019: 30)."""
_LARGEST_SCALE = 1e4


@dataclass(frozen=True)
class HeadForm:
    """What the last layer computes. It is kept in model files, so that prediction computes the same.

    Attributes:
        kind: `linear`, or `normalised`: cosines between features and the rows of the weights (Cao et al.
            2019, section 3.1), which do not depend on how long either is.
        bias: Whether a number is added for each class.
        scale: Factor of the cosines; it is the inverse of the softmax's temperature.

    Raises:
        InvalidSetting: If the kind is unknown, or the scale is no positive number.
    """

    kind: Literal["linear", "normalised"] = "linear"
    bias: bool = True
    scale: float = SCALE

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "normalised"):
            raise InvalidSetting(f"A head is linear or normalised; got {str(self.kind)[:40]!r}.")
        if not isinstance(self.bias, bool):
            raise InvalidSetting(f"Whether a head has a bias is true or false; got {str(self.bias)[:40]!r}.")
        number = isinstance(self.scale, int | float) and math.isfinite(self.scale)
        if not number or not 0 < self.scale <= _LARGEST_SCALE:
            raise InvalidSetting(
                f"The scale of a normalised head is above 0 and up to {_LARGEST_SCALE:g}; got "
                f"{str(self.scale)[:40]}."
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> HeadForm:
        """Inverse of `to_json`.

        Raises:
            InvalidSetting: If it is no such record.
        """
        try:
            return cls(**plain)
        except TypeError as error:
            raise InvalidSetting(f"This is no form of a head: {error}.") from error


class NormalisedHead(nn.Module):
    """`scale` times the cosine between features and each class's weights, plus a bias if there is one.

    Args:
        weight: `(K, C)`, or `(K, C, 1, 1, 1)` for features `(B, C, T, H, W)`.
        bias: `(K,)`, or None.
        scale: Factor of the cosines.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.scale = scale
        self.on_maps = weight.dim() > 2
        self.out_features, self.in_features = weight.shape[:2]  # some networks ask their head for them

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(B, K)` of features `(B, C)`, or `(B, K, T, H, W)` of `(B, C, T, H, W)`."""
        rows = F.normalize(self.weight, dim=1)
        if self.on_maps:
            logits = self.scale * F.conv3d(F.normalize(x, dim=1), rows)
            return logits if self.bias is None else logits + self.bias[:, None, None, None]
        logits = self.scale * F.linear(F.normalize(x, dim=-1), rows)
        return logits if self.bias is None else logits + self.bias

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, scale={self.scale:g}, bias={self.bias is not None}"


def shaped(head: nn.Module, form: HeadForm, path: str) -> nn.Module:
    """A head in another form, with its weights; its bias stays too, or begins at 0.

    Classifiers whose scores are summed share the scale.

    Args:
        head: `nn.Linear`, a 1×1×1 `nn.Conv3d`, a `NormalisedHead`, or an `nn.ModuleList` of such.
        form: The form.
        path: Its name, for messages.

    Raises:
        InvalidSetting: If it is another kind of layer.
    """
    if isinstance(head, nn.ModuleList):
        own = HeadForm(form.kind, form.bias, form.scale / len(head))
        return nn.ModuleList(shaped(part, own, f"{path}.{i}") for i, part in enumerate(head))
    weight, bias = _weights(head, path)
    if not form.bias:
        bias = None
    elif bias is None:
        bias = weight.new_zeros(len(weight))
    fresh: nn.Module
    if form.kind == "normalised":
        fresh = NormalisedHead(weight.clone(), None if bias is None else bias.clone(), form.scale)
    else:
        fresh = _plain(weight, bias)
    return fresh.train(head.training)


@torch.no_grad()
def tau_normalise(head: nn.Module, tau: float, path: str) -> None:
    """Divide the weights of each class by the tau-th power of their norm (Kang et al. 2020, section 4.3).

    Norms count relative to their geometric mean, so that logits keep their scale; that changes no answer.
    Biases stay. With tau 0 nothing changes, with tau 1 all classes have weights of the same norm.

    Args:
        head: A layer that can be a head, or several whose scores are summed.
        tau: The power.
        path: Its name, for messages.

    Raises:
        InvalidSetting: If the head is normalised, so that norms do not count.
    """
    for part in head if isinstance(head, nn.ModuleList) else (head,):
        if isinstance(part, NormalisedHead):
            raise InvalidSetting(
                f"The head {path!r} is normalised: the norms of its weights do not count. Use logit_adjusted."
            )
        weight, _ = _weights(part, path)
        norms = weight.flatten(1).norm(dim=1).clamp(min=torch.finfo(weight.dtype).tiny)
        factors = (norms.log().mean().exp() / norms) ** tau
        weight.mul_(factors.view(-1, *(1,) * (weight.dim() - 1)))


@torch.no_grad()
def add_to_logits(head: nn.Module, values: Tensor, path: str) -> None:
    """Add a number to each class's logits, by the bias.

    Args:
        head: A layer with a bias, or several whose scores are summed.
        values: (K,).
        path: Its name, for messages.

    Raises:
        InvalidSetting: If it has no bias.
    """
    parts = list(head) if isinstance(head, nn.ModuleList) else [head]
    for part in parts:
        _, bias = _weights(part, path)
        if bias is None:
            raise InvalidSetting(f"The head {path!r} has no bias to add to; give it one first.")
        bias.add_((values / len(parts)).to(bias.device, bias.dtype))


def resized(head: nn.Module, classes: int, path: str) -> nn.Module:
    """A fresh layer of the same form with another number of outputs.

    Raises:
        InvalidSetting: If it is no layer that can be a head.
    """
    if isinstance(head, nn.ModuleList):
        return nn.ModuleList(resized(part, classes, f"{path}.{i}") for i, part in enumerate(head))
    weight, bias = _weights(head, path)
    features = weight.shape[1]
    fresh: nn.Module
    if weight.dim() > 2:
        fresh = nn.Conv3d(features, classes, 1, bias=bias is not None)
    else:
        fresh = nn.Linear(features, classes, bias=bias is not None)
    fresh = fresh.to(weight.device, weight.dtype)
    if isinstance(head, NormalisedHead):
        fresh = shaped(fresh, HeadForm("normalised", bias is not None, head.scale), path)
    return fresh.train(head.training)


def feature_width(net: nn.Module, path: str) -> int:
    """Channels that reach the head of a network.

    Raises:
        InvalidSetting: If the head is no layer that can be one.
    """
    return int(_weights(net.get_submodule(path), path)[0].shape[1])


@torch.no_grad()
def rows_of(head: nn.Module, rows: slice, path: str) -> nn.Module:
    """A layer of the same form that answers for some of the classes alone, with their weights.

    Raises:
        InvalidSetting: If it is no layer that can be a head.
    """
    if isinstance(head, nn.ModuleList):
        return nn.ModuleList(rows_of(part, rows, f"{path}.{i}") for i, part in enumerate(head))
    weight, bias = _weights(head, path)
    part = resized(head, len(weight[rows]), path)
    own_weight, own_bias = _weights(part, path)
    own_weight.copy_(weight[rows])
    if bias is not None and own_bias is not None:
        own_bias.copy_(bias[rows])
    return part


@torch.no_grad()
def unchanging(head: nn.Module, path: str) -> nn.Module:
    """A plain layer that gives what it gets, since networks ask their heads for size and type.

    Raises:
        InvalidSetting: If the head is no layer that can be one.
    """
    weight, bias = _weights(head, path)
    width = weight.shape[1]
    same = torch.eye(width, device=weight.device, dtype=weight.dtype).view(width, *weight.shape[1:])
    zeros = None if bias is None else weight.new_zeros(width)
    return _plain(same, zeros).requires_grad_(False).train(head.training)


def _weights(head: nn.Module, path: str) -> tuple[Tensor, Tensor | None]:
    """Weights `(K, C, …)` and bias `(K,)` of a layer that can be a head."""
    is_conv = isinstance(head, nn.Conv3d) and set(head.kernel_size) == {1}
    if not isinstance(head, nn.Linear | NormalisedHead) and not is_conv:
        raise InvalidSetting(
            f"The head {path!r} is a {type(head).__name__}; heads are nn.Linear or 1×1×1 nn.Conv3d."
        )
    weight, bias = head.weight, head.bias
    assert isinstance(weight, Tensor)
    return weight.detach(), bias.detach() if isinstance(bias, Tensor) else None


def _plain(weight: Tensor, bias: Tensor | None) -> nn.Module:
    classes, features = weight.shape[:2]
    layer: nn.Linear | nn.Conv3d
    with torch.device(weight.device):
        if weight.dim() > 2:
            layer = nn.Conv3d(features, classes, 1, bias=bias is not None)
        else:
            layer = nn.Linear(features, classes, bias=bias is not None)
    layer.weight = nn.Parameter(weight.clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone())
    return layer
