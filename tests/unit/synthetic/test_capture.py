"""Sets of motion capture rendered as videos."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kinesphere.annotations.formats.bvh import read_bvh
from kinesphere.apps.cli.main import app
from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.modalities.pose.file import read_poses
from kinesphere.clips.pinhole import framing
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, UnknownName
from kinesphere.data import ClipDataset, Item, Manifest, Opening
from kinesphere.synthetic import MannequinSettings, Recorded, load_ground_truth
from kinesphere.synthetic.body.body import Placement
from kinesphere.synthetic.clips import cast
from kinesphere.synthetic.mocap import RenderedSet, deal, render_motions
from kinesphere.synthetic.mocap_clips import cut, plan_captures, render_capture, staged
from kinesphere.synthetic.motion.retarget import retarget
from kinesphere.video import Video

Acted = Callable[[str], Placement]
Write = Callable[[Path, Placement], None]

SMALL = MannequinSettings(
    size=(72, 96), fps=8, performers=6, scenes=6, splits=(0.5, 0.0, 0.5), shake=0.0, flow=True
)


@pytest.fixture(scope="module")
def captures(acted: Acted, write_bvh: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four motions of two actions in folders, and three files that cannot be played."""
    folder = tmp_path_factory.mktemp("captures")
    for label in ("walk", "wave"):
        for number in (1, 2):
            write_bvh(folder / label / f"{label}{number}.bvh", acted(label))
    (folder / "walk" / "nothing.bvh").touch()
    text = (folder / "wave" / "wave1.bvh").read_text()
    (folder / "wave" / "cut.bvh").write_text(text[: len(text) // 2])
    lines = text.replace("Frames: 40", "Frames: 1").splitlines()
    (folder / "wave" / "still.bvh").write_text("\n".join(lines[: lines.index("Frames: 1") + 3]))
    return folder


@pytest.fixture(scope="module")
def made(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> RenderedSet:
    out = tmp_path_factory.mktemp("rendered")
    return render_motions("bvh", captures, out, SMALL, renderings=2, workers=1)


@pytest.fixture
def walking(captures: Path) -> Recorded:
    motion = read_bvh(captures / "walk" / "walk1.bvh")
    return retarget(*motion.joints(), motion.fps)


def rows(made: RenderedSet) -> list[dict[str, str]]:
    with made.manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_what_cannot_be_played_is_listed(made: RenderedSet) -> None:
    assert (made.motions, made.videos) == (4, 8)
    skipped = {Path(each.path).name: each.reason for each in made.skipped}
    assert set(skipped) == {"nothing.bvh", "cut.bvh", "still.bvh"}
    assert "is empty; get it again" in skipped["nothing.bvh"]
    assert "line" in skipped["cut.bvh"]
    assert "1 pose is no movement" in skipped["still.bvh"]


def test_no_motion_performer_or_scene_straddles_splits(made: RenderedSet) -> None:
    manifest, table = Manifest.read(made.manifest), rows(made)
    assert (list(manifest.labels), set(manifest.splits)) == (["walk", "wave"], {"train", "test"})
    assert {row["group"] for row in table} == {"walk1", "walk2", "wave1", "wave2"}
    for column in ("group", "motion", "performer", "scene"):
        homes = {(row[column], row["split"]) for row in table}
        assert len({name for name, _ in homes}) == len(homes)
    for split in ("train", "test"):
        assert {row["label"] for row in table if row["split"] == split} == {"walk", "wave"}
    for motion in {row["motion"] for row in table}:
        own = [row for row in table if row["motion"] == motion]
        assert len({row["performer"] for row in own}) == len(own) == 2


def test_all_four_truths_are_there_and_agree(made: RenderedSet) -> None:
    root = made.manifest.parent
    for row in rows(made):
        truth = load_ground_truth(root / "truth" / f"{row['id']}.npz")
        with Video.open(root / row["path"]) as video:
            assert len(video.frame_times()) == len(truth.mask) == round(float(row["end"]) * 8)
        assert truth.joints2d[..., 2].all()
        assert truth.flow is not None
        errors = []
        for frame, joints in enumerate(truth.joints2d[:, 0]):
            for joint in (5, 6, 11, 12, 13, 14):
                x, y = np.round(joints[joint, :2]).astype(int)
                assert truth.mask[frame, 0, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].any()
                if frame + 1 < len(truth.mask) and joint in (5, 6, 11, 12) and truth.mask[frame, 0, y, x]:
                    step = truth.joints2d[frame + 1, 0, joint, :2] - joints[joint, :2]
                    errors.append(np.linalg.norm(truth.flow[frame, :, y, x] - step))
        assert np.median(errors) < 1


def test_models_read_every_true_input(made: RenderedSet) -> None:
    root = made.manifest.parent
    frames = Sampling.parse("8x1x1")
    specs = (
        ClipSpec(frames, (72, 96), resize="stretch"),
        ClipSpec(frames, (72, 96), "flow", resize="stretch", mean=(0.0, 0.0), std=(1.0, 1.0)),
        ClipSpec(
            frames, (72, 96), "pose", resize="stretch", mean=(0.5,) * 2, std=(0.5,) * 2, skeleton="coco17"
        ),
        ClipSpec(frames, (72, 96), "mask", resize="stretch", mean=(0.5,), std=(0.5,)),
    )
    manifest = Manifest.read(made.manifest)
    data = ClipDataset(manifest, specs, train=True, opening=Opening(Extracts(root / "truth", root)))
    item = data[0]
    assert isinstance(item, Item), item
    shapes = [(1, 8, 3, 72, 96), (1, 8, 2, 72, 96), (1, 8, 1, 17, 3), (1, 8, 1, 72, 96)]
    assert [tuple(each.shape) for each in item.inputs] == shapes


def test_lost_files_are_made_again_by_any_number_of_workers(made: RenderedSet, captures: Path) -> None:
    root = made.manifest.parent
    before = digests(root)
    table = rows(made)
    (root / table[0]["path"]).unlink()
    (root / "truth" / f"{table[-1]['path']}.flow.npz").unlink()
    kept = (root / table[3]["path"]).stat().st_mtime_ns
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    render_motions("bvh", captures, root, SMALL, renderings=2, workers=2, progress=progress)
    assert digests(root) == before
    assert (root / table[3]["path"]).stat().st_mtime_ns == kept
    assert seen[-1] == (8, 8)


def test_other_settings_or_motions_need_another_folder(
    made: RenderedSet, captures: Path, write_bvh: Write, acted: Acted, tmp_path: Path
) -> None:
    root = made.manifest.parent
    with pytest.raises(InvalidSetting, match="written with other settings"):
        render_motions("bvh", captures, root, replace(SMALL, seed=1), renderings=2, workers=1)
    write_bvh(tmp_path / "kick" / "one.bvh", acted("kick"))
    with pytest.raises(InvalidSetting, match="written with other settings"):
        render_motions("bvh", tmp_path, root, SMALL, renderings=2, workers=1)
    assert json.loads((root / "settings.json").read_text())["kind"] == "motions"


def test_what_is_no_motion_capture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="Mannequins play motion capture, not JHMDB"):
        render_motions("jhmdb", tmp_path, tmp_path / "out")
    with pytest.raises(InvalidSetting, match=r"rendered once or more, .* got renderings=0, longest_s=20"):
        render_motions("bvh", tmp_path, tmp_path / "out", renderings=0)
    with pytest.raises(InvalidAnnotation, match=r"holds no motion of BVH motion capture .* to play"):
        render_motions("bvh", tmp_path, tmp_path / "out")
    with pytest.raises(UnknownName, match="did you mean"):
        render_motions("bhv", tmp_path, tmp_path / "out")


def test_who_walks_walks_forward_in_the_picture(walking: Recorded) -> None:
    performer = cast(SMALL, 0)
    times = np.arange(0, walking.duration_s, 1 / 8)
    points = staged(walking, performer, 0.0, times).placed(times)[0].positions
    head_px = {}
    for degrees in (0, 90, 180, 270):
        camera = framing(points.reshape(-1, 3), np.radians(degrees), 0.1, 1.5, (240, 320), 0.1)
        seen = camera.project(points)
        heights = np.ptp(seen[..., 1], axis=1)
        head_px[degrees] = (seen[-1, 4, 0] - seen[0, 4, 0], heights[-1] / heights[0])
    # Towards a camera in front one grows; seen from one's left one walks to the picture's left.
    assert head_px[0][1] > 1.3
    assert head_px[180][1] < 0.77
    assert head_px[90][0] < -60
    assert head_px[270][0] > 60
    middle = (points[:, 0, :2].min(axis=0) + points[:, 0, :2].max(axis=0)) / 2
    np.testing.assert_allclose(middle, 0, atol=1e-6)


def test_long_motions_and_long_ways_are_cut_into_equal_pieces(walking: Recorded) -> None:
    def pieces(recorded: Recorded, longest_s: float) -> list[tuple[float, float]]:
        plans = plan_captures(SMALL, "a/b", "walk", "train", cut(recorded, longest_s, 8), 1)
        return [(plan.start_s, plan.duration_s) for plan in plans]

    whole = walking.duration_s
    assert pieces(walking, 20) == [(0.0, whole)]
    assert pieces(walking, 1.0) == [(0.0, whole / 2), (whole / 2, whole / 2)]
    pose = walking.recorded
    slow = replace(walking, rate_hz=2.0)
    far = replace(slow, recorded=replace(pose, root=pose.root * (6.0, 6.0, 1.0)))
    assert len(pieces(slow, 60)) == 1
    assert len(pieces(far, 60)) == int(np.ceil(np.ptp(far.recorded.root[:, 0]) / 5))
    with pytest.raises(
        InvalidAnnotation, match=r"It lasts 0.050 s, less than two frames at 8 frames a second"
    ):
        pieces(replace(walking, rate_hz=39 / 0.05), 20)


def test_labels_are_trained_before_they_are_tested() -> None:
    def dealt(count: int) -> Counter[str]:
        labels = {f"{label}{i}": {label} for label in ("bow", "kick") for i in range(count)}
        splits = deal(labels, MannequinSettings())
        assert {splits["bow0"], splits["kick0"]} == {"train"} or count > 1
        return Counter(splits.values())

    assert dealt(1) == {"train": 2}
    assert dealt(2) == {"train": 2, "test": 2}
    assert dealt(10) == {"train": 14, "val": 2, "test": 4}


def test_each_rendering_looks_different(walking: Recorded) -> None:
    plans = list(plan_captures(SMALL, "walk", "walk", "train", [(0.0, 1.5)], 3))
    assert len({plan.azimuth_deg for plan in plans}) == len({plan.performer for plan in plans}) == 3
    assert [plan.id for plan in plans] == ["walk_00_00", "walk_00_01", "walk_00_02"]
    one, other = (render_capture(plan, walking, replace(SMALL, flow=False)).frames for plan in plans[:2])
    assert np.abs(one.astype(int) - other).mean() > 10


def test_pose_files_say_where_they_come_from(made: RenderedSet) -> None:
    poses = read_poses(made.manifest.parent / "truth" / f"{rows(made)[0]['path']}.pose.npz")
    assert (poses.origin, poses.skeleton, poses.fps, poses.frame_size) == (
        "the mannequin",
        "coco17",
        8,
        (72, 96),
    )
    assert poses.world is not None
    assert np.isfinite(poses.boxes).all()


def test_the_command_renders_and_lists_what_it_leaves_out(
    captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    (source / "wave").mkdir(parents=True)
    for name in ("wave1.bvh", "still.bvh"):
        shutil.copy(captures / "wave" / name, source / "wave" / name)
    monkeypatch.setenv("COLUMNS", "200")
    words = ["render", "bvh", str(source), "--out", str(tmp_path / "out"), "--per-motion", "1", "--fps", "5"]
    words += ["--size", "48", "64", "--flow", "--workers", "1"]
    told = CliRunner().invoke(app, [*words, "--json"])
    assert told.exit_code == 0, told.output
    answer = json.loads(told.stdout)
    assert (answer["motions"], answer["videos"]) == (1, 1)
    assert [each["path"] for each in answer["skipped"]] == ["wave/still.bvh"]
    assert len(list((tmp_path / "out" / "truth" / "videos").rglob("*.npz"))) == 3
    again = CliRunner().invoke(app, words)
    assert "1 videos of 1 motions" in again.stdout
    assert "left out  wave/still.bvh: 1 pose is no movement" in again.stdout
    assert Manifest.read(answer["manifest"]).splits == ("train",)
