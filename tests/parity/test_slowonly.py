from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("mmaction2_slowonly_r50_8x8", "slowonly_resnet50", "mmaction2"),
        ("mmaction2_slowonly_r50_flow", "slowonly_resnet50_flow", "mmaction2"),
        ("mmaction2_slowonly_r50_nl_eg_gain05", "slowonly_resnet50", "mmaction2"),
        ("pytorchvideo_slow_r50", "slowonly_resnet50", "pytorchvideo"),
        ("pyslowfast_slow_8x8_r50", "slowonly_resnet50", "pyslowfast"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
