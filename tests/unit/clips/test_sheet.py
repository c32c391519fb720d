from __future__ import annotations

import numpy as np
import pytest
import torch
from clip_fakes import noise_clip

from kinesphere.clips import Clip, contact_sheet
from kinesphere.core.errors import InvalidSetting


def coloured(length: int, repeated: int = 0) -> Clip:
    """Frames of one strong colour, which nothing else on a sheet has."""
    data = torch.zeros(length, 3, 30, 40, dtype=torch.uint8)
    data[:, 1] = 255
    return Clip(data, np.arange(length) / 25, (30, 40), repeated=repeated)


def green_px(sheet: np.ndarray) -> int:
    return int((sheet == (0, 255, 0)).all(axis=2).sum())


@pytest.mark.parametrize("lengths", [(4,), (3, 10), (1, 17, 8)])
def test_every_frame_is_drawn(lengths):
    sheet = contact_sheet([coloured(n) for n in lengths], cell_px=80, columns=8)
    assert sheet.dtype == np.uint8
    assert green_px(sheet) == sum(lengths) * 80 * 60


def test_repeats_are_marked():
    plain = contact_sheet([coloured(4)])
    marked = contact_sheet([coloured(4, repeated=1)])
    assert ((plain == (200, 80, 40)).all(axis=2)).sum() == 0
    assert ((marked == (200, 80, 40)).all(axis=2)).sum() > 0


def test_long_titles_are_cut_and_any_language_is_drawn():
    narrow = contact_sheet([coloured(2)], ["пройти " * 40])
    assert green_px(narrow) == 2 * 144 * 108


def test_sheet_refused():
    with pytest.raises(InvalidSetting, match="clips and a title for each; got 0 clips"):
        contact_sheet([])
    with pytest.raises(InvalidSetting, match="1 clips, 2 titles"):
        contact_sheet([noise_clip()], ["a", "b"])
    with pytest.raises(InvalidSetting, match="at least 32 px"):
        contact_sheet([noise_clip()], cell_px=8)
