from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("mmaction2_i3d_r50", "i3d_resnet50", "mmaction2"),
        ("mmaction2_i3d_r50_heavy", "i3d_resnet50_heavy", "mmaction2"),
        ("pyslowfast_i3d_8x8_r50", "i3d_resnet50", "pyslowfast"),
        ("pytorchvideo_i3d_r50", "i3d_resnet50", "pytorchvideo"),
        ("mmaction2_c2d_r50_8x8", "c2d_resnet50", "mmaction2"),
        ("mmaction2_c2d_r50_nopool", "c2d_resnet50_nopool", "mmaction2"),
        ("pytorchvideo_c2d_r50", "c2d_resnet50", "pytorchvideo"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
