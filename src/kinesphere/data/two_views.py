"""`TwoViews`: every sample seen twice, for learning from clips whose labels are not known or not used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from kinesphere.clips.augment.parameters import AugmentParameters
from kinesphere.clips.augment.settings import Augment
from kinesphere.clips.clip import Clip
from kinesphere.clips.spec import ClipSpec
from kinesphere.data.background import Lenders
from kinesphere.data.dataset import ClipDataset
from kinesphere.data.manifest import Manifest
from kinesphere.data.sampler import Draw
from kinesphere.data.sources import Opening

UNKNOWN = -1
"""Target of a sample without a label."""


class TwoViews(ClipDataset):
    """Training samples as pairs of views, `(2, T, …)` per spec, of one label at most.

    Both views are left as they are or flipped together, so that a class that names a side is that of both.
    Each view is augmented alike over all its frames. Samples without a label have the target -1.

    Args:
        manifest: The samples.
        specs: What the network takes.
        weak: Augmentation of the first view.
        strong: Augmentation of the second view; its timing is that of `weak`.
        apart: Whether the views show two times of a video, drawn independently (Feichtenhofer et al. 2021),
            rather than the same one.
        opening: As of `ClipDataset`.
        seed: Seed of all randomness.

    Raises:
        InvalidSetting: If a flip would make labels wrong.
    """

    def __init__(
        self,
        manifest: Manifest,
        specs: ClipSpec | Sequence[ClipSpec],
        *,
        weak: Augment,
        strong: Augment,
        apart: bool = False,
        opening: Opening = Opening(extracting=False),  # noqa: B008 (frozen)
        seed: int = 0,
    ) -> None:
        # Frames are read once for both views, large enough for either.
        weak = weak.model_copy(update={"enlarge": max(weak.enlarge, strong.enlarge)})
        super().__init__(manifest, specs, train=True, augment=weak, opening=opening, seed=seed)
        self.strong = strong
        self.apart = apart

    def _read(self, draw: Draw) -> tuple[list[list[Clip]], Lenders | None]:
        sample = self.manifest[draw.index]
        when, how, where = self._seeds(draw)
        video, other = self._open(sample, draw.index, where)
        with video:
            first = self._windows(video, sample, when)
            second = self._windows(video, sample, when ^ 1) if self.apart else first
        assert self.augment is not None
        weak = self._draw(first, self.augment, how)
        strong = [
            _flipped_as(mine, drawn)
            for mine, drawn in zip(weak, self._draw(second, self.strong, how ^ 1), strict=True)
        ]
        pairs = zip(self._augmented(first, weak), self._augmented(second, strong), strict=True)
        return [[*one, *two] for one, two in pairs], other

    def _target(self, index: int, is_flipped: bool, lent: object) -> torch.Tensor:
        classes = self._targets[index]
        if not classes:
            return torch.tensor(UNKNOWN)
        return torch.tensor(self._flipped[classes[0]] if is_flipped else classes[0])


def _flipped_as(weak: AugmentParameters, drawn: AugmentParameters) -> AugmentParameters:
    return replace(drawn, geometry=replace(drawn.geometry, flip=weak.geometry.flip))
