from __future__ import annotations

import pytest

from kinesphere.clips.skeleton import COCO17
from kinesphere.models.zoo.msg3d import scaled_graphs


@pytest.mark.real
def test_public_state_gives_public_logits(check_parity):
    """The graphs over five frames are too large to be kept in the fixture."""
    kept = {f"backbone.gcn3d{s}.gcn3d.1.gcn3d.1.A": scaled_graphs(COCO17, 6, 5) for s in (1, 2, 3)}
    check_parity("pyskl_msg3d_ntu60_hrnet", "msg3d", layout="pyskl", kept=kept)
