"""Real motion capture played by mannequins."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.formats.bvh import read_bvh
from kinesphere.data import Manifest
from kinesphere.synthetic import MannequinSettings, load_ground_truth
from kinesphere.synthetic.body.body import Body, forward_kinematics
from kinesphere.synthetic.mocap import render_motions
from kinesphere.synthetic.motion.retarget import NEEDED, retarget

pytestmark = pytest.mark.real
ROOT = os.environ.get("KINESPHERE_TEST_DATA")

if not ROOT:
    pytest.skip("KINESPHERE_TEST_DATA names no folder of real data", allow_module_level=True)

NAME = "dataset-1_walk_normal_001.bvh"


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one walk of the Bandai Namco set."""
    folder = tmp_path_factory.mktemp("styles")
    with tarfile.open(Path(ROOT or "") / "mocap" / "styles.tar.xz") as archive:
        archive.extract(f"styles/{NAME}", folder, filter="data")
    return folder / "styles"


def test_a_walk_is_played_as_it_was_captured(walk: Path) -> None:
    motion = read_bvh(walk / NAME)
    names, points = motion.joints()
    recorded, body = retarget(names, points, motion.fps), Body()
    ours = forward_kinematics(body, recorded.pose(np.arange(len(points)) / motion.fps, body))
    for end in NEEDED:
        side, part = end.split("_")
        before = {"elbow": "shoulder", "wrist": "elbow", "knee": "hip", "ankle": "knee"}.get(part)
        if before:
            start = f"{side}_{before}"
            a = points[:, names.index(end)] - points[:, names.index(start)]
            b = ours.of(end) - ours.of(start)
            cosine = np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
            assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.1
    lowest = np.min([ours.of(f"{side}_ball")[:, 2] for side in ("left", "right")], axis=0)
    assert np.abs(lowest - body.rest[:, 2].min()).max() < 0.03
    assert (ours.of("head")[:, 2] > 1.4).all()
    way = ours.of("pelvis")[-1] - ours.of("pelvis")[0]
    facing = ours.orientations[:, 0, :2, 0].mean(axis=0)
    assert way[:2] @ facing / np.linalg.norm(way[:2]) / np.linalg.norm(facing) > 0.99
    assert np.linalg.norm(way) > 6


def test_a_walk_becomes_videos_with_their_truth(walk: Path, tmp_path: Path) -> None:
    settings = MannequinSettings(size=(48, 64), fps=5, flow=True)
    made = render_motions("bandai_namco", walk, tmp_path, settings, renderings=1, workers=1)
    manifest = Manifest.read(made.manifest)
    # It leads over more floor than one picture shows well.
    assert (made.motions, made.videos, made.skipped) == (1, 2, ())
    assert {(sample.labels[0], sample.split, sample.group) for sample in manifest} == {
        ("walk", "train", "dataset-1_walk_normal_001")
    }
    assert dict(manifest[0].extra)["style"] == "normal"
    for sample in manifest:
        truth = load_ground_truth(tmp_path / "truth" / f"{sample.id}.npz")
        assert truth.joints2d[..., 2].all()
        assert truth.mask.any((1, 2, 3)).all()
        assert truth.flow is not None
