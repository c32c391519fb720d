"""Cells lie where they look, which is beside their tiles where convolutions pad both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinesphere.clips import ClipSpec, Sampling
from kinesphere.core.labels import LabelSet
from kinesphere.explain.centres import offset_of
from kinesphere.explain.geometry import TILES, fill_cells
from kinesphere.explain.method import METHODS, Settings
from kinesphere.explain.target import Scored, Target
from kinesphere.models import Provenance, Recogniser, create_model
from kinesphere.models.card import CamLayer, ModelCard


class Net(nn.Module):
    """Layers over clips whose mean over cells is both scores; `folded` runs them on each frame alone."""

    def __init__(self, *layers: nn.Module, folded: bool = False) -> None:
        super().__init__()
        self.layers, self.folded = nn.Sequential(*layers), folded
        for parameter in self.layers.parameters():
            nn.init.constant_(parameter, 1.0 if parameter.ndim > 1 else 0.0)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = x_BTCHW.flatten(0, 1) if self.folded else x_BTCHW.transpose(1, 2)
        scores = self.layers(x).flatten(1).mean(1)
        scores = scores.unflatten(0, x_BTCHW.shape[:2]).mean(1) if self.folded else scores
        return torch.stack([scores, scores], 1)


ODD = nn.Conv3d(3, 1, 3, 2, 1, bias=False), nn.ReLU(), nn.Conv3d(1, 1, 3, 2, 1, bias=False)


@pytest.mark.parametrize(
    ("net", "offset"),
    [
        (Net(*ODD), (-0.375,) * 3),
        (Net(nn.Conv3d(3, 1, 4, 4)), (0.0,) * 3),
        (Net(nn.MaxPool3d(2, 2), nn.Conv3d(3, 1, (1, 3, 3), (1, 2, 2), (0, 1, 1))), (0.0, -0.25, -0.25)),
        (Net(nn.ConstantPad3d((0, 1) * 3, 0.0), nn.Conv3d(3, 1, 3, 2)), (0.25,) * 3),
        (Net(nn.AvgPool2d(3, 2, 1), nn.Conv2d(3, 1, 3, 2, 1), folded=True), (0.0, -0.375, -0.375)),
        (Net(nn.ConstantPad3d((0, 0, 0, 0, 9, 0), 0.0), nn.Conv3d(3, 1, (10, 1, 1))), (0.0,) * 3),  # causal
    ],
)
def test_centres_follow_strides_and_paddings(net: Net, offset: tuple[float, ...]) -> None:
    clips = torch.zeros(2, 16, 3, 32, 32)
    layer = CamLayer("layers", "BT C H W" if net.folded else "B C T H W")
    found = np.array(offset_of(net, layer, (clips,)))
    assert found[:, 0] == pytest.approx(np.array(offset))
    assert found[:, 1] == pytest.approx(1.0)


def test_cells_keep_their_stride_where_it_does_not_divide_the_clip() -> None:
    """Cells at 0, 4, 8, …, also of sides of 30 and 42 pixels."""
    offset = offset_of(Net(*ODD), CamLayer("layers", "B C T H W"), (torch.zeros(1, 16, 3, 30, 42),))
    cells = torch.zeros(2, 4, 8, 11)
    cells[0, 1, 2, 3] = cells[1, -1, -1, -1] = 1
    heat = fill_cells(cells, (16, 30, 42), offset)
    assert [float(heat[0, 4, 8, 12]), float(heat[1, 12, 28, 40])] == pytest.approx([1, 1], abs=1e-5)
    assert float(heat[0, 4, 8, 10]) == pytest.approx(0.5, abs=1e-5)


def test_heat_of_a_spot_lies_about_the_spot() -> None:
    net = Net(*ODD)
    spec = ClipSpec(Sampling("dense", 16), size=(32, 32))
    layers = (CamLayer("layers", "B C T H W"),)
    card = ModelCard("small", "small", "", None, (spec,), 1, 1, 2, ("fc",), ("layers",), cam_layers=layers)
    recogniser = Recogniser(net, card, (spec,), LabelSet(("a", "b")), {}, Provenance("tests"))
    for place in ((8, 12, 16), (5, 18, 13), (10, 15, 22)):
        clips = torch.zeros(1, 16, 3, 32, 32)
        clips[0, place[0], :, place[1], place[2]] = 1
        method, settings = METHODS.get("layercam"), Settings()
        (cells,) = method.heat(Scored(recogniser, Target(0)), (clips,), settings)
        (offset,) = method.offsets(recogniser, (clips,), settings)
        assert cells is not None
        for centres, least, most in ((offset, 0.0, 0.8), (TILES, 0.8, 2.5)):
            heat = fill_cells(cells, (16, 32, 32), centres)[0]
            for axis, wanted in enumerate(place):
                profile = heat.sum([other for other in range(3) if other != axis])
                found = float((profile * torch.arange(len(profile))).sum() / profile.sum())
                assert least <= abs(found - wanted) <= most


def test_what_is_not_followed_lies_on_tiles() -> None:
    """Joints, and an axis along which frames are left out."""
    pose = create_model("stgcn_tiny", ["a", "b"])
    joints = torch.zeros(1, 8, 2, 17, 3)
    assert METHODS.get("gradcam").offsets(pose, (joints,), Settings()) == (TILES,)
    slow = create_model("slowfast_tiny", ["a", "b"])
    clips = torch.zeros(1, 8, 3, 64, 64)
    assert offset_of(slow.net, slow.card.cam_layers[0], (clips,))[0] == TILES[0]
    assert not slow.net.training or all(module.training for module in slow.net.modules())
