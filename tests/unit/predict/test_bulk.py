"""Many videos at once: answers, records, and the files beside each."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinesphere.core.errors import UnwritableFile
from kinesphere.core.skipped import Skipped
from kinesphere.predict import FlowOverlay, Prediction, Predictor, Timeline
from kinesphere.predict.bulk import (
    Progress,
    SideFiles,
    SideOutputs,
    overlay_of,
    predict_all,
    record_of,
    source_of,
)
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.windowed import Windows

from .conftest import MakeVideo


@pytest.mark.parametrize(("window_s", "kind"), [(None, Prediction), (1.0, Timeline)])
def test_the_others_go_on_where_a_video_cannot_be_read(
    predictor: Predictor, make_video: MakeVideo, tmp_path: Path, window_s: float | None, kind: type
) -> None:
    sources = [str(make_video()), str(tmp_path / "gone.mp4"), str(make_video(seed=1))]
    first, gone, last = predict_all(
        predictor, sources, windows=None if window_s is None else Windows(window_s)
    )
    assert isinstance(first, kind)
    assert isinstance(last, kind)
    assert [source_of(each) for each in (first, gone, last)] == sources
    assert record_of(first, 2)["source"] == sources[0]
    assert len(record_of(first, 2)["top"]) == 2
    record = record_of(gone)
    assert record["source"] == sources[1]
    assert "does not exist" in record["error"]


def test_nothing_is_said_of_how_far_a_video_is_that_cannot_be_read(
    predictor: Predictor, make_video: MakeVideo, tmp_path: Path
) -> None:
    (tmp_path / "cut.mp4").write_bytes(Path(make_video()).read_bytes()[:2000])
    told: list[float] = []
    heard = Progress(lambda done, of: told.append(done / of))
    (found,) = predict_all(predictor, [str(tmp_path / "cut.mp4")], windows=Windows(1.0), progress=heard)
    assert isinstance(found, Skipped)
    assert told == []


def test_windows_are_half_a_window_apart_unless_told(predictor: Predictor, make_video: MakeVideo) -> None:
    (found,) = predict_all(predictor, [str(make_video())], windows=Windows(2.0))
    assert isinstance(found, Timeline)
    assert found.spans[:2, 0].tolist() == [0.0, 1.0]


def test_files_beside_an_answer_are_written_and_known_to_lack(
    predictor: Predictor, make_video: MakeVideo, tmp_path: Path
) -> None:
    source = str(make_video())
    table, notes, copy = tmp_path / "segments.csv", tmp_path / "s.vtt", tmp_path / "copies" / "copy.mp4"
    outputs = SideOutputs(
        predictor, SideFiles({source: (table, notes)}, copies={source: copy}), SegmentRule(threshold=0.0)
    )
    assert outputs.files.lacks(source)
    assert not outputs.files.lacks("another.mp4")
    assert outputs.write(predictor.timeline(source, window_s=2, stride_s=2)) is None
    assert table.is_file()
    assert copy.is_file()
    assert not outputs.files.lacks(source)
    notes.unlink()
    assert outputs.files.lacks(source)


def test_a_copy_that_cannot_be_made_is_told_and_a_place_that_takes_none_raises(
    predictor: Predictor, make_video: MakeVideo, tmp_path: Path
) -> None:
    prediction = predictor.predict(make_video())
    gone = Prediction(prediction.probabilities, prediction.labels, "gone.mp4", prediction.span)
    problem = SideOutputs(predictor, SideFiles(copies={"gone.mp4": tmp_path / "copy.mp4"})).write(gone)
    assert isinstance(problem, Skipped)
    assert problem.path == "gone.mp4"
    assert problem.reason.startswith("no annotated copy: ")
    (tmp_path / "file").touch()
    files = SideFiles(copies={prediction.source: tmp_path / "file" / "copy.mp4"})
    with pytest.raises(UnwritableFile):
        SideOutputs(predictor, files).write(prediction)


def test_a_model_of_pixels_draws_nothing_more_unless_asked(predictor: Predictor) -> None:
    assert overlay_of(predictor, "clip.mp4") is None
    assert overlay_of(predictor, "clip.mp4", "none") is None
    assert isinstance(overlay_of(predictor, "clip.mp4", "flow"), FlowOverlay)
