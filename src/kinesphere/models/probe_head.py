"""Heads put on a network afterwards, in place of its own: attentive, pooled, and nearest neighbours.

They look at the positions of the network's last grid: the tokens of a transformer, the places of a
convolutional network's last feature map. A pooled probe may look at that of an earlier stage.

B clips, L positions, C channels, K classes, N rows of a bank.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.attentive import SingleQueryPooler
from kinesphere.models.card import CamLayer, ModelCard
from kinesphere.models.head import HeadForm
from kinesphere.models.layout import Layout, coarse, layout_of
from kinesphere.models.tokens import Grid, Tokens

MOST_ROWS = 50_000
"""Largest number N of remembered feature vectors, which a model file keeps."""
_WIDEST = 100_000
_FLOOR = 1e-4
"""Probability of a class that none of the neighbours has, before all are made to sum to 1."""
_MOST_HEADS = 8


ProbeKind = Literal["attentive", "pooled", "knn"]
KINDS: tuple[ProbeKind, ...] = get_args(ProbeKind)
_MOST_CELLS = 64
"""Along one axis of a coarse grid."""


@dataclass(frozen=True)
class CoarseGrid:
    """Means of a stage's output over parts of the clip.

    Attributes:
        stage: Name of the stage; empty for the network's last grid.
        cells: Parts along time, rows and columns.
        layout: Axes of the stage's output, as `CamLayer` writes them.

    Raises:
        InvalidSetting: If a number of parts is out of its range.
    """

    stage: str
    cells: Grid
    layout: str

    def __post_init__(self) -> None:
        Layout(self.layout, {})  # refuses what is none
        good = isinstance(self.stage, str) and len(self.cells) == 3
        if not good or not all(isinstance(n, int) and 1 <= n <= _MOST_CELLS for n in self.cells):
            raise InvalidSetting(
                f"Cells are three numbers from 1 to {_MOST_CELLS}, along time, rows and columns, such as "
                f"4x3x3; got {str(self.cells)[:40]}."
            )

    def __str__(self) -> str:
        return f"{self.stage or 'last grid'} {'x'.join(map(str, self.cells))}"


@dataclass(frozen=True)
class ProbeForm:
    """A head on the positions of a network's last grid. It is kept in model files.

    Attributes:
        kind: `attentive`: one learnt query that attends to all positions, then a linear layer; `pooled`: a
            linear layer on means over a coarse grid of them; `knn`: a vote of the training clips whose mean
            over positions is nearest by cosine.
        width: Channels C; of `pooled` all numbers of a clip.
        rows: Remembered clips N (`knn`).
        neighbours: How many of them vote.
        temperature: A neighbour of cosine s has the weight exp(s / temperature).
        multi: Whether votes count for each label by itself.
        grids: What `pooled` sees, one after another.

    Raises:
        InvalidSetting: If a number is out of its range.
    """

    kind: ProbeKind
    width: int
    rows: int = 0
    neighbours: int = 1
    temperature: float = 0.07
    multi: bool = False
    grids: tuple[CoarseGrid, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidSetting(f"A probe is attentive, pooled or knn; got {str(self.kind)[:40]!r}.")
        if (self.kind == "pooled") != bool(self.grids):
            raise InvalidSetting(f"Pooled probes have grids, and no others; got a {self.kind} one.")
        least = int(self.kind == "knn")
        bounds = {"width": (1, _WIDEST), "rows": (least, MOST_ROWS), "neighbours": (1, MOST_ROWS)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise InvalidSetting(
                    f"The {name} of a probe are from {low} to {high}; got {str(value)[:40]}."
                )
        number = isinstance(self.temperature, int | float) and math.isfinite(self.temperature)
        if not number or not self.temperature > 0:
            raise InvalidSetting(f"A temperature is above 0; got {str(self.temperature)[:40]}.")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = asdict(self)
        return plain if self.grids else {key: value for key, value in plain.items() if key != "grids"}

    def build(self, classes: int) -> AttentiveProbe | PooledProbe | NeighbourProbe:
        """The head, with fresh or empty weights."""
        if self.kind == "pooled":
            return PooledProbe(self.width, classes)
        if self.kind == "attentive":
            return AttentiveProbe(self.width, classes)
        return NeighbourProbe(torch.zeros(self.rows, self.width), torch.zeros(classes, self.rows), self)


def form_from_json(plain: Mapping[str, Any]) -> HeadForm | ProbeForm:
    """The form of a head from the plain values of either.

    Raises:
        InvalidSetting: If it is no such record.
    """
    if not isinstance(plain, Mapping) or plain.get("kind") not in KINDS:
        return HeadForm.from_json(plain)
    try:
        grids = tuple(
            CoarseGrid(**{**grid, "cells": tuple(grid["cells"])}) for grid in plain.get("grids", ())
        )
        return ProbeForm(**{**plain, "grids": grids})
    except (TypeError, KeyError) as error:
        raise InvalidSetting(f"This is no form of a probe: {error}.") from error


class AttentiveProbe(nn.Module):
    """A learnt query that attends to all positions, and a linear layer."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        heads = next(n for n in range(_MOST_HEADS, 0, -1) if width % n == 0)
        self.pooler = SingleQueryPooler(width, heads)
        self.fc = nn.Linear(width, classes)

    def forward(self, x_BLC: Tensor) -> Tensor:
        """Logits `(B, K)`."""
        logits: Tensor = self.fc(self.pooler(x_BLC))
        return logits

    @classmethod
    def together(cls, probes: Sequence[Self], x_BLC: Tensor) -> list[Tensor]:
        """Logits `(B, K)` of several probes of one shape, each as it would give them alone."""
        pooled = SingleQueryPooler.together([probe.pooler for probe in probes], x_BLC)
        return [probe.fc(each) for probe, each in zip(probes, pooled, strict=True)]


