"""What is written of an explained video, and that long work goes on where it stopped."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_ins import predictor_of

from kinesphere.clips.spec import Views
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, LabelMismatch
from kinesphere.explain import folder as room
from kinesphere.explain.explaining import Question, explain, explain_windows
from kinesphere.explain.folder import Asked, check_agreement, check_films, explain_video
from kinesphere.explain.method import Settings
from kinesphere.explain.render.sheet import sheet
from kinesphere.explain.store import read_attribution, write_attribution
from kinesphere.video import Video

pytestmark = pytest.mark.usefixtures("brightness")
QUESTION = Question("brightness")


@pytest.fixture(scope="module")
def video(make_video, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("videos") / "walk.mp4", frames=60)


def test_one_video_gives_heat_a_picture_and_a_film(video: Path, tmp_path: Path) -> None:
    (written,) = explain_video(
        [Asked(predictor_of("r3d_tiny"), QUESTION)], video, tmp_path / "a" / "walk.png"
    )
    (attribution,) = written.attributions
    assert attribution.method == "brightness"
    assert attribution.answer[0] == attribution.label
    assert {file.name for file in (tmp_path / "a").iterdir()} == {"walk.png", "walk.mp4", "walk.heat.npz"}
    with Video.open(written.film) as film:
        assert len(film.frame_times()) == 60
        assert film.size == (360, 480)
    assert Image.open(tmp_path / "a" / "walk.png").size[0] == 1280
    assert written.to_json(tmp_path / "a" / "walk.png")["overlay"].endswith("walk.mp4")


def test_several_models_come_on_one_sheet_and_in_files_of_their_own(video: Path, tmp_path: Path) -> None:
    asked = [Asked(predictor_of(name), QUESTION) for name in ("r3d_tiny", "c3d_tiny")]
    written = explain_video(asked, video, tmp_path / "walk.png", film=False)
    assert [each.heat.name for each in written] == [
        "walk.r3d_tiny.brightness.heat.npz",
        "walk.c3d_tiny.brightness.heat.npz",
    ]
    assert all(each.film is None for each in written)


def test_methods_of_one_model_are_held_against_each_other(video: Path, tmp_path: Path) -> None:
    model = predictor_of("r3d_tiny")
    asked = [
        Asked(model, QUESTION),
        Asked(model, Question("gradcam")),
        Asked(predictor_of("c3d_tiny"), QUESTION),
    ]
    check_agreement(asked)
    written = explain_video(asked, video, tmp_path / "walk.png", film=False, agree=True)
    (pair,) = written[0].agreement
    assert written[1].agreement == (pair,)
    assert written[2].agreement == ()
    assert (pair.model, pair.methods, pair.maps) == ("r3d_tiny", ("brightness", "gradcam"), 1)
    assert written[0].to_json(tmp_path)["agreement"] == [pair.to_json()]
    with pytest.raises(InvalidSetting, match="--method A --method B"):
        check_agreement(asked[1:])


def test_a_sum_that_misses_what_it_promises_is_said(video: Path) -> None:
    for settings in (Settings(steps=1, most_steps=1), Settings()):
        found = explain(
            predictor_of("videomae_tiny"), video, Question("integrated_gradients", settings=settings)
        )
        assert found.residual is not None
        said = [note for note in found.notes if "The sum of heat misses the score's" in note]
        assert bool(said) == (found.residual > 0.01) == (settings.steps == 1)


def test_heat_comes_back_from_disk(video: Path, tmp_path: Path) -> None:
    found = explain(predictor_of("r3d_tiny"), video, replace(QUESTION, views=Views(2, 3)))
    write_attribution(tmp_path / "a.heat.npz", found)
    again = read_attribution(tmp_path / "a.heat.npz")
    assert again.to_json() == found.to_json()
    assert len(again.heats) == 6
    for one, two in zip(found.heats, again.heats, strict=True):
        assert two.placement == one.placement
        assert two.full == one.full
        assert np.abs(one.values - two.values).max() < 1e-3 * one.values.max()
    times = np.array([0.5, 1.0])
    assert np.allclose(found.on_source(times, (48, 64)), again.on_source(times, (48, 64)), atol=2e-3)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"nothing of the kind"])
def test_other_files_are_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.heat.npz").write_bytes(damage)
    with pytest.raises(InvalidAnnotation, match="is not an explanation that can be read"):
        read_attribution(tmp_path / "a.heat.npz")


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [0, 64]}, {"size": "large"}, {"answer": ["hop"]}, {"notes": [1]}, {"probability": "high"},
        {"span": [0, None]}, {"surprise": 1}, {"heats": []}, {"faithfulness": {"a": {}}},
    ],
)  # fmt: skip
def test_texts_of_other_types_are_refused(video: Path, tmp_path: Path, wrong: dict[str, object]) -> None:
    rewritten(video, tmp_path / "a.heat.npz", text=wrong)
    with pytest.raises(InvalidAnnotation, match="is not an explanation that can be read"):
        read_attribution(tmp_path / "a.heat.npz")


@pytest.mark.parametrize(
    "wrong",
    [
        {"full": -1}, {"full": float("nan")}, {"placement": None}, {"view": -1},
        {"placement": {"scale_x": 0}}, {"placement": {"clip_size": [7, 7]}},
    ],
)  # fmt: skip
def test_heat_that_lies_nowhere_is_refused(video: Path, tmp_path: Path, wrong: dict[str, object]) -> None:
    rewritten(video, tmp_path / "a.heat.npz", heat=wrong)
    with pytest.raises(InvalidAnnotation, match="is not an explanation that can be read"):
        read_attribution(tmp_path / "a.heat.npz")


@pytest.mark.parametrize("name", ["heat_0", "times_0"])
def test_heat_that_is_no_number_is_refused(video: Path, tmp_path: Path, name: str) -> None:
    rewritten(video, tmp_path / "a.heat.npz", spoil=name)
    with pytest.raises(InvalidAnnotation, match="are not all numbers"):
        read_attribution(tmp_path / "a.heat.npz")


def rewritten(
    video: Path,
    path: Path,
    text: dict[str, object] | None = None,
    heat: dict[str, object] | None = None,
    spoil: str = "",
) -> None:
    """A file of heat with something in it changed."""
    write_attribution(path, explain(predictor_of("r3d_tiny"), video, QUESTION))
    arrays = dict(np.load(path))
    described = json.loads(str(arrays["text"]))
    for name, value in (heat or {}).items():
        old = described["heats"][0][name]
        described["heats"][0][name] = {**old, **value} if isinstance(value, dict) else value
    arrays["text"] = np.array(json.dumps({**described, **(text or {})}))
    if spoil:
        arrays[spoil] = np.full_like(arrays[spoil], np.nan)
    np.savez(path, **arrays)


def test_another_format_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.heat.npz", text=np.array('{"format": 2, "heats": []}'))
    with pytest.raises(InvalidAnnotation, match="a format that this version does not know"):
        read_attribution(tmp_path / "a.heat.npz")


def test_windows_go_on_where_they_stopped(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, picture = [Asked(predictor_of("r3d_tiny"), QUESTION)], tmp_path / "walk.png"

    def stopped(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain_video(asked, video, picture, steps=(1.0, 0.5), progress=stopped)
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "walk.windows").iterdir()}
    assert len(kept) == 3  # two windows and their settings
    (written,) = explain_video(asked, video, picture, steps=(1.0, 0.5))
    whole = list(written.attributions)
    assert [each.span[0] for each in whole] == [0.0, 0.5, 1.0, 1.4]
    assert all((tmp_path / "walk.windows" / name).stat().st_mtime_ns == then for name, then in kept.items())
    alone = list(explain_windows(asked[0].model, video, QUESTION, window_s=1.0, stride_s=0.5))
    for one, two in zip(alone, whole, strict=True):
        assert np.allclose(one.heats[0].values, two.heats[0].values, atol=2e-3)
    assert len(written.to_json(picture)["windows"]) == 4
    monkeypatch.setattr(room, "_MOST_STRIPS", 2)
    assert len(room._some(written.attributions)) == 2


@pytest.mark.slow
def test_windows_of_other_settings_are_not_mixed(video: Path, tmp_path: Path) -> None:
    asked = [Asked(predictor_of("r3d_tiny"), QUESTION)]
    explain_video(asked, video, tmp_path / "walk.png", steps=(1.0, 0.5), film=False)
    with pytest.raises(InvalidSetting, match=r"was written with other settings \(window was 1.0, now 0.5\)"):
        explain_video(asked, video, tmp_path / "walk.png", steps=(0.5, 0.5), film=False)


def test_windows_of_a_video_that_changed_are_not_mixed(make_video, tmp_path: Path) -> None:
    asked, copy = [Asked(predictor_of("r3d_tiny"), QUESTION)], tmp_path / "walk.mp4"
    make_video(copy, frames=30)
    explain_video(asked, copy, tmp_path / "out" / "walk.png", steps=(1.0, 0.5), film=False)
    make_video(copy, frames=40)
    with pytest.raises(InvalidSetting, match="written with other settings"):
        explain_video(asked, copy, tmp_path / "out" / "walk.png", steps=(1.0, 0.5), film=False)


def test_questions_that_have_no_answer_are_refused(video: Path) -> None:
    model = predictor_of("r3d_tiny")
    with pytest.raises(LabelMismatch, match="jump"):
        explain(model, video, replace(QUESTION, label="jump"))
    with pytest.raises(InvalidSetting, match="held against itself: 'hop'"):
        explain(model, video, replace(QUESTION, label="hop", against="hop"))


def test_nothing_makes_no_sheet(video: Path) -> None:
    with pytest.raises(InvalidSetting, match="shows one explanation or more"):
        sheet([], video)


def test_two_classes_are_held_against_each_other(video: Path) -> None:
    model = predictor_of("r3d_tiny")
    found = explain(model, video, replace(QUESTION, label="hop", against="skip"))
    alone = [explain(model, video, replace(QUESTION, label=label)).score for label in ("hop", "skip")]
    assert found.title == "hop rather than skip"
    assert found.score == pytest.approx(alone[0] - alone[1], abs=1e-4)


def test_a_sheet_is_a_picture_with_the_frames_of_the_clip(video: Path) -> None:
    found = explain(predictor_of("r3d_tiny"), video, QUESTION)
    image = np.asarray(Image.open(io.BytesIO(sheet([found], video, frames=4))))
    assert image.shape[1] == 1280
    assert image[..., :3].std() > 10


def test_a_film_is_not_written_over_the_video(video: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.mp4"
    own.write_bytes(video.read_bytes())
    asked = [Asked(predictor_of("r3d_tiny"), QUESTION)]
    with pytest.raises(InvalidSetting, match=r"would overwrite the video .*own.mp4 itself"):
        explain_video(asked, own, tmp_path / "own.png")
    with pytest.raises(InvalidSetting, match="would overwrite the video"):
        check_films(asked, [(tmp_path / "own.avi", tmp_path / "own.png"), (own, tmp_path / "own.mp4.png")])
    assert [file.name for file in tmp_path.iterdir()] == ["own.mp4"]
    assert own.read_bytes() == video.read_bytes()
    explain_video(asked, own, tmp_path / "own.png", film=False)
    assert own.read_bytes() == video.read_bytes()


def test_models_of_one_name_have_files_of_their_own(video: Path, tmp_path: Path) -> None:
    asked = [Asked(predictor_of("r3d_tiny"), replace(QUESTION, label=label)) for label in ("hop", "skip")]
    written = explain_video(asked, video, tmp_path / "walk.png", film=False)
    assert [each.heat.name for each in written] == [
        "walk.r3d_tiny.brightness.heat.npz",
        "walk.r3d_tiny.brightness-2.heat.npz",
    ]
    assert [each.attributions[0].label for each in written] == ["hop", "skip"]
