"""Readers of skeleton sets on files that are damaged or made to do harm: typed errors, and nothing else."""

from __future__ import annotations

import io
import json
import pickle
import random
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.annotations.formats.coco import read_coco
from kinesphere.annotations.formats.openpose import read_openpose
from kinesphere.core.errors import KinesphereError, KinesphereWarning
from kinesphere.datasets import import_skeletons

# Words that stand where a number, a name or a brace is expected.
WORDS = (
    "nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "9" * 400, "9" * 5000, "-1", "0", "1_0", "x", "{", "}",
    "é", "\x00", "ROOT", "JOINT", "End", "Site", "OFFSET", "CHANNELS", "MOTION", "Frames:", "4294967296",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 2**70, 10**400, 0.5, -1e308, float("nan"), float("inf"), "", "x",
    "..", "../../x", "a/b", "\x00", "n" * 5000, "\ud800", [], {}, [[]], {"a": []}, [0] * 51,
    [float("nan")] * 51,
)  # fmt: skip
FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def bvh() -> str:
    """A figure that the reader knows: hips, and arms and legs of three bones."""
    angles = "CHANNELS 3 Zrotation Xrotation Yrotation"
    text = "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition "
    text += "Zrotation Xrotation Yrotation\n"
    for side, x in (("Left", 1), ("Right", -1)):
        limbs = {"Arm ForeArm Hand": "5 -3 -3", "UpLeg Leg Foot": "-1 -4 -4"}
        for names, steps in ((names.split(), steps.split()) for names, steps in limbs.items()):
            for i, (name, step) in enumerate(zip(names, steps, strict=True)):
                text += f"JOINT {side}{name}\n{{\nOFFSET {0 if i else x} {step} 0\n{angles}\n"
            text += "End Site\n{\nOFFSET 0 -1 0\n}\n" + "}\n" * 3
    rows = "\n".join(" ".join(f"{(i * 7 + t) % 30}.5" for i in range(42)) for t in range(3))
    return f"{text}}}\nMOTION\nFrames: 3\nFrame Time: 0.05\n{rows}\n"


def ntu() -> str:
    lines = ["3"]
    for t in range(3):
        lines.append("2")
        for body in (7, 8):
            lines += [f"{body} 0 1 1 1 1 0 0.1 0.2 2", "25"]
            lines += [f"{body + 0.1 * t} {j} 3 0 0 {100 + j} 200 0 0 0 1 2" for j in range(25)]
    return "\n".join(lines)


def msr() -> str:
    return "\n".join(f"{0.1 * j} 1 2 0.5" for j in range(40))


def utkinect() -> str:
    return "\n".join(" ".join(map(str, [100 + t, *range(60)])) for t in range(4))


TEXTS: dict[str, tuple[str, str, Callable[[], str]]] = {
    "bvh": ("bvh", "walk/a.bvh", bvh),
    "laban": ("laban_effort", "walking_0_1_-1_0.bvh", bvh),
    "ntu": ("ntu", "S001C001P001R001A001.skeleton", ntu),
    "ntu list": ("ntu", "all_missing_skeletons.txt", lambda: "Names\nS001C001P001R001A002"),
    "msr": ("msr_action3d", "a01_s01_e01_skeleton3D.txt", msr),
    "utkinect": ("utkinect", "joints_s01_e01.txt", utkinect),
    "utkinect labels": ("utkinect", "actionLabel.txt", lambda: "s01_e01\nwalk: 100 101\ncarry: NaN NaN\n"),
}


def jhmdb() -> dict[str, np.ndarray]:
    return {
        "joints": np.random.default_rng(0).normal(size=(7, 15, 2)).astype(np.float32),
        "lengths": np.array([3, 4]),
        "labels": np.array(["run", "clap"]),
    }


