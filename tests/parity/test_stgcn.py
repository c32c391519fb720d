from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("mmaction2_stgcn_ntu60_2d", "stgcn", "mmaction2"),
        ("mmaction2_stgcn_ntu60_3d", "stgcn", "mmaction2"),
        ("mmaction2_stgcnpp_ntu60_3d", "stgcnpp", "mmaction2"),
        ("mmaction2_0x_stgcn_ntu60_2d", "stgcn", "mmaction2_0x"),
        ("mmaction2_0x_stgcn_ntu60_3d", "stgcn", "mmaction2_0x"),
        ("mmaction2_0x_stgcn_babel60", "stgcn", "mmaction2_0x"),
        ("pyskl_stgcn_ntu60_3d", "stgcn", "pyskl"),
        ("pyskl_stgcn_vanilla_ntu60_hrnet", "stgcn", "pyskl"),
        ("pyskl_stgcnpp_ntu60_3d", "stgcnpp", "pyskl"),
        ("pyskl_stgcnpp_ntu60_hrnet", "stgcnpp", "pyskl"),
        ("stgcn_original_kinetics", "stgcn", "stgcn"),
        ("stgcn_original_ntu", "stgcn", "stgcn"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
