"""Published checkpoints on Kinetics and Something-Something, as the cards of several families state them."""

from __future__ import annotations

import re

from kinesphere.clips.spec import ClipSpec
from kinesphere.models.card import ReportedScore, WeightEntry

THIRTY_VIEWS = "10 clips x 3 crops"
TVL1_NOTE = (
    "The public weights learnt from TV-L1 flow and are given it; a fresh network takes the faster DIS, "
    "unless its spec says otherwise."
)
_MMACTION2 = "https://download.openmmlab.com/mmaction/"
_DIGEST = re.compile(r"-([0-9a-f]{8})\.pth$")


def kinetics(
    tag: str,
    url: str,
    layout: str,
    top1: float | None,
    top5: float | None = None,
    *,
    classes: int = 400,
    spec: ClipSpec | None = None,
    protocol: str = THIRTY_VIEWS,
    origin: str = "publisher",
    licence: str = "Apache-2.0",
) -> WeightEntry:
    """An entry for Kinetics-400, -600 or -700; a digest at the end of the file name counts as published."""
    scores = _scores(top1, top5, f"Kinetics-{classes}", protocol, origin)
    return WeightEntry(
        tag,
        url,
        layout,
        f"kinetics{classes}",
        classes,
        sha256=_digest(url),
        licence=licence,
        spec=spec,
        scores=scores,
    )


def something_something(
    tag: str,
    version: int,
    url: str,
    top1: float,
    top5: float,
    protocol: str,
    *,
    layout: str = "mmaction2",
    spec: ClipSpec | None = None,
    origin: str = "publisher",
    licence: str = "Apache-2.0",
) -> WeightEntry:
    """An entry for Something-Something v1 or v2; a digest at the end of the file name counts as published."""
    return WeightEntry(
        tag,
        url,
        layout,
        f"something_something_v{version}",
        174,
        sha256=_digest(url),
        licence=licence,
        spec=spec,
        scores=_scores(top1, top5, f"Something-Something v{version}", protocol, origin),
    )


def _digest(url: str) -> str | None:
    found = _DIGEST.search(url)
    return found[1] if found else None


def _scores(
    top1: float | None, top5: float | None, dataset: str, protocol: str, origin: str
) -> tuple[ReportedScore, ...]:
    return tuple(
        ReportedScore(metric, value, dataset, protocol, origin)
        for metric, value in (("top1", top1), ("top5", top5))
        if value is not None
    )


def mmaction2_url(family: str, config: str, suffix: str) -> str:
    """URL of a checkpoint of MMAction2 1.x; `suffix` is the date and digest."""
    return f"{_MMACTION2}v1.0/recognition/{family}/{config}/{config}_{suffix}.pth"


def pytorchvideo_url(file: str) -> str:
    """URL of a Kinetics checkpoint of PyTorchVideo."""
    return f"https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/{file}.pyth"


def pyslowfast_url(file: str) -> str:
    """URL of a Kinetics-400 checkpoint of PySlowFast."""
    return f"https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/kinetics400/{file}.pkl"


def hub_url(repository: str, file: str = "model.safetensors") -> str:
    """URL of a checkpoint on the Hugging Face hub; `repository` is `owner/name`."""
    return f"https://huggingface.co/{repository}/resolve/main/{file}"
