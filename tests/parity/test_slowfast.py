from __future__ import annotations

import pytest
import torch

from kinesphere.models.zoo.slowfast import slow_frames


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model"),
    [
        ("mmaction2_slowfast_r50_8x8", "slowfast_resnet50"),
        ("mmaction2_slowfast_r101_r50_4x16", "slowfast_resnet101_4x16"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model):
    check_parity(fixture, model, layout="mmaction2")


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("pytorchvideo_slowfast_r50", "slowfast_resnet50", "pytorchvideo"),
        ("pyslowfast_slowfast_4x16_r50", "slowfast_resnet50_4x16", "pyslowfast"),
        ("pyslowfast_slowfast_8x8_r50", "slowfast_resnet50", "pyslowfast"),
    ],
)
@pytest.mark.slow
def test_public_state_gives_public_logits_on_separate_pathways(check_parity, fixture, model, layout):
    def pathways(net, slow, fast):
        return net.pathways(slow.transpose(1, 2), fast.transpose(1, 2))

    check_parity(fixture, model, layout=layout, run=pathways)


def test_slow_frames_are_every_nth_or_spread():
    def frames(length, *, spread):
        return slow_frames(torch.arange(length)[None], 4, spread)[0].tolist()

    assert frames(32, spread=False) == [0, 4, 8, 12, 16, 20, 24, 28]
    for count in (2, 4, 8, 16):
        assert frames(4 * count, spread=True) == torch.linspace(0, 4 * count - 1, count).long().tolist()
    for length in range(1, 40):
        assert len(frames(length, spread=False)) == len(frames(length, spread=True))
