from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("kenshohara_r3d50_k700", "r3d_50", "3d_resnets"),
        ("kenshohara_r2p1d50_k700", "r2plus1d_50", "3d_resnets"),
        pytest.param("pytorchvideo_r2plus1d_r50", "r2plus1d_slim_50", "pytorchvideo", marks=pytest.mark.slow),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
