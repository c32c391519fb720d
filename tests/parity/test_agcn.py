from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("mmaction2_2sagcn_ntu60_2d", "agcn", "mmaction2"),
        ("mmaction2_2sagcn_ntu60_3d", "agcn", "mmaction2"),
        ("mmaction2_0x_2sagcn_ntu60_3d", "agcn", "mmaction2_0x"),
        ("pyskl_aagcn_ntu60_3d", "aagcn", "pyskl"),
        ("pyskl_aagcn_ntu60_3d_gain05", "aagcn", "pyskl"),
        ("pyskl_aagcn_ntu60_hrnet", "aagcn", "pyskl"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