class PooledProbe(nn.Module):
    """A linear layer on numbers that are standardised by what was seen in training.

    He, Chen, Xie, Li, Dollár, Girshick: "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022,
    https://arxiv.org/abs/2111.06377, appendix A.1 (a batch norm without weights before the classifier).
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False, eps=1e-6)
        self.fc = nn.Linear(width, classes)

    def forward(self, x_BD: Tensor) -> Tensor:
        """Logits `(B, K)`."""
        logits: Tensor = self.fc(self.norm(x_BD))
        return logits


class NeighbourProbe(nn.Module):
    """A weighted vote of the nearest training clips.

    Wu, Xiong, Yu, Lin: "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018,
    https://arxiv.org/abs/1805.01978, section 3.4.

    Args:
        bank: Means over positions, of length 1, `(N, C)`.
        targets: Their labels `(K, N)`.
        form: How many vote, and how.
    """

    bank: Tensor

    def __init__(self, bank: Tensor, targets: Tensor, form: ProbeForm) -> None:
        super().__init__()
        self.register_buffer("bank", bank)
        # By class, as the weights of any head, so that classes can be put into another order.
        self.targets = nn.Parameter(targets, requires_grad=False)
        self.form = form

    def forward(self, x_BLC: Tensor) -> Tensor:
        """Logits `(B, K)`, whose softmax (or sigmoid, with several labels) are the shares of the votes."""
        nearness_BN = directions(x_BLC) @ self.bank.T
        near, rows = nearness_BN.topk(min(self.form.neighbours, self.form.rows), 1)
        weights = (near / self.form.temperature).softmax(1)
        votes_BK = torch.einsum("bn,kbn->bk", weights, self.targets[:, rows])
        if self.form.multi:
            return votes_BK.clamp(_FLOOR, 1 - _FLOOR).logit()
        return (votes_BK + _FLOOR).log()


def directions(x_BLC: Tensor) -> Tensor:
    """Means over positions, of length 1, `(B, C)`."""
    return F.normalize(x_BLC.mean(1), dim=1)


class Probed(nn.Module):
    """A network whose answer is a probe's on the positions of one of its layers.

    Args:
        encoder: The network.
        layer: The layer and how its output is laid out.
        probe: Positions `(B, L, C)` to logits.
    """

    def __init__(self, encoder: nn.Module, layer: CamLayer, probe: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.probe = probe
        self._layer = layer

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits `(B, K)` of clips `(B, T, …)`."""
        logits: Tensor = self.probe(positions(self.encoder, self._layer, inputs))
        return logits


