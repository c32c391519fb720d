from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("mmaction2_i3d_r50_nl_embedded_gaussian", "nonlocal_i3d_resnet50", "mmaction2"),
        ("mmaction2_i3d_r50_nl_embedded_gaussian_gain05", "nonlocal_i3d_resnet50", "mmaction2"),
        ("mmaction2_i3d_r50_nl_dot_product", "nonlocal_i3d_resnet50_dot_product", "mmaction2"),
        ("pyslowfast_i3d_nln_8x8_r50", "nonlocal_i3d_resnet50", "pyslowfast"),
        ("pyslowfast_i3d_nln_8x8_r50_gain05", "nonlocal_i3d_resnet50", "pyslowfast"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
