"""Heat that people look at: colours, skeletons, and the examples of a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_ins import predictor_of

from kinesphere.apps.html import Example, explainer, with_frames
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.spec import Views
from kinesphere.core.errors import InvalidSetting, UnknownName
from kinesphere.explain.explaining import Question, explain
from kinesphere.explain.render.colour import ColourScale
from kinesphere.explain.render.drawing import draw_heat
from kinesphere.explain.render.film import write_film
from kinesphere.explain.render.frames import source_frames, spread_times

pytestmark = pytest.mark.usefixtures("brightness")
QUESTION = Question("brightness")


def test_frames_show_through_where_there_is_no_heat() -> None:
    frames = np.full((1, 2, 3, 3), 90, np.uint8)
    heat = np.zeros((1, 2, 3))
    heat[0, 0, 0] = 2
    painted = ColourScale(2.0).over(frames, heat)
    assert (painted[0, 1] == 90).all()
    assert (painted[0, 0, 0] != 90).any()
    assert (ColourScale(0.0).over(frames, np.zeros((1, 2, 3))) == 90).all()


def test_heat_for_and_against_have_colours_of_their_own() -> None:
    colours, alpha = ColourScale(1.0, signed=True).colours(np.array([-1.0, 0.0, 1.0]))
    assert colours[0, 2] > colours[0, 0]  # blue
    assert colours[2, 0] > colours[2, 2]  # red
    assert alpha[1] == 0


def standing(path: Path, frame_size: tuple[int, int] | None = (120, 160)) -> Path:
    """A pose file of one person, whose ankles are lowest: they are hottest."""
    times = np.arange(20) / 10
    spread = np.random.default_rng(0).random((17, 2)) * (20, 30) + (60, 30)
    spread[15:17, 1] = 80
    keypoints = np.broadcast_to(spread, (20, 1, 17, 2)).astype(np.float32)
    scores = np.ones((20, 1, 17), np.float32)
    if frame_size is None:
        keypoints = np.concatenate([keypoints, np.ones((20, 1, 17, 1), np.float32)], -1) / 100
    write_poses(Poses(times, keypoints, scores, np.array([1]), "coco17", frame_size, fps=10), path)
    return path


def test_joints_have_their_heat(tmp_path: Path) -> None:
    file = standing(tmp_path / "a.pose.npz")
    found = explain(predictor_of("stgcn_tiny"), file, QUESTION)
    (heat,) = found.heats
    assert heat.of_joints
    assert heat.points is not None
    assert np.abs(heat.points[0, 0, 15, 1] - 80) < 1
    assert set(heat.values[0, 0].argsort()[-2:].tolist()) == {15, 16}
    times = spread_times(found, 4)
    images = draw_heat(found, *found.inputs[0], source_frames(file, times, (120, 160)), times)
    assert images.shape == (4, 120, 160, 3)
    rows = np.nonzero(images[0].max(-1))[0]
    assert rows.max() - rows.min() > 60  # as large as it fits, though the person fills a third


def test_a_file_of_poses_has_no_film(tmp_path: Path) -> None:
    file = standing(tmp_path / "a.pose.npz")
    found = explain(predictor_of("stgcn_tiny"), file, QUESTION)
    with pytest.raises(InvalidSetting, match="has no frames to make a film of"):
        write_film([found], file, tmp_path / "a.mp4")


def test_windows_of_a_film_have_one_scale(make_video, tmp_path: Path) -> None:
    video = make_video(tmp_path / "walk.mp4", frames=30)
    found = explain(predictor_of("r3d_tiny"), video, QUESTION)
    dark = replace(found, heats=tuple(replace(heat, full=heat.full / 100) for heat in found.heats))
    with pytest.raises(InvalidSetting, match="no explanation to make a film of"):
        write_film([], video, tmp_path / "none.mp4")
    films = [
        write_film([first, found], video, tmp_path / f"{name}.mp4")
        for name, first in (("dark", dark), ("same", found))
    ]
    pictures = [source_frames(film, np.array([0.2]), (360, 480)) for film in films]
    assert np.array_equal(*pictures)


def test_a_notebook_shows_the_picture_while_the_source_is_there(make_video, tmp_path: Path) -> None:
    video = make_video(tmp_path / "walk.mp4", frames=30)
    found = explain(predictor_of("r3d_tiny"), video, QUESTION)
    png = found._repr_png_()
    assert png is not None
    assert png.startswith(b"\x89PNG")
    video.unlink()
    assert found._repr_png_() is None
    assert found.on_source([0.2, 0.4], (48, 64)).shape == (2, 48, 64)


def test_a_label_is_drawn_as_it_is_spelled(make_video, tmp_path: Path) -> None:
    found = explain(predictor_of("r3d_tiny"), make_video(tmp_path / "a.mp4", frames=8), QUESTION)
    for label in (r"$\frac{x}{$_^", "two\nlines \x1b[31m, not text \udce9" + "long" * 20_000):
        assert replace(found, label=label)._repr_png_()


def test_examples_of_a_report_show_what_answers_rest_on(make_video, tmp_path: Path) -> None:
    video = make_video(tmp_path / "walk.mp4", frames=30)
    model = predictor_of("r3d_tiny")
    right = Example("right", str(video), None, "hop", "hop", 0.9, 0.9)
    wrong = Example("wrong", str(video), (0.0, 1.0), "skip", "hop", 0.9, 0.1)
    gone = Example("right", str(tmp_path / "gone.mp4"), None, "hop", "hop", 0.9, 0.9)
    explained = explainer(model, ["brightness", "activation_map"])
    shown = [explained(with_frames(each)) for each in (right, wrong, gone)]
    assert [[len(heat.frames) for heat in each.heats] for each in shown] == [[6, 6], [6, 6], []]
    caption = shown[1].heats[0].caption
    assert caption.startswith("hop rather than skip, by brightness; full colour: rgb up to")
    assert shown[0].agreement.startswith("brightness and activation_map: rank correlation ")
    assert shown[0].agreement.endswith("of the hottest tenth of the cells in common (10 % by chance).")
    assert explainer(model, ["brightness"])(right).agreement == ""
    with pytest.raises(UnknownName, match="no explanation method called 'brightnes'"):
        explainer(model, ["brightnes"])
    with pytest.raises(InvalidSetting, match="A method is named twice"):
        explainer(model, ["brightness", "brightness"])
    with torch.no_grad():
        next(model.module.parameters()).fill_(torch.nan)
    assert [heat.frames for heat in explained(right).heats] == [(), ()]
    assert explained(right).heats[0].caption.startswith("none. ")


def test_joints_of_mirrored_views_have_the_heat_of_their_own_side(tmp_path: Path) -> None:
    file = standing(tmp_path / "a.pose.npz")
    found = explain(predictor_of("stgcn_tiny"), file, replace(QUESTION, views=Views(1, 10)))
    assert len(found.heats) == 10
    for heat in found.heats[5:]:  # the height of a joint is the same in a mirror
        assert np.allclose(heat.values, found.heats[0].values, atol=1e-4)
