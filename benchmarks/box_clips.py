"""The generated people that the recogniser on pixels learns from: sixteen movements, and a rest class.

A network that can look at appearance learns the generator's, which real footage does not have. So sets are
filmed in several ways: from all sides, near and far, on a tripod and by hand, through noise and compression,
alone and with somebody within reach. Nothing but the generator enters them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.box import CLASSES, MOVEMENTS, NOTHING_ELSE
from kinesphere.core.files import make_folder, replacing
from kinesphere.data.manifest import Manifest
from kinesphere.synthetic import MannequinSettings, generate

CLIPS = 45
"""Videos of each class in each way of filming to train on; the rest class has twice as many."""
_VALIDATED = 1 / 8
"""So many videos to validate on for each one to train on, of other performers in other scenes."""
_REST_WEIGHT = 2
_COLUMNS = ("path", "label", "group", "split")

_PLAIN = MannequinSettings(
    size=(96, 128), fps=10, duration_s=(2.1, 2.5), performers=100, scenes=100,
    view_deg=180, elevation_deg=(0, 35), shutter=0.25, truth=False, occasions=0.6,
)  # fmt: skip
FILMED = {
    "tripod": replace(_PLAIN, seed=11, shake=0.0, margin=(0.05, 0.5), crf=27),
    "by_hand": replace(_PLAIN, seed=12, shake=0.6, noise=7.0, margin=(0.0, 0.4), crf=34, bystanders=0.15),
    "together": replace(_PLAIN, seed=13, shake=0.05, noise=4.0, margin=(0.0, 0.5), crf=30, partners=1.0),
}


def make(folder: Path, clips: int = CLIPS, workers: int = 1) -> Path:
    """Generate everything that is not there yet.

    Args:
        folder: Where; created if missing.
        clips: Videos of each class in each way of filming.
        workers: Processes.

    Returns:
        Path of the manifest of all videos: path, label, group (performer) and split.
    """
    make_folder(folder)
    rows = [row for name in FILMED for row in _filmed(name, folder, clips, workers)]
    path = folder / "manifest.csv"
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


def settings_of(name: str, label: str, split: str, clips: int) -> MannequinSettings:
    """The set of one class in one way of filming, in which each of its movements is shown equally often."""
    movements, filmed = MOVEMENTS[label], FILMED[name]
    wanted = clips * (_REST_WEIGHT if label == NOTHING_ELSE else 1) / len(movements)
    shown = replace(filmed, classes=movements)
    if split == "train":
        return replace(shown, clips_per_class=max(1, round(wanted)), splits=(1.0, 0.0, 0.0))
    other = filmed.seed + len(FILMED)
    few = max(1, round(wanted * _VALIDATED))
    return replace(shown, clips_per_class=few, splits=(0.0, 1.0, 0.0), seed=other)


def _filmed(name: str, folder: Path, clips: int, workers: int) -> Iterator[dict[str, str]]:
    """The rows of one way of filming."""
    for label in CLASSES:
        for split in ("train", "val"):
            part = f"{name}/{split}/{label.replace(' ', '_')}"
            settings = settings_of(name, label, split, clips)
            for sample in Manifest.read(generate(settings, folder / part, workers=workers)).samples:
                yield {
                    "path": f"{part}/videos/{Path(sample.path).name}",
                    "label": label,
                    "group": f"{name}_{split}_{sample.group}",
                    "split": split,
                }
