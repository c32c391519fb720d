from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("torchvision_r3d_18", "r3d_18", "torchvision"),
        ("torchvision_r2plus1d_18", "r2plus1d_18", "torchvision"),
        ("ig65m_r2plus1d_34", "r2plus1d_34", "ig65m"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
