"""Two detectors that see different things of a video as one: the mean of what they say of the same proposals.

Zhao et al. 2017 (see `kinesphere.models.temporal.ssn`), section 6: one network sees frames, the other flow.
Proposals of all are judged by all, each on the rows of its own features. The mean is over scores of the
paper; detections get bounded ones at the very end (`localise.segment_scores`).

P proposals, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from kinesphere.annotations.timed import Detection
from kinesphere.core.errors import InvalidSetting
from kinesphere.localise.decoding import Decoding, detections
from kinesphere.localise.methods.registry import Detector
from kinesphere.localise.proposals import greedy
from kinesphere.localise.segment_scores import decoded
from kinesphere.localise.structured import regressed
from kinesphere.predict.features import VideoFeatures

SAME_TIOU = 0.9
"""Of proposals of several detectors that overlap by more, one is judged; as among those of one."""


@runtime_checkable
class Judges(Detector, Protocol):
    """A detector that judges proposals, whoever makes them."""

    decoding: Decoding

    def proposed(self, features: VideoFeatures) -> tuple[np.ndarray, np.ndarray]:
        """Proposals `(P, 2)` in seconds of the video, and how much action is in them `(P,)`."""

    def judge(self, features: VideoFeatures, seconds_P2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of the paper `(P, K)` of proposals (`segment_scores.unbounded`), and offsets `(P, K, 2)`
        that `structured.regressed` moves them by."""


def check_fusable(detectors: Sequence[Detector]) -> None:
    """Refuse detectors that have nothing to say of each other's proposals.

    Raises:
        InvalidSetting: If so.
    """
    for each in detectors:
        if not isinstance(each, Judges):
            raise InvalidSetting(
                f"{each.name} does not judge proposals of others; detectors that are fused: ssn."
            )
        if each.labels.names != detectors[0].labels.names:
            first, other = (", ".join(names) for names in (detectors[0].labels.names, each.labels.names))
            raise InvalidSetting(
                f"Detectors of other classes cannot be fused: one knows {first}, another {other}. Train them "
                "on the same labels."
            )


def fused(
    detectors: Sequence[Judges],
    features: Sequence[VideoFeatures],
    weights: Sequence[float],
    video: str = "",
) -> list[Detection]:
    """What several detectors together find in a video, the surest first.

    Args:
        detectors: Of the same classes; the first says how detections are suppressed.
        features: Of the video, for each of them.
        weights: Of each, which sum to 1.
        video: Its name.

    Raises:
        InvalidSetting: If features are others than a detector sees.
    """
    for own, seen in zip(detectors, features, strict=True):
        own.sight.check(seen, video or "the video")
    seconds_P2 = _together([own.proposed(seen) for own, seen in zip(detectors, features, strict=True)])
    if not len(seconds_P2):
        return []
    said = [own.judge(seen, seconds_P2) for own, seen in zip(detectors, features, strict=True)]
    scores_PK = sum(weight * scores for weight, (scores, _) in zip(weights, said, strict=True))
    offsets = sum(weight * moves for weight, (_, moves) in zip(weights, said, strict=True))
    assert isinstance(scores_PK, np.ndarray)
    assert isinstance(offsets, np.ndarray)
    first, rule = features[0], detectors[0].decoding
    best = np.argsort(-scores_PK, axis=None, kind="stable")[: rule.most]
    proposal, label = np.unravel_index(best, scores_PK.shape)
    end_s = max(seen.duration_s for seen in features)
    moved = regressed(seconds_P2[proposal], offsets[proposal, label], end_s)
    kept = decoded(first.to_grid(moved), scores_PK[proposal, label], label, rule.suppression)
    return detections(first, *kept, names=detectors[0].labels.names, video=video)


def _together(found: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Proposals `(P, 2)` of all, of nearly equal ones that with the most action by its own detector."""
    seconds = np.concatenate([each for each, _ in found])
    ranked = np.concatenate([score / max(score.max(initial=0.0), 1e-9) for _, score in found])
    kept, _, _ = greedy(seconds, ranked, SAME_TIOU)
    together: np.ndarray = seconds[kept]
    return together
