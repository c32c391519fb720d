from __future__ import annotations

import pytest

SLOWONLY = "posec3d_slowonly_resnet50"


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("mmaction2_posec3d_gym", SLOWONLY, "mmaction2"),
        ("mmaction2_posec3d_k400", SLOWONLY, "mmaction2"),
        ("mmaction2_posec3d_ntu60", SLOWONLY, "mmaction2"),
        ("mmaction2_posec3d_ntu60_limb", SLOWONLY, "mmaction2"),
        ("mmaction2_posec3d_ucf101", SLOWONLY, "mmaction2"),
        ("pyskl_posec3d_gym_joint", SLOWONLY, "mmaction2"),
        ("pyskl_posec3d_k400_463", SLOWONLY, "mmaction2"),
        ("pyskl_posec3d_ntu60_joint", SLOWONLY, "mmaction2"),
        ("pyskl_posec3d_ucf101_k400p", SLOWONLY, "mmaction2"),
        ("pyskl_posec3d_c3d_light_ntu60", "posec3d_c3d_light", "pyskl"),
        ("pyskl_posec3d_x3d_shallow_ntu60", "posec3d_x3d", "pyskl"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    """The peers' input is the heatmap volume `(N, clips, J, T, H, W)`."""

    def from_heatmaps(net, x):
        return net.classify(x.flatten(0, 1).transpose(1, 2))

    check_parity(fixture, model, layout=layout, run=from_heatmaps)
