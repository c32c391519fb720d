"""The head of a spatio-temporal detector: feature maps and boxes of people to actions.

Feichtenhofer et al.: "SlowFast Networks for Video Recognition", ICCV 2019, https://arxiv.org/abs/1812.03982,
section 5: maps are pooled over time, then within each box by RoIAlign, and the maximum over its grid is
classified, each action by itself. What stands around a person is seen too with `frame` (the whole frame
beside the box) or `actor` (the person held against every place of the frame; Sun et al.: "Actor-Centric
Relation Network", ECCV 2018, https://arxiv.org/abs/1807.10982, section 3.2).

B clips, R boxes, C channels, T frames, H W rows and columns of the maps, P bins a side, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.spatiotemporal.roi_align import roi_align

Context = Literal["none", "frame", "actor"]
OverTime = Literal["mean", "max"]
START_STD = 0.01
"""Weights of a fresh classifier are drawn from a normal distribution of this width."""


@dataclass(frozen=True)
class BoxHeadForm:
    """How a head is built.

    Attributes:
        bins: P.
        stride_px: Pixels of the frame for one of the maps.
        context: What of the frame is seen beside the box.
        over_time: How maps are pooled over time.
        relation_width: Channels of the relation network; nothing without `context="actor"`.
        dropout: Before the classifier.

    Raises:
        InvalidSetting: If a number makes no sense.
    """

    bins: int = 8
    stride_px: float = 16.0
    context: Context = "none"
    over_time: OverTime = "mean"
    relation_width: int = 512
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.bins <= 64 or not 1 <= self.stride_px <= 1024:
            raise InvalidSetting(
                f"A box has 1 to 64 bins a side on maps of stride 1 to 1024; got bins={self.bins}, "
                f"stride_px={self.stride_px}."
            )
        if self.context not in get_args(Context) or self.over_time not in get_args(OverTime):
            raise InvalidSetting(
                f"context is one of {', '.join(get_args(Context))}, over_time of "
                f"{', '.join(get_args(OverTime))}; got {self.context!r} and {self.over_time!r}."
            )
        if not 1 <= self.relation_width <= 8192 or not 0 <= self.dropout < 1:
            raise InvalidSetting(
                f"relation_width is 1 to 8192 and dropout below 1; got {self.relation_width} and "
                f"{self.dropout}."
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            TypeError: If a field is unknown.
        """
        return cls(**plain)


def pooled_over_time(maps: Sequence[Tensor], over_time: OverTime = "mean") -> Tensor:
    """Maps `(B, C, T, H, W)` of one or more pathways as one `(B, C, H, W)`, in their order.

    Pathways of fewer frames count as if their frames were repeated to the number of the longest.
    """
    longest = max(each.shape[2] for each in maps)
    pooled = []
    for each in maps:
        if longest % each.shape[2]:
            each = F.interpolate(each, (longest, *each.shape[3:]), mode="nearest")
        pooled.append(each.mean(2) if over_time == "mean" else each.amax(2))
    return torch.cat(pooled, 1)


class ActorRelation(nn.Module):
    """Each person against every place of the frame."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2 * channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, people_RC: Tensor, frames_RCHW: Tensor) -> Tensor:
        """Relations `(R, width, H, W)` of people with the frames that they are in."""
        tiled = people_RC[:, :, None, None].expand_as(frames_RCHW)
        x = F.relu(self.bn1(self.conv1(torch.cat((tiled, frames_RCHW), 1))))
        found: Tensor = F.relu(self.bn2(self.conv2(x)))
        return found


class BoxHead(nn.Module):
    """Actions of people in boxes.

    Args:
        channels: Of all maps together.
        classes: K.
        form: See `BoxHeadForm`.
    """

    def __init__(self, channels: int, classes: int, form: BoxHeadForm = BoxHeadForm()) -> None:
        super().__init__()
        self.form = form
        actor = form.context == "actor"
        self.relation = ActorRelation(channels, form.relation_width) if actor else None
        self.dropout = nn.Dropout(form.dropout)
        seen = {"none": channels, "frame": 2 * channels, "actor": form.relation_width}[form.context]
        self.fc = nn.Linear(seen, classes)
        nn.init.normal_(self.fc.weight, std=START_STD)
        nn.init.zeros_(self.fc.bias)

    def pooled(self, maps: Sequence[Tensor], rois_R5: Tensor) -> Tensor:
        """What is seen of each person, on a grid: `(R, D, P, P)`, or `(R, D, H, W)` with relations.

        Args:
            maps: `(B, C, T, H, W)` of each pathway.
            rois_R5: Number of the clip, left, top, right, bottom in pixels of its frames.
        """
        x_BCHW = pooled_over_time(maps, self.form.over_time)
        people = roi_align(x_BCHW, rois_R5, self.form.bins, 1 / self.form.stride_px)
        number_R = rois_R5[:, 0].long()
        if self.relation is not None:
            relations: Tensor = self.relation(people.amax((2, 3)), x_BCHW[number_R])
            return relations
        if self.form.context == "frame":
            whole = F.adaptive_avg_pool2d(x_BCHW, self.form.bins)[number_R]
            return torch.cat((people, whole), 1)
        return people

    def forward(self, maps: Sequence[Tensor], rois_R5: Tensor) -> Tensor:
        """Logits `(R, K)`; arguments as of `pooled`."""
        seen_RD = self.pooled(maps, rois_R5).amax((2, 3))
        logits_RK: Tensor = self.fc(self.dropout(seen_RD))
        return logits_RK