def pyskl() -> dict[str, Any]:
    def annotation(name: str) -> dict[str, Any]:
        return {
            "frame_dir": name, "label": 1, "img_shape": (48, 64), "total_frames": 3,
            "keypoint": np.ones((1, 3, 17, 2), np.float16), "keypoint_score": np.ones((1, 3, 17), np.float16),
        }  # fmt: skip

    lists = {"xsub_train": ["a"], "xsub_val": ["b"]}
    return {"split": lists, "annotations": [annotation("a"), annotation("b")]}


def coco() -> dict[str, Any]:
    images = [{"id": t, "width": 64, "height": 48, "file_name": f"{t}.jpg"} for t in range(4)]
    entries = [{"image_id": t, "keypoints": [9.0] * 51, "track_id": 1} for t in range(4)]
    return {"images": images, "annotations": entries}


def results() -> list[Any]:
    return [{"image_id": t, "keypoints": [9.0] * 51, "score": 1} for t in range(4)]


def frame() -> dict[str, Any]:
    return {"version": 1.3, "people": [{"pose_keypoints_2d": [9.0] * 75}] * 2}


def typed(function: Callable[..., object], *arguments: Any, **named: Any) -> None:
    """Run a reader; a `KinesphereError` is an answer, any other exception is a bug."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what NumPy would print, nobody has thought of
        warnings.simplefilter("ignore", KinesphereWarning)
        with suppress(KinesphereError):
            function(*arguments, **named)


def damaged_bytes(data: bytes, seed: int) -> bytes:
    """Flipped, dropped, repeated and cut bytes."""
    dice = random.Random(seed)
    array = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(max(1, len(array)))
        match dice.randrange(4):
            case 0:
                array[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del array[at : at + dice.randint(1, 40)]
            case 2:
                array[at:at] = array[at : at + dice.randint(1, 40)]
            case _:
                array[at : at + 8] = (2 ** dice.randrange(64)).to_bytes(8, "little")
    return bytes(array[: dice.randrange(len(array) + 1)]) if dice.random() < 0.2 else bytes(array)


def damaged_text(text: str, seed: int) -> str:
    """Words exchanged for strange ones, lines dropped, repeated and moved."""
    dice = random.Random(seed)
    lines = text.split("\n")
    for _ in range(dice.randint(1, 5)):
        at = dice.randrange(max(1, len(lines)))
        if not lines:
            break
        words = lines[at].split(" ")
        match dice.randrange(4):
            case 0:
                words[dice.randrange(len(words))] = dice.choice(WORDS)
                lines[at] = " ".join(words)
            case 1:
                del lines[at]
            case 2:
                lines.insert(dice.randrange(len(lines)), lines[at])
            case _:
                lines[at] = dice.choice(WORDS)
    return "\n".join(lines)


def damaged_value(value: Any, seed: int) -> Any:
    """A nested structure with one part exchanged for something else."""
    dice = random.Random(seed)

    def damage(node: Any, depth: int) -> Any:
        if depth > 6 or not isinstance(node, dict | list) or not node or dice.random() < 0.15:
            return dice.choice(VALUES)
        if isinstance(node, dict):
            key = dice.choice(list(node))
            if dice.random() < 0.15:
                return {k: v for k, v in node.items() if k != key}
            return {**node, key: damage(node[key], depth + 1)}
        at = dice.randrange(len(node))
        return [*node[:at], damage(node[at], depth + 1), *node[at + 1 :]]

    return damage(value, 0)


@pytest.mark.parametrize("kind", TEXTS)
@FUZZ
@given(st.integers(0, 2**32), st.booleans())
def test_text_files(tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int, as_bytes: bool) -> None:
    name, damaged, _ = TEXTS[kind]
    folder = tmp_path_factory.mktemp("set")
    for other, file, make in TEXTS.values():
        if other == name:
            (folder / file).parent.mkdir(exist_ok=True)
            data = make().encode()
            if file == damaged:
                data = damaged_bytes(data, seed) if as_bytes else damaged_text(make(), seed).encode()
            (folder / file).write_bytes(data)
    typed(import_skeletons, name, folder, folder / "out")


@FUZZ
@given(st.integers(0, 2**32))
def test_jhmdb(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder, dice, content = tmp_path_factory.mktemp("set"), np.random.default_rng(seed), jhmdb()
    key = str(dice.choice(list(content)))
    shapes = [(0,), (2,), (7, 15, 2), (7, 15, 3), (2, 2), ()]
    kinds = [np.float64, np.int64, np.uint8, "U3", "S3", bool, complex]
    shape, kind = shapes[dice.integers(len(shapes))], kinds[dice.integers(len(kinds))]
    array = dice.choice(np.array([0, 1, -1, 3, 4, 1e308, np.nan, np.inf]), shape)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content[key] = np.asarray(array).astype(kind)
    target = io.BytesIO()
    np.savez_compressed(target, **content)  # type: ignore[arg-type]
    data = target.getvalue()
    (folder / "split1_train.npz").write_bytes(damaged_bytes(data, seed) if seed % 2 else data)
    typed(import_skeletons, "jhmdb", folder, folder / "out")


@FUZZ
@given(st.integers(0, 2**32), st.sampled_from([2, 4, 5]))
def test_pyskl(tmp_path_factory: pytest.TempPathFactory, seed: int, protocol: int) -> None:
    folder = tmp_path_factory.mktemp("set")
    data = pickle.dumps(pyskl() if seed % 2 else damaged_value(pyskl(), seed), protocol)
    (folder / "set.pkl").write_bytes(damaged_bytes(data, seed) if seed % 2 else data)
    typed(import_skeletons, "pyskl", folder / "set.pkl", folder / "out")


@pytest.mark.parametrize("kind", [coco, results])
@FUZZ
@given(st.integers(0, 2**32), st.booleans())
def test_coco(
    tmp_path_factory: pytest.TempPathFactory, kind: Callable[[], Any], seed: int, with_frames: bool
) -> None:
    path = tmp_path_factory.mktemp("set") / "clip.json"
    text = json.dumps(kind() if seed % 2 else damaged_value(kind(), seed))
    path.write_bytes(damaged_bytes(text.encode(), seed) if seed % 2 else text.encode("utf-8", "replace"))
    typed(read_coco, path, fps=25.0, frame_size=(48, 64), frames=4 if with_frames else None)


@FUZZ
@given(st.integers(0, 2**32), st.booleans())
def test_openpose(tmp_path_factory: pytest.TempPathFactory, seed: int, with_frames: bool) -> None:
    folder = tmp_path_factory.mktemp("set")
    for t in range(3):
        (folder / f"clip_{t:012d}_keypoints.json").write_text(json.dumps(frame()))
    text = json.dumps(frame() if seed % 2 else damaged_value(frame(), seed))
    data = damaged_bytes(text.encode(), seed) if seed % 2 else text.encode("utf-8", "replace")
    (folder / f"clip_{seed % 40:012d}_keypoints.json").write_bytes(data)
    typed(read_openpose, folder, fps=25.0, frame_size=(48, 64), frames=4 if with_frames else None)


@pytest.mark.parametrize("suffix", [".tar", ".tar.xz", ".tar.gz", ".zip"])
@FUZZ
@given(seed=st.integers(0, 2**32))
def test_archives(tmp_path_factory: pytest.TempPathFactory, suffix: str, seed: int) -> None:
    folder = tmp_path_factory.mktemp("set")
    path, data = folder / f"set{suffix}", msr().encode()
    name = "a01_s01_e01_skeleton3D.txt"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"set/{name}", data)
    else:
        with tarfile.open(path, f"w:{suffix[5:]}") as archive:
            member = tarfile.TarInfo(f"set/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    path.write_bytes(damaged_bytes(path.read_bytes(), seed))
    typed(import_skeletons, "msr_action3d", path, folder / "out")
