from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("torchvision_mvit_v2_s", "mvit_v2_s", "torchvision"),
        ("mmaction2_mvit_s", "mvit_v2_s", "mmaction2"),
        ("pyslowfast_mvitv2_s_16x4", "mvit_v2_s", "pyslowfast"),
        ("pyslowfast_mvit_b_16x4_conv", "mvit_v1_b_16x4", "pyslowfast"),
        ("pytorchvideo_mvit_base_16x4", "mvit_v1_b_16x4", "pytorchvideo"),
    ],
)
@pytest.mark.slow
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    inputs = (lambda x: (x.transpose(1, 2),)) if layout == "pyslowfast" else None
    check_parity(fixture, model, layout=layout, inputs=inputs)
