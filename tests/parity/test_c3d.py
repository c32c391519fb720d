from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "layout"),
    [
        ("c3d_davidea_sports1m", "pytorch_ports"),
        ("c3d_jfzhang95_ucf101", "pytorch_ports"),
        ("mmaction2_c3d_sports1m_ucf101", "mmaction2"),
    ],
)
@pytest.mark.slow
def test_public_state_gives_public_logits(check_parity, fixture, layout):
    check_parity(fixture, "c3d", layout=layout)
