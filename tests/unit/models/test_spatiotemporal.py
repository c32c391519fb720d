from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidSetting
from kinesphere.models import create_model
from kinesphere.models.spatiotemporal.box_head import BoxHead, BoxHeadForm, pooled_over_time
from kinesphere.models.spatiotemporal.network import BoxActions
from kinesphere.models.spatiotemporal.roi_align import roi_align


def sampled(x_CHW: Tensor, y: float, x: float) -> Tensor:
    """One bilinear sample, as the definition says it."""
    height, width = x_CHW.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return torch.zeros(len(x_CHW), dtype=x_CHW.dtype)
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    below, beside = y - top, x - left
    upper = x_CHW[:, top, left] * (1 - beside) + x_CHW[:, top, right] * beside
    lower = x_CHW[:, bottom, left] * (1 - beside) + x_CHW[:, bottom, right] * beside
    return upper * (1 - below) + lower * below


def by_definition(
    x_BCHW: Tensor, rois: Tensor, bins: int, scale: float, samples: int, *, aligned: bool
) -> Tensor:
    found = torch.zeros(len(rois), x_BCHW.shape[1], bins, bins, dtype=x_BCHW.dtype)
    for r, (number, *corners) in enumerate(rois.tolist()):
        left, top, right, bottom = (each * scale - (0.5 if aligned else 0) for each in corners)
        width, height = right - left, bottom - top
        if not aligned:
            width, height = max(width, 1.0), max(height, 1.0)
        rows, columns = samples or math.ceil(height / bins), samples or math.ceil(width / bins)
        for p in range(bins):
            for q in range(bins):
                values = [
                    sampled(
                        x_BCHW[int(number)],
                        top + (p + (i + 0.5) / rows) * height / bins,
                        left + (q + (j + 0.5) / columns) * width / bins,
                    )
                    for i in range(rows)
                    for j in range(columns)
                ]
                if values:
                    found[r, :, p, q] = torch.stack(values).mean(0)
    return found


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("samples", [0, 2])
def test_roi_align_is_what_its_definition_says(aligned, samples):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 7, 9, dtype=torch.float64)
    rois = torch.tensor(
        [
            [0, 3.2, 1.1, 60.0, 50.0],
            [1, 0, 0, 72, 56],
            [1, -30, -9.5, 20, 90],  # leaves the frame
            [0, 40, 40, 40.5, 41],  # smaller than a pixel of the map
            [0, 500, 500, 600, 600],  # beside it
            [1, 8, 8, 8, 30],  # no area
        ],
        dtype=torch.float64,
    )
    found = roi_align(x, rois, 4, 1 / 8, samples=samples, aligned=aligned)
    torch.testing.assert_close(found, by_definition(x, rois, 4, 1 / 8, samples, aligned=aligned))
    assert roi_align(x, rois[:0], 4, 1 / 8).shape == (0, 3, 4, 4)


def test_a_map_that_says_where_it_is_gives_the_middles_of_bins():
    """Of a map whose pixels hold their own place, a box gives the places of its bins: the half-pixel rule."""
    columns = (torch.arange(32.0) + 0.5) * 4
    x = columns.expand(1, 1, 32, 32)
    found = roi_align(x, torch.tensor([[0, 20.0, 20.0, 60.0, 60.0]]), 4, 1 / 4)
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([25.0, 35.0, 45.0, 55.0]))


def test_pathways_are_pooled_as_if_repeated_to_the_longest():
    slow, fast = torch.randn(1, 2, 3, 2, 2), torch.randn(1, 1, 8, 2, 2)
    repeated = slow[:, :, [0, 0, 0, 1, 1, 1, 2, 2]]
    mean = pooled_over_time([slow, fast])
    torch.testing.assert_close(mean[:, :2], repeated.mean(2))
    torch.testing.assert_close(mean[:, 2:], fast.mean(2))
    torch.testing.assert_close(pooled_over_time([slow], "max"), slow.amax(2))


@pytest.mark.parametrize(
    ("model", "context"),
    [("slowfast_tiny", "none"), ("slowonly_tiny", "actor"), ("kine_motion_tiny", "frame")],
)
def test_every_parameter_of_the_network_learns_from_boxes(model, context):
    body = create_model(model, ["a", "b"])
    net = BoxActions(body, 3, BoxHeadForm(context=context, relation_width=8), "dense")
    clips = torch.randn(2, body.specs[0].length, 3, *body.specs[0].size)
    rois = torch.tensor([[0, 1.0, 2, 20, 30], [1, 0, 0, 32, 32], [1, 5, 5, 9, 20]])
    logits = net(clips, rois)
    assert logits.shape == (3, 3)
    logits.square().sum().backward()
    assert [name for name, each in net.named_parameters() if each.grad is None] == []
    assert net.eval()(clips, rois[:0]).shape == (0, 3)
    one = net(clips[1:], torch.tensor([[0, 0.0, 0, 32, 32]]))
    torch.testing.assert_close(one, net(clips, rois)[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("last_stage", "stride"), [("strided", 32.0), ("dense", 16.0), ("dilated", 16.0)])
def test_the_last_stage_may_be_twice_as_fine(last_stage, stride):
    body = create_model("slowonly_tiny", ["a"])
    net = BoxActions(body, 2, BoxHeadForm(), last_stage)
    assert net.form.stride_px == stride
    maps = net.eval().maps(torch.randn(1, body.specs[0].length, 3, 64, 96))
    assert maps[0].shape[-2:] == (64 // stride, 96 // stride)
    assert body.net.layer4[0].conv2.stride == (1, 2, 2)  # the given one stays


def test_what_has_no_maps_or_makes_no_sense_is_refused():
    for name in ("timesformer_tiny", "stgcn_tiny"):
        with pytest.raises(InvalidSetting, match="gives no feature maps over a clip of pixels"):
            BoxActions(create_model(name, ["a"]), 2, BoxHeadForm())
    with pytest.raises(InvalidSetting, match=r"no stride that could go; leave model\.last_stage"):
        BoxActions(create_model("x3d_tiny", ["a"]), 2, BoxHeadForm(), "dense")
    for arguments, says in (
        ({"bins": 0}, "1 to 64 bins a side"),
        ({"stride_px": math.nan}, "stride 1 to 1024"),
        ({"context": "everything"}, "context is one of none, frame, actor"),
        ({"dropout": 1.0}, "dropout below 1"),
    ):
        with pytest.raises(InvalidSetting, match=says):
            BoxHead(8, 2, BoxHeadForm(**arguments))
    assert BoxHeadForm.from_json(BoxHeadForm(context="actor").to_json()) == BoxHeadForm(context="actor")
