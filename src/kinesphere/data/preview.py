"""`preview`: an image of what one training step would see."""

from __future__ import annotations

from pathlib import Path

import cv2

from kinesphere.clips.sheet import contact_sheet
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import replacing
from kinesphere.core.skipped import Skipped
from kinesphere.data.dataset import UNREADABLE, ClipDataset
from kinesphere.data.manifest import shown_path
from kinesphere.data.sampler import EpochSampler


def preview(dataset: ClipDataset, path: str | Path, *, count: int = 6) -> tuple[Skipped, ...]:
    """Draw the first clips that `dataset` gives, of every input, with the times of their frames.

    Args:
        dataset: The samples with the settings that will be used; augmentation shows.
        path: Picture to write, by its suffix PNG or JPEG.
        count: Number of samples to draw; those that cannot be read are passed over.

    Returns:
        The samples that were passed over.

    Raises:
        InvalidSetting: If the suffix is unknown, or no sample can be read.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InvalidSetting(f"A preview is a .png or .jpg image; got {path.name!r}.")
    clips, titles, failures, drawn = [], [], [], 0
    sampler = EpochSampler(dataset.manifest.targets, 1, shuffle=True, seed=dataset.seed)
    for draw in sampler:
        sample = dataset.manifest[draw.index]
        try:
            views = [clip for each in dataset.clips(draw) for clip in each]
        except UNREADABLE as error:
            failures.append(Skipped(str(sample.path), str(error), index=draw.index))
            continue
        clips += views
        name = f"{shown_path(sample.path, dataset.manifest.root)} · {', '.join(sample.labels)}"
        titles += [name] * len(views)
        drawn += 1
        if drawn >= count:
            break
    if not clips:
        raise InvalidSetting(f"None of {len(failures)} samples can be read; the first: {failures[0].reason}")
    _, encoded = cv2.imencode(path.suffix.lower(), contact_sheet(clips, titles)[..., ::-1])
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return tuple(failures)