class Pooled(Probed):
    """A network whose answer is a pooled probe's on coarse grids.

    Args:
        encoder: The network.
        grids: The layers with the cells of each, in the probe's order.
        probe: Numbers of a clip `(B, D)` to logits.
    """

    def __init__(
        self, encoder: nn.Module, grids: tuple[tuple[CamLayer, Grid], ...], probe: nn.Module
    ) -> None:
        super().__init__(encoder, grids[0][0], probe)
        self._grids = grids

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits `(B, K)` of clips `(B, T, …)`."""
        logits: Tensor = self.probe(torch.cat(pooled(self.encoder, self._grids, inputs), 1))
        return logits


class EncodesTokens:
    """A part of what holds a network of tokens as its encoder: it tells where these lie."""

    encoder: nn.Module

    def token_grid(self, x_BTCHW: Tensor, path: str) -> Grid:
        """See `Tokens`."""
        assert isinstance(self.encoder, Tokens)
        return self.encoder.token_grid(x_BTCHW, path.removeprefix("encoder."))


class PooledTokens(EncodesTokens, Pooled):
    """`Pooled` of a network of tokens."""


class ProbedTokens(EncodesTokens, Probed):
    """`Probed` of a network of tokens."""


def positions(encoder: nn.Module, layer: CamLayer, inputs: tuple[Tensor, ...]) -> Tensor:
    """What a layer gives at its positions `(B, L, C)`, class tokens among them, for clips `(B, T, …)`."""
    (reached,) = _reached(encoder, (layer,), inputs)
    # Every layout begins with the axis of clips, which frames or people may be folded into.
    x = reached.movedim(layer.layout.split().index("C"), -1)
    return x.reshape(inputs[0].shape[0], -1, x.shape[-1])


def pooled(
    encoder: nn.Module, grids: tuple[tuple[CamLayer, Grid], ...], inputs: tuple[Tensor, ...]
) -> list[Tensor]:
    """What each layer gives on its coarse grid, `(B, cells C)`, for clips `(B, T, …)`.

    Raises:
        InvalidSetting: If a layer gives no positions.
    """
    layers = tuple(layer for layer, _ in grids)
    found = []
    for (layer, cells), x in zip(grids, _reached(encoder, layers, inputs), strict=True):
        layout = layout_of(encoder, layer, inputs[layer.input])
        found.append(coarse(x, layout, cells).flatten(1))
    return found


def _reached(encoder: nn.Module, layers: tuple[CamLayer, ...], inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """What layers give for clips `(B, T, …)`, of a layer that runs several times the last."""
    found: dict[int, Tensor] = {}
    caller = threading.get_ident()

    def keep(number: int, _module: nn.Module, _arguments: object, output: Tensor) -> None:
        if threading.get_ident() == caller:
            found[number] = output

    handles = [
        layer.module(encoder).register_forward_hook(partial(keep, number))
        for number, layer in enumerate(layers)
    ]
    try:
        encoder(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [found[number] for number in range(len(layers))]


_PLANES = "B C T H W"
"""How the output of a stage lies that has other axes than the last grid."""


def coarse_grid(
    net: nn.Module, card: ModelCard, stage: str, cells: Grid, inputs: tuple[Tensor, ...]
) -> tuple[CoarseGrid, int]:
    """A coarse grid of a network's stage, and how many numbers it gives of a clip.

    Args:
        net: The network.
        card: Its card.
        stage: Name of the stage; empty for the last grid.
        cells: Parts along time, rows and columns.
        inputs: Some clips `(B, T, …)`.

    Raises:
        InvalidSetting: If the model has no such stage, or what it gives has no positions.
    """
    layer = grid_of(card)
    if stage:
        layer = replace(layer, path=card.check_stage(stage, card.stages))
        (x,) = _reached(net, (layer,), inputs)
        if x.ndim != len(layer.layout.split()):
            layer = replace(layer, layout=_PLANES)
    (numbers,) = pooled(net, ((layer, cells),), inputs)
    return CoarseGrid(stage, cells, layer.layout), numbers.shape[1]


def _layer_of(card: ModelCard, grid: CoarseGrid) -> CamLayer:
    last = grid_of(card)
    path = card.check_stage(grid.stage, card.stages) if grid.stage else last.path
    return replace(last, path=path, layout=grid.layout)


def grid_of(card: ModelCard) -> CamLayer:
    """The layer that probes look at.

    Raises:
        InvalidSetting: If the model has none, or several.
    """
    if len(card.cam_layers) != 1:
        raise InvalidSetting(
            f"{card.name} has {len(card.cam_layers)} last layers with positions, and attentive and k-NN "
            "probes look at one; take probe.kind=linear."
        )
    return card.cam_layers[0]


def put_on(net: nn.Module, card: ModelCard, probe: nn.Module, form: ProbeForm) -> Probed:
    """A network with a probe in place of its own head."""
    if form.grids:
        grids = tuple((_layer_of(card, grid), grid.cells) for grid in form.grids)
        return (PooledTokens if isinstance(net, Tokens) else Pooled)(net, grids, probe)
    kind = ProbedTokens if isinstance(net, Tokens) else Probed
    return kind(net, grid_of(card), probe)


def card_with(card: ModelCard, form: ProbeForm) -> ModelCard:
    """The card of a network with a probe: where its parts are, and what it no longer can (stream, ...)."""
    layer = _layer_of(card, form.grids[-1]) if form.grids else grid_of(card)
    return replace(
        card,
        head=("probe",) if form.kind == "knn" else ("probe.fc",),
        stages=tuple(f"encoder.{stage}" for stage in card.stages),
        cam_layers=(replace(layer, path=f"encoder.{layer.path}"),),
        explanation="gradcam",
        frame_wise=False,
        streaming=False,
    )
