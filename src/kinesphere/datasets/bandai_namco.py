"""The motion sets of Bandai Namco Research: movements, each done in several styles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Captured, Dataset, DatasetCard, Labelled
from kinesphere.data.official import Count
from kinesphere.datasets.bvh import captured, write_examples

_NAME = re.compile(r"dataset-\d_([a-z-]+)_([a-z-]+)_\d+\.bvh")
CARD = DatasetCard(
    title="the Bandai Namco motion sets (movements and styles)",
    content="motion capture",
    size="set 1: 175 motions, as its publisher states",
    licence="CC BY-NC 4.0",
    source="https://github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset",
    layout="dataset-<number>_<movement>_<style>_<number>.bvh",
    groups="file",
    columns=("style",),
    paper="Kobayashi et al. (2023): Motion capture dataset for practical use of AI-based motion editing "
    "and stylization",
    counts=(Count("", 175),),
)


def read(folder: Path) -> Iterator[Captured | Skipped]:
    """The motions of a folder."""
    return captured(folder, _described)


def _described(path: Path) -> tuple[Labelled, str] | None:
    """`dataset-1_bow_active_001.bvh`: a movement and the style that it is done in."""
    match = _NAME.fullmatch(path.name)
    return (Labelled(match[1], extra=(("style", match[2]),)), path.stem) if match else None


DATASETS.add(
    "bandai_namco",
    Dataset(
        CARD,
        read,
        lambda folder: write_examples(folder, "dataset-1_bow_active_001.bvh", "dataset-1_run_tired_002.bvh"),
    ),
)
