"""Changes of the background of people, or of the people: does the background decide?

All are functions of frames uint8 `(T, H, W, 3)` and masks uint8 `(T, H, W)`, 255 where somebody is. Soft
edges of masks mix both sides.
"""

from __future__ import annotations

from typing import Literal, cast, get_args

import cv2
import numpy as np

from kinesphere.clips.clip import Clip, from_frames
from kinesphere.core.errors import InvalidClip, InvalidSetting

Background = Literal[
    "keep", "grey", "blur", "freeze", "median", "replace", "no_people", "grey_people", "grey_elsewhere"
]
"""`grey`: nothing but people on grey. `blur`: people sharp, the rest blurred. `freeze`: the background of
the clip's first frame throughout. `median`: the median of the background throughout. `replace`: the
background of another video. `no_people`: the people painted over with what is behind them. `grey_people`:
the people as grey silhouettes. `grey_elsewhere`: silhouettes of the same shapes where the people are not, or
least, as a control."""

GREY = 127
# Standard deviation of the blur, and how far masks grow over hair and clothes: fractions of the short side.
_BLUR = 0.06
_GROWTH = 0.015
# Frames that decide on the median.
_MOST_FRAMES = 16
# Places along a row at which silhouettes are tried that shall lie beside the people.
_PLACES = 16


def check_background(name: str) -> Background:
    """The change of this name.

    Raises:
        InvalidSetting: If there is no such change.
    """
    if name not in get_args(Background):
        raise InvalidSetting(f"The background is one of {', '.join(get_args(Background))}; got {name!r}.")
    return cast(Background, name)


def change_background(
    clip: Clip,
    masks: Clip,
    change: Background,
    other: Clip | None = None,
    *,
    fill: tuple[int, int, int] = (GREY, GREY, GREY),
) -> Clip:
    """A clip with another background, or without its people.

    Args:
        clip: rgb.
        masks: Masks of the same frames and size.
        change: What to do.
        other: rgb of the same length and size with the background for `replace`, nobody in it.
        fill: RGB colour in the place of grey.

    Raises:
        InvalidClip: If clips do not belong together, or `replace` has no other.
    """
    if change == "keep":
        return clip
    if clip.data.shape[1] != 3 or masks.data.shape[1] != 1 or masks.frame_size != clip.frame_size:
        raise InvalidClip(
            f"A background is changed in an rgb clip with masks of its size {clip.frame_size}; got "
            f"{clip.modality} with {masks.modality} of {masks.frame_size}."
        )
    if len(masks) != len(clip):
        raise InvalidClip(f"Every frame needs its mask; got {len(clip)} frames and {len(masks)} masks.")
    frames, people = clip.frames(), masks.frames()[..., 0]
    if change == "replace":
        if other is None or other.data.shape != clip.data.shape:
            raise InvalidClip(
                "Replacing a background takes a clip of the same length and size; there is none."
            )
        changed = composed(frames, other.frames(), people)
    elif change == "grey_people":
        changed = composed(_flat(frames, fill), frames, grown(people))
    elif change == "grey_elsewhere":
        changed = composed(_flat(frames, fill), frames, elsewhere(grown(people)))
    elif change == "no_people":
        changed = composed(without_people(frames, people), frames, grown(people))
    elif change == "grey":
        changed = composed(frames, _flat(frames, fill), people)
    elif change == "blur":
        changed = composed(frames, blurred(frames, people), people)
    else:
        still = without_people(frames, people) if change == "median" else first_background(frames, people)
        changed = composed(frames, still, people)
    return clip.with_data(from_frames(changed))


def composed(inside: np.ndarray, outside: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """`inside` where masks are 255, `outside` where they are 0."""
    fraction = masks[..., None].astype(np.uint16)
    mixed: np.ndarray = (inside * fraction + outside * (255 - fraction) + 127) // 255
    return mixed.astype(np.uint8)


def _flat(frames: np.ndarray, fill: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(fill, np.uint8), frames.shape)


def elsewhere(masks: np.ndarray) -> np.ndarray:
    """Masks moved along the rows, the same way in all frames, to where they cover least of where they were.

    What leaves the frame on one side comes in on the other.
    """
    width = masks.shape[2]
    shifts = [round(width * place / _PLACES) for place in range(1, _PLACES)]
    people = (masks > 127).astype(np.float32)
    overlap = [float((np.roll(people, shift, 2) * people).sum()) for shift in shifts]
    moved: np.ndarray = np.roll(masks, shifts[int(np.argmin(overlap))], 2)
    return moved


def grown(masks: np.ndarray) -> np.ndarray:
    """Masks that extend a little beyond the people."""
    radius = max(1, round(_GROWTH * min(masks.shape[1:])))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.stack([cv2.dilate(mask, kernel) for mask in masks])


def blurred(frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The background blurred; the people's colours do not run into them."""
    sigma = _BLUR * min(frames.shape[1:3])
    result = np.empty_like(frames)
    for frame, mask, target in zip(frames, grown(masks), result, strict=True):
        weight = 1 - mask.astype(np.float32) / 255
        total = cv2.GaussianBlur(frame * weight[..., None], (0, 0), sigma)
        fraction = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
        target[:] = np.where(fraction > 1e-3, total / np.maximum(fraction, 1e-3), GREY).round().clip(0, 255)
    return result


def without_people(frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """One frame `(1, H, W, 3)` of what is behind the people: the median of what is seen of it.

    What is never seen is painted in from around it (Telea: "An Image Inpainting Technique Based on the Fast
    Marching Method", 2004).
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _MOST_FRAMES)).round().astype(int))
    covered = grown(masks[chosen]) > 127
    seen = np.where(covered[..., None], np.nan, frames[chosen].astype(np.float32))
    hidden = np.asarray(covered.all(axis=0))
    seen[:, hidden] = 0
    image = np.nanmedian(seen, axis=0).round().astype(np.uint8)
    return _inpainted(image, hidden)[None]


def first_background(frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The first frame `(1, H, W, 3)` with what is behind its people taken from later ones."""
    still = without_people(frames, masks)
    return composed(still, frames[:1], grown(masks[:1]))


def _inpainted(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    if not hidden.any():
        return image
    if hidden.all():
        return np.full_like(image, GREY)
    painted: np.ndarray = cv2.inpaint(image, hidden.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return painted
