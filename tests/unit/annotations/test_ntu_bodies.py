"""People of NTU RGB+D recordings: one person, one track, and the performer before the furniture."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.formats.ntu import read_ntu
from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.data import ClipDataset, Item, Manifest
from kinesphere.datasets import import_skeletons

Place = tuple[int, float, float]


def ntu_text(frames: list[list[Place]], jitter: float = 0.002, state: int = 2) -> str:
    """Frames of bodies `(id, x, arm)`: a grid of joints about x metres, of which five are lifted by `arm`."""
    random = np.random.default_rng(0)
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body, x, arm in bodies:
            lines += [f"{body} 0 1 1 1 1 0 0.1 0.2 2", "25"]
            for j in range(25):
                dx, dy, dz = random.normal(0, jitter, 3)
                place = x + 0.1 * (j % 5) + dx, 0.3 * (j // 5) + dy + arm * (j < 5), 3 + dz
                pixel = 960 + 300 * place[0], 540 - 300 * place[1]
                lines.append(" ".join(map(str, (*place, 0, 0, *pixel, 0, 0, 0, 1, state))))
    return "\n".join(lines) + "\n"


def read(path: Path, frames: list[list[Place]], **how: float) -> Poses:
    path.write_text(ntu_text(frames, **how))  # type: ignore[arg-type]
    return read_ntu(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "S001C001P002R001A002.skeleton"


def xs(poses: Poses) -> np.ndarray:
    """`(T, P)` where each person is; NaN where it is away."""
    assert poses.world is not None
    return np.where(poses.present, poses.world[..., 12, 0] - 0.2, np.nan)


@pytest.mark.parametrize("gap", [0, 1, 30])
def test_a_performer_with_another_id_is_one_person(path: Path, gap: int) -> None:
    seen = [[(7205, 0.01 * t, 0.0)] for t in range(20)]
    frames = [*seen, *([[]] * gap), *[[(7301, 0.2 + 0.01 * t, 0.0)] for t in range(20)]]
    poses = read(path, frames)
    assert poses.people == 1
    assert poses.present[:, 0].sum() == 40


def test_two_performers_who_exchange_ids_keep_their_tracks(path: Path) -> None:
    frames = [[(1, 0.0, 0.0), (2, 1.0, 0.0)] for _ in range(10)]
    frames += [[(1, 1.0, 0.0), (2, 0.0, 0.0)] for _ in range(10)]
    poses = read(path, frames)
    np.testing.assert_allclose(xs(poses), np.tile([0.0, 1.0], (20, 1)), atol=0.02)


def test_ids_decide_where_bodies_are_too_near_to_tell(path: Path) -> None:
    frames = [[(1, 0.1 * t, 0.0), (2, 1.0 - 0.1 * t, 0.0)] for t in range(11)]
    assert np.diff(xs(read(path, frames))[[0, -1]], axis=0).round(1).tolist() == [[1.0, -1.0]]


def test_a_second_id_of_a_person_in_the_same_frames_is_nobody_else(path: Path) -> None:
    frames = [[(1, 0.0, 0.0)] for _ in range(10)] + [[(1, 0.0, 0.0), (2, 0.01, 0.0)] for _ in range(3)]
    poses = read(path, [*frames, *[[(2, 0.01, 0.0)] for _ in range(10)]])
    assert (poses.people, int(poses.present.sum())) == (1, 23)


def test_who_comes_in_elsewhere_is_somebody_else(path: Path) -> None:
    poses = read(path, [[(1, 0.0, 0.0)] for _ in range(10)] + [[(2, 3.0, 0.0)] for _ in range(10)])
    assert poses.people == 2
    # Ids are used again, too.
    poses = read(path, [[(1, 0.0, 0.0), (2, 3.0, 0.0)]] * 5 + [[(1, 3.0, 0.0)]] * 5)
    assert poses.present.sum(0).tolist() == [5, 10]


def test_the_performer_leads_before_furniture_that_is_seen_longer(path: Path, tmp_path: Path) -> None:
    # Furniture through all 60 frames, as surely tracked; a performer who lifts the arms in 25 of them.
    frames = [[(1, 2.0, 0.0)] + [(2, 0.0, 0.5 * np.sin(t / 4))] * (20 <= t < 45) for t in range(60)]
    poses = read(path, frames, jitter=0.01)
    assert poses.people == 2
    assert poses.leading(1).tolist() == [1]
    assert poses.in_space().leading(1).tolist() == [1]
    assert poses.leading(2).tolist() == [0, 1]
    manifest = Manifest.read(import_skeletons("ntu", tmp_path, tmp_path / "out").manifest)
    spec = ClipSpec(Sampling.parse("uniform16"), (64, 64), "pose", skeleton="ntu25", dimensions=3, people=1,
                    mean=(0.0,) * 3, std=(1.0,) * 3)  # fmt: skip
    item = ClipDataset(manifest, spec, train=False)[0]
    assert isinstance(item, Item)
    joints = item.inputs[0][0, :, 0, 12]
    assert joints[joints[:, -1] > 0][:, 0].abs().max() < 1


def test_of_two_who_move_the_one_seen_longest_leads(path: Path) -> None:
    frames = [[(1, 2.0, 0.3 * np.sin(t / 4))] + [(2, 0.0, 0.5 * np.sin(t / 4))] * (t < 25) for t in range(60)]
    assert read(path, frames).leading(1).tolist() == [0]


def test_recordings_without_a_joint_that_was_seen_show_nobody(path: Path) -> None:
    with pytest.raises(InvalidAnnotation, match="bodies without a joint that is tracked or inferred"):
        read(path, [[(1, 0.0, 0.0)]] * 3, state=0)


def test_many_frames_of_many_bodies_are_not_asked_for_before_they_are_there(path: Path) -> None:
    # One body, then a claim of frames that take two bytes each.
    text = ntu_text([[(1, 0.0, 0.0)]]).partition("\n")[2]
    path.write_text(f"100001\n{text}" + "0\n" * 100_000)
    with pytest.raises(InvalidAnnotation, match="bytes and claims 240002400 for bodies"):
        read_ntu(path)


@pytest.mark.skipif("KINESPHERE_TEST_DATA" not in os.environ, reason="KINESPHERE_TEST_DATA names no folder")
def test_a_recording_whose_performer_changes_its_id() -> None:
    path = Path(os.environ["KINESPHERE_TEST_DATA"]).parent / "faults" / "skeletons"
    if not path.is_dir():
        pytest.skip("there is no folder `faults` beside KINESPHERE_TEST_DATA")
    poses = read_ntu(path / "S001C001P002R001A002.skeleton")
    assert (poses.people, poses.present.all()) == (1, True)
