"""`Modality`: what every kind of clip data can do, the file beside a video that holds it, and their registry.

One folder or file of `clips/modalities`, or a module of another package, implements one modality and ends
with `MODALITIES.add("name", Modality(read=read, ...))`; that is all it takes to add one
(`docs/adding_a_modality.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from kinesphere.clips.augment.parameters import AugmentParameters
from kinesphere.clips.clip import Clip
from kinesphere.clips.geometry import Box, Size
from kinesphere.clips.person_path import Cut, PersonPath
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.sampling import STEADY, TemporalJitter
from kinesphere.clips.source import VideoSource
from kinesphere.clips.spec import REGISTERED, ClipSpec, Views
from kinesphere.core.registry import Registry


class Reader(Protocol):
    """Samples, decodes and crops the clips that a network sees of a span.

    Args:
        video: Where the frames come from.
        spec: The network's input contract.
        span: `(start_s, end_s)`, or None for the whole video.
        views: Test-time clips and crops; `views.clips` multiplies the sampling's own number.
        generator: Given in training: sampling is random, and the frames come whole at the size that
            the resize policy and `enlarge` give, for `augment` to crop. Without it every clip has the
            spec's size.
        jitter: Random changes of pace in training.
        enlarge: See `plan_frames`.

    Returns:
        V clips, clip by clip and within a clip crop by crop.

    Raises:
        InvalidSetting: If several crops are asked for in training, or where the resize policy leaves
            nothing to crop.
        SpanOutsideVideo: If the span starts after the end of the video.
        InvalidAnnotation: If a sidecar file is missing, damaged, or of another video or kind.
        VideoError: If the source cannot be decoded.
    """

    def __call__(
        self,
        video: VideoSource,
        spec: ClipSpec,
        span: tuple[float, float] | None = None,
        *,
        views: Views = ...,
        generator: torch.Generator | None = None,
        jitter: TemporalJitter = STEADY,
        enlarge: float = 1.0,
    ) -> list[Clip]: ...


def weighted_sum(own: torch.Tensor, partners: torch.Tensor, weight: float) -> torch.Tensor:
    """`weight` of the own clips and the rest of their partners."""
    return torch.lerp(partners, own, weight)


def _unaltered(clip: Clip, parameters: AugmentParameters, spec: ClipSpec) -> Clip:
    return clip


@dataclass(frozen=True)
class PersonByPerson:
    """What a sidecar file holds of each person alone, so that it is not looked for in the pixels again.

    Attributes:
        of_people: What was attached, of each person of some paths in frames of `(H, W)` pixels.
        cut: That of one person, in a part of the frames.
    """

    of_people: Callable[[Any, Sequence[PersonPath], Size], list[Any]]
    cut: Callable[[Any, Cut], Any]


def _tells_nothing(files: Sequence[Any]) -> list[Preparation]:
    return []


def _differs_in_nothing(stored: Any, video: VideoSource, learnt: Preparation) -> list[str]:
    return []


@dataclass(frozen=True)
class Sidecar:
    """The file that a modality's data are read from, beside the video that they are of.

    What `open` answers is of a type of the modality's own. Its reader asks the source for it again:
    `beside(video, "name")`.

    Attributes:
        suffix: What is added to a video's name to get the file's, such as `.pose.npz`.
        open: Reads a file.
        attach: Holds what was read against the video whose data it should be, and brings it to that one's
            clock.
        needed: Whether there are no clips without it; else `Modality.read` makes do.
        alone: Opens a file in the place of its video, as a source without frames.
        prepared: How some files were made.
        differences: In what a file was made otherwise than those that a model learnt from, in sentences.
        people: How it is taken apart by person; None where it cannot be.
    """

    suffix: str
    open: Callable[[Path], Any]
    attach: Callable[[Any, VideoSource], Any]
    needed: bool = True
    alone: Callable[[Path], VideoSource] | None = None
    prepared: Callable[[Sequence[Any]], list[Preparation]] = _tells_nothing
    differences: Callable[[Any, VideoSource, Preparation], list[str]] = _differs_in_nothing
    people: PersonByPerson | None = None


@dataclass(frozen=True)
class Modality:
    """How one kind of data is read, moved about the image plane, scaled for a network and shown.

    The geometry functions are pure, treat all frames alike and keep what the data mean: a flipped
    flow negates x, a flipped pose exchanges left and right joints.

    Attributes:
        read: Samples, decodes and crops.
        crop: Keeps a box of the frame.
        resize: Scales to `(H, W)` pixels.
        flip: Exchanges left and right; the spec names the skeleton that a pose needs.
        warp: Moves points by a `(2, 3)` matrix in pixels; what comes in from outside is neutral.
        normalise: A batch of stored values to a network's floating-point input.
        draw: Frames uint8 RGB `(T, H, W, 3)` for people to look at.
        what: What its data are called in messages, such as `poses`.
        check_spec: Refuses contracts that make no sense for it, with `InvalidSetting`.
        check_clip: Refuses data of another shape, with `InvalidClip`.
        shape: Shape of one frame of a network's input by this contract, such as `(C, H, W)`.
        settings: Fields of a contract that have a meaning for it, and not for every modality.
        alter: What augmentation does beyond the geometry, such as to colours.
        blend: Two normalised batches as one, by the weight of the first (mixup).
        shows_stills: Whether what stands still is seen in it, so that a still frame can be blended in.
        is_picture: Whether the last two axes are rows and columns, so that boxes can be cut out of it.
        ahead: Frames after the displayed one that the data of a timestamp are made of.
        sees_nothing: bool `(B,)`: which of a batch `(B, V, T, ...)` shows nothing at all to a network; None
            where that does not happen.
        noise: Adds noise to a batch of stored values `(B, V, T, ...)`, of a strength that is a fraction of
            what the data are measured by; None where none is known.
        sidecar: The file that its data are read from; None for what is seen in the video itself.
    """

    read: Reader
    crop: Callable[[Clip, Box], Clip]
    resize: Callable[[Clip, Size], Clip]
    flip: Callable[[Clip, ClipSpec], Clip]
    warp: Callable[[Clip, np.ndarray, ClipSpec], Clip]
    normalise: Callable[[torch.Tensor, ClipSpec, torch.dtype], torch.Tensor]
    draw: Callable[[Clip], np.ndarray]
    what: str
    check_spec: Callable[[ClipSpec], None]
    check_clip: Callable[[Clip], None]
    shape: Callable[[ClipSpec], tuple[int, ...]]
    settings: frozenset[str] = frozenset()
    alter: Callable[[Clip, AugmentParameters, ClipSpec], Clip] = _unaltered
    blend: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor] = weighted_sum
    shows_stills: bool = False
    is_picture: bool = True
    ahead: int = 0
    sees_nothing: Callable[[torch.Tensor], torch.Tensor] | None = None
    noise: Callable[[torch.Tensor, float, torch.Generator], torch.Tensor] | None = None
    sidecar: Sidecar | None = None

    def augment(self, clip: Clip, parameters: AugmentParameters, spec: ClipSpec) -> Clip:
        """A clip of the spec's size, changed as was drawn; the given one is left as it is."""
        geometry = parameters.geometry
        clip = self.resize(self.crop(clip, geometry.box_in(clip.frame_size)), spec.size)
        if geometry.flip:
            clip = self.flip(clip, spec)
        if geometry.affine is not None:
            clip = self.warp(clip, geometry.affine.matrix(spec.size), spec)
        return self.alter(clip, parameters, spec)


