"""The readers of annotation tools accept what Kinesphere writes for them, and see it at the right times."""

from __future__ import annotations

import importlib.util
import json
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kinesphere.annotations.formats.elan_document import write_elan
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import Detection, TimedLabels, Track
from kinesphere.annotations.timed_files import read_timed
from kinesphere.annotations.track_spans import runs

FOLDER = Path(__file__).parents[2] / "fixtures" / "annotation_tools"
FPS = 10


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """What made the answers, for the labels that it wrote."""
    spec = importlib.util.spec_from_file_location("annotation_tools", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))
    return found


def spans(found: TimedLabels) -> list[tuple[str, float, float]]:
    return sorted((each.label, each.start_s, each.end_s) for each in found.labels)


def stretches(frames: list[tuple[str, int]]) -> list[tuple[str, float, float]]:
    """Labels of frames that follow each other, as spans in seconds."""
    found = []
    for label, own in groupby(sorted(frames), key=lambda each: each[0]):
        numbers = np.array([frame for _, frame in own])
        found += [(label, first / FPS, (last + 1) / FPS) for first, last in runs(numbers)]
    return sorted(found)


def test_datumaro_sees_each_label_in_its_frames(make: ModuleType, answers: dict[str, Any]) -> None:
    for wrote, answer in zip((make.labels(), make.predictions()), answers["cvat"], strict=True):
        assert make.cvat_document(wrote) == answer["document"]
        assert stretches([(label, frame) for label, frame, _ in answer["boxes"]]) == spans(wrote)
    scores = {(label, float(score)) for label, _, score in answers["cvat"][1]["boxes"]}
    assert scores == {("run", 0.75), ("walk & wave", 0.5)}


def test_label_studio_takes_tasks_and_exports_them(make: ModuleType, answers: dict[str, Any]) -> None:
    (tasks, scored) = answers["label_studio"]
    for wrote, answer in zip((make.labels(), make.predictions()), (tasks, scored), strict=True):
        assert make.label_studio_document(wrote) == (answer["tasks"], answer["configuration"])
        assert not any(answer["wrong"])
    (exported,) = tasks["exported"]
    ranges = [
        (region["timelinelabels"][0], (span["start"] - 1) / FPS, span["end"] / FPS)
        for tier in ("base", "pace")
        for region in exported[tier]
        for span in region["ranges"]
    ]
    assert sorted(ranges) == [each for each in spans(make.labels()) if each[0] != "dancer"]
    assert [key["frame"] for key in exported["box"][0]["sequence"]] == [3, 4, 5, 9, 10]


def test_pympi_reads_what_is_written_for_elan(make: ModuleType, tmp_path: Path) -> None:
    pympi = pytest.importorskip("pympi")
    for name, wrote in (("labels", make.labels()), ("scored", make.predictions())):
        path = tmp_path / f"{name}.eaf"
        write_elan(wrote, path, Recordings())
        document = pympi.Elan.Eaf(str(path))
        found = sorted(
            (label, start / 1000, end / 1000)
            for tier in document.get_tier_names()
            if not tier.endswith("probability")
            for start, end, label, *_ in document.get_annotation_data_for_tier(tier)
        )
        assert found == spans(wrote)
    sure = document.get_ref_annotation_data_for_tier("labels probability")
    assert [each[2] for each in sure] == ["0.75", "0.5"]
    assert document.get_linked_files()[0]["MEDIA_URL"].endswith("/dance")


def test_a_corrected_elan_file_comes_back(make: ModuleType, tmp_path: Path) -> None:
    """As a person corrects predictions in ELAN: a label renamed, an end moved, one added."""
    pympi = pytest.importorskip("pympi")
    path = tmp_path / "dance.eaf"
    write_elan(make.predictions(), path, Recordings())
    document = pympi.Elan.Eaf(str(path))
    document.remove_annotation("labels", 1500)
    document.add_annotation("labels", 1240, 2000, "jump")
    document.add_tier("people")
    document.add_annotation("people", 0, 3000, "pair")
    document.to_file(str(path))
    found = read_timed(path)
    assert spans(found) == [("jump", 1.24, 2.0), ("pair", 0.0, 3.0), ("run", 0.0, 1.2)]
    assert not any(isinstance(each, Detection) for each in found.labels)


def test_own_readers_agree(make: ModuleType, answers: dict[str, Any], tmp_path: Path) -> None:
    for name, text in (
        ("a.xml", answers["cvat"][0]["document"]),
        ("a.json", answers["label_studio"][0]["tasks"]),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        found = read_timed(tmp_path / name, make.Known())
        assert spans(found) == spans(make.labels())
        (track,) = found.tracks["dance"]
        assert isinstance(track, Track)
        assert track.frames.tolist() == [3, 4, 5, 9, 10]
