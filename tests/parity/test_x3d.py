from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("pytorchvideo_x3d_m", "x3d_m", "pytorchvideo"),
        ("mmaction2_x3d_m", "x3d_m", "mmaction2"),
        ("pyslowfast_x3d_m", "x3d_m", "pyslowfast"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
