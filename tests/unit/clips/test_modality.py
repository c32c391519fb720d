from __future__ import annotations

import pytest

from kinesphere.clips import MODALITIES
from kinesphere.clips.modalities import rgb
from kinesphere.core.errors import UnknownName


def test_modalities_are_found_by_name():
    assert "rgb" in MODALITIES
    assert MODALITIES.get("rgb").read is rgb.read
    with pytest.raises(UnknownName, match="no modality called 'rbg'; did you mean rgb"):
        MODALITIES.get("rbg")
