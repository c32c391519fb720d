from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("torchvision_r3d_18", "r3d_18", "torchvision"),
        ("torchvision_r2plus1d_18", "r2plus1d_18", "torchvision"),
        ("ig65m_r2plus1d_34", "r2plus1d_34", "ig65m"),
        ("mmaction2_r2plus1d_r34", "r2plus1d_34", "mmaction2"),
        ("kenshohara_r3d18_k700", "r3d_18", "3d_resnets"),
        ("jfzhang95_r3d_ucf101", "r3d_18", "jfzhang95"),
        ("jfzhang95_r2plus1d_ucf101", "r2plus1d_18", "jfzhang95"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
