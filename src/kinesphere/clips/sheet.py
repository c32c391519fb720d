"""Contact sheets: the sampled frames of clips with their times, on one image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from kinesphere.clips.clip import Clip
from kinesphere.clips.modality import MODALITIES
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

_PAPER, _INK, _FAINT, _REPEAT = (250, 250, 248), (32, 34, 38), (120, 124, 130), (200, 80, 40)
_MARGIN_PX, _GAP_PX, _TITLE_PX, _TIME_PX = 16, 4, 16, 12


def contact_sheet(
    clips: Sequence[Clip], titles: Sequence[str] | None = None, *, cell_px: int = 144, columns: int = 8
) -> np.ndarray:
    """Draw the frames of some clips, one block per clip: a title, then frames with their times below.

    Frames that repeat others because the span was too short are marked.

    Args:
        clips: Clips of any modality; their sizes may differ.
        titles: One line of text per clip, such as its file and label.
        cell_px: Width of a frame on the sheet, in pixels.
        columns: Frames per line; longer clips run on to the next line.

    Returns:
        uint8 RGB `(H, W, 3)`.

    Raises:
        InvalidSetting: If there is no clip, not a title for each, or nothing fits the cells.
    """
    # Pillow and its font come with matplotlib and are only needed here.
    from PIL import Image, ImageDraw

    titles = [""] * len(clips) if titles is None else titles
    if not clips or len(titles) != len(clips):
        raise InvalidSetting(
            f"A sheet needs clips and a title for each; got {len(clips)} clips, {len(titles)} titles."
        )
    if cell_px < 32 or columns < 1:
        raise InvalidSetting(f"Cells are at least 32 px wide, in 1 column or more; got {cell_px}, {columns}.")
    columns = min(columns, max(len(clip) for clip in clips))
    blocks = [_thumbnails(clip, cell_px) for clip in clips]
    heights = [_block_height(block, columns) for block in blocks]
    width = 2 * _MARGIN_PX + columns * (cell_px + _GAP_PX) - _GAP_PX
    sheet = Image.new("RGB", (width, _MARGIN_PX + sum(heights)), _PAPER)
    pen, top = ImageDraw.Draw(sheet), _MARGIN_PX
    for clip, title, block, height in zip(clips, titles, blocks, heights, strict=True):
        _draw_title(pen, clip, title, top, width)
        line_px = block.shape[1] + _TIME_PX + 2 * _GAP_PX
        for i, (image, time_s) in enumerate(zip(block, clip.times, strict=True)):
            x = _MARGIN_PX + i % columns * (cell_px + _GAP_PX)
            y = top + _TITLE_PX + 2 * _GAP_PX + i // columns * line_px
            sheet.paste(Image.fromarray(image), (x, y))
            is_repeat = i >= len(clip) - clip.repeated
            text = f"{time_s:.2f} s" + (" · repeat" if is_repeat else "")
            colour = _REPEAT if is_repeat else _FAINT
            pen.text((x, y + block.shape[1] + 2), text, colour, _font(_TIME_PX))
        top += height
    return np.asarray(sheet).copy()


def _thumbnails(clip: Clip, width_px: int) -> np.ndarray:
    images = MODALITIES.get(clip.modality).draw(clip)
    count, height, width, _ = images.shape
    size = (width_px, max(1, round(height * width_px / width)))
    interpolation = cv2.INTER_AREA if width_px < width else cv2.INTER_LINEAR
    result = np.empty((count, size[1], size[0], 3), np.uint8)
    for image, target in zip(images, result, strict=True):
        cv2.resize(image, size, dst=target, interpolation=interpolation)
    return result


def _block_height(block: np.ndarray, columns: int) -> int:
    lines, frame_px = math.ceil(len(block) / columns), int(block.shape[1])
    return _TITLE_PX + 2 * _GAP_PX + lines * (frame_px + _TIME_PX + 2 * _GAP_PX) + _MARGIN_PX


def _draw_title(pen: ImageDraw, clip: Clip, title: str, top: int, width: int) -> None:
    """The title on the left, cut to what fits, and the clip's extent on the right."""
    height_px, width_px = clip.frame_size
    facts = f"{len(clip)} frames of {width_px}×{height_px}"
    if clip.repeated:
        facts += f", {clip.repeated} repeated"
    font, small = _font(_TITLE_PX), _font(_TIME_PX)
    facts_left = width - _MARGIN_PX - pen.textlength(facts, small)
    limit = facts_left - 2 * _MARGIN_PX
    if pen.textlength(title, font) > limit:
        while title and pen.textlength(title + "…", font) > limit:
            title = title[:-1]
        title += "…"
    pen.text((_MARGIN_PX, top), title, _INK, font)
    pen.text((facts_left, top + _TITLE_PX - _TIME_PX), facts, _FAINT, small)


def _font(size_px: int) -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size_px)
