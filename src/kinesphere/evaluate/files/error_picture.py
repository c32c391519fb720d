"""A picture of what is wrong with detections, SVG or PNG: kinds by rank, their costs, what is missed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import make_folder, replacing
from kinesphere.evaluate.metrics.detection_errors import KIND_TITLES, KINDS, BucketScore, DetectionErrors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

PICTURES = (".png", ".svg")
COLOURS = ("#0f9488", "#7894ff", "#d66ebe", "#f4c448", "#fb8a4a", "#9aa5ad")
"""Of `KINDS`."""
_TITLES = {"coverage": "Coverage", "length": "Length", "instances": "Instances"}
_WIDTH, _HEIGHT = 11.0, 7.2
_DOTS = 110


def draw_errors(errors: DetectionErrors, path: Path, title: str = "") -> None:
    """Draw errors of detections.

    Args:
        errors: What is wrong.
        path: Of the picture.
        title: Above it.

    Raises:
        InvalidSetting: If the suffix is none of a picture.
        UnwritableFile: If nothing can be written there.
    """
    kind = path.suffix.lower()
    if kind not in PICTURES:
        raise InvalidSetting(f"Errors are drawn as {' or '.join(PICTURES)}; got {path.name}.")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    make_folder(path.parent)
    with mpl.rc_context({"svg.hashsalt": "kinesphere", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        FigureCanvasAgg(figure)
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.15, 1))[:, 0]
        left, right = upper.subplots(1, 2, width_ratios=(2, 1))
        _profile(left, errors)
        _gains(right, errors)
        rows = {by.name: by for by in errors.buckets if errors.by_bucket(by)}
        places = lower.subplots(1, max(1, len(rows)), squeeze=False, sharey=True)[0]
        for place, (name, by) in zip(places, rows.items(), strict=False):
            _buckets(place, f"{_TITLES[name]} ({by.unit})", errors.by_bucket(by))
        places[0].set_ylabel("%")
        places[0].legend(frameon=False, fontsize=8, loc="upper left")
        figure.suptitle(title, fontsize=10, x=0.01, ha="left", parse_math=False)
        # A file of the same content is the same file.
        stamp = {"Date": None} if kind == ".svg" else {}
        with replacing(path) as scratch:
            figure.savefig(scratch, format=kind[1:], dpi=_DOTS, metadata=stamp)


def _profile(place: Axes, errors: DetectionErrors) -> None:
    places = np.arange(1, len(errors.profile) + 1)
    below = np.zeros(len(places))
    totals = np.array([max(1e-9, sum(row.kinds.values())) for row in errors.profile])
    for kind, colour in zip(KINDS, COLOURS, strict=True):
        share = 100 * np.array([row.kinds[kind] for row in errors.profile]) / totals
        place.bar(places, share, 0.85, below, color=colour, label=KIND_TITLES[kind])
        below += share
    place.set_xticks(places, [f"{row.multiple}G" for row in errors.profile])
    place.set_xlabel("detections by rank, in ground truths of their class")
    place.set_ylabel("% of the detections")
    place.set_ylim(0, 100)
    place.legend(ncols=3, frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
    _plain(place)


def _gains(place: Axes, errors: DetectionErrors) -> None:
    base = errors.map_without(None, normalised=True)
    gains = [100 * (errors.map_without(kind, normalised=True) - base) for kind in KINDS[1:]]
    bars = place.barh([KIND_TITLES[kind] for kind in KINDS[1:]], gains, color=COLOURS[1:])
    place.bar_label(bars, fmt="%+.1f", padding=3, fontsize=8)
    place.invert_yaxis()
    place.set_xlim(0, max(1.0, 1.2 * max(gains)))
    place.set_xlabel("points of mAP$_N$ without these")
    place.set_title(f"mAP$_N$ {100 * base:.1f} %", fontsize=9)
    _plain(place)


def _buckets(place: Axes, title: str, rows: Sequence[BucketScore]) -> None:
    at = np.arange(len(rows))
    found = place.bar(at - 0.2, [100 * row.map_n for row in rows], 0.4, color=COLOURS[0], label="mAP$_N$")
    missed = place.bar(at + 0.2, [100 * row.missed for row in rows], 0.4, color=COLOURS[4], label="missed")
    for bars in (found, missed):
        place.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
    place.set_xticks(at, [f"{row.name}\n{row.range}\n{row.instances}" for row in rows], fontsize=7.5)
    place.set_ylim(0, 118)
    place.set_yticks(np.arange(0, 101, 25))
    place.set_title(title, fontsize=9)
    _plain(place)


def _plain(place: Axes) -> None:
    for side in ("top", "right"):
        place.spines[side].set_visible(False)
