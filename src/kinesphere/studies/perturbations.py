"""How clips are changed to see whether a model holds: noise, compression, fewer frames, another speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec
from kinesphere.evaluate.probes import Perturbation
from kinesphere.studies.conditions import perturbation
from kinesphere.studies.evaluation_settings import EvaluationSection

Change = Callable[[Tensor, ClipSpec], Tensor]
_SEED = 0


def perturbation_of(section: EvaluationSection, specs: Sequence[ClipSpec]) -> Perturbation | None:
    """What changes the inputs `(B, V, T, ...)` of a model; None where clips stay as they are.

    Args:
        section: What is asked for.
        specs: Input contracts of the model.
    """
    changes = _changes(section)
    order = perturbation(section.order, specs)
    if not changes and order is None:
        return None

    def changed(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for change in changes:
            inputs = tuple(change(x, spec) for x, spec in zip(inputs, specs, strict=True))
        return inputs if order is None else order(inputs)

    return changed


def without_effect(section: EvaluationSection, specs: Sequence[ClipSpec]) -> tuple[str, ...]:
    """Which of the changes no input of a model shows, in words."""
    noisy = any(MODALITIES.get(spec.modality).noise is not None for spec in specs)
    stored = any(_has_frames(spec) for spec in specs)
    return tuple(
        text
        for text, asked, reaches in (
            ("noise is not defined for what this model sees", section.noise is not None, noisy),
            ("this model sees no frames that compression changes", section.compression is not None, stored),
        )
        if asked and not reaches
    )


def _has_frames(spec: ClipSpec) -> bool:
    modality = MODALITIES.get(spec.modality)
    return modality.is_picture and modality.sidecar is None


def _changes(section: EvaluationSection) -> list[Change]:
    found: list[Change] = []
    if section.speed is not None:
        found.append(lambda x, spec: _at_speed(x, section.speed or 1.0))
    if section.every is not None:
        found.append(lambda x, spec: _held(x, section.every or 1))
    if section.noise is not None:
        generator = torch.Generator().manual_seed(_SEED)
        found.append(lambda x, spec: _noisy(x, spec, section.noise or 0.0, generator))
    if section.compression is not None:
        found.append(lambda x, spec: _compressed(x, section.compression or 0) if _has_frames(spec) else x)
    return found


def _at_speed(x: Tensor, speed: float) -> Tensor:
    """Clips about their middle at another speed; what would lie beyond their ends stands still."""
    length = x.shape[2]
    middle = (length - 1) / 2
    rows = torch.arange(length, dtype=torch.float64)
    rows = (middle + (rows - middle) * speed).round().clamp(0, length - 1).long()
    return x[:, :, rows]


def _held(x: Tensor, every: int) -> Tensor:
    """Clips in which a frame stands until the next one that is seen."""
    rows = torch.arange(x.shape[2])
    return x[:, :, rows - rows % every]


def _noisy(x: Tensor, spec: ClipSpec, strength: float, generator: torch.Generator) -> Tensor:
    add = MODALITIES.get(spec.modality).noise
    return x if add is None else add(x, strength, generator)


def _compressed(x: Tensor, quality: int) -> Tensor:
    """uint8 frames `(..., 3, H, W)` as they come out of JPEG files of this quality."""
    frames = x.flatten(0, -4).movedim(1, -1).numpy()
    coded = [_jpeg(np.ascontiguousarray(frame[..., ::-1]), quality)[..., ::-1] for frame in frames]
    return torch.from_numpy(np.stack(coded)).movedim(-1, 1).reshape(x.shape).contiguous()


def _jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    _, file = cv2.imencode(".jpg", frame, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))