MODALITIES: Registry[Modality] = REGISTERED.holding(Modality)


def sidecar_suffixes() -> tuple[str, ...]:
    """The suffixes of all files that are read from beside videos, such as `.pose.npz`."""
    members = (MODALITIES.get(name).sidecar for name in MODALITIES)
    return tuple(sidecar.suffix for sidecar in members if sidecar is not None)


def stands_alone(path: Path) -> Sidecar | None:
    """What opens a file that is listed in the place of a video, such as a pose file; None for a video."""
    for name in MODALITIES:
        sidecar = MODALITIES.get(name).sidecar
        if sidecar is not None and sidecar.alone is not None and path.name.endswith(sidecar.suffix):
            return sidecar
    return None


def sees_frames(specs: Sequence[ClipSpec]) -> bool:
    """Whether some input is made of frames, rather than of files that stay as they are (poses, masks)."""
    sidecars = [MODALITIES.get(spec.modality).sidecar for spec in specs]
    return any(sidecar is None or not sidecar.needed for sidecar in sidecars)


def see(specs: Sequence[ClipSpec], setting: str) -> bool:
    """Whether some input is of a modality that a setting of contracts has a meaning for."""
    return any(setting in MODALITIES.get(spec.modality).settings for spec in specs)


def shows_nothing(inputs: Sequence[torch.Tensor], specs: Sequence[ClipSpec]) -> np.ndarray:
    """bool `(B,)`: whether an input `(B, V, T, ...)` that may show nothing, such as poses, does so."""
    nothing = np.zeros(len(inputs[0]), bool)
    for x, spec in zip(inputs, specs, strict=True):
        if (tells := MODALITIES.get(spec.modality).sees_nothing) is not None:
            nothing |= tells(x).numpy()
    return nothing
