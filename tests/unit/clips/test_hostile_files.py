"""Damaged and hostile files of poses, flow and masks: typed errors, within a budget."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinesphere.clips.modalities.flow.file import FlowFile, write_flow
from kinesphere.clips.modalities.mask.file import MaskFile, write_masks
from kinesphere.clips.modalities.pose.file import read_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Extent, Poses
from kinesphere.core.errors import InvalidAnnotation

KINDS = ("pose", "flow", "mask")
FUZZ = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path, kind: str) -> None:
    """All that a reader of clips asks of a file."""
    if kind == "pose":
        poses = read_poses(path)
        poses.resized((96, 128)).joints_at(np.array([0.0, 0.1]))
        poses.leading(1)
    elif kind == "flow":
        FlowFile.open(path).fields(np.arange(3))
    else:
        MaskFile.open(path).masks(np.arange(3))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sound file of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    paths = {kind: folder / f"clip.mp4.{kind}.npz" for kind in KINDS}
    shape = (6, 2, 17)
    poses = Poses(
        np.arange(6) / 10,
        np.random.default_rng(0).uniform(0, 40, (*shape, 2)).astype(np.float32),
        np.ones(shape, np.float32),
        np.array([1, 2]),
        "coco17",
        (48, 64),
        fps=10.0,
        origin="somebody 1",
        video=Extent(6, 0.5, 10.0),
        max_people=2,
    )
    write_poses(poses, paths["pose"])
    fields = np.zeros((5, 16, 24, 2), np.float32)
    write_flow(paths["flow"], fields, size=(16, 24), method="dis", bound_px=20, frames=6, video_size=(32, 48))
    write_masks(paths["mask"], np.zeros((6, 16, 24), np.uint8), size=(16, 24), origin="x", max_people=2)
    for kind in KINDS:
        read(paths[kind], kind)
    return paths


def only_typed(path: Path, kind: str) -> None:
    with suppress(InvalidAnnotation):
        read(path, kind)


@pytest.mark.parametrize("kind", KINDS)
@FUZZ
@given(data=st.data())
def test_changed_bytes(whole: dict[str, Path], tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray(whole[kind].read_bytes())
    place = st.integers(0, len(content) - 1)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=8)):
        content[at] = value
    cut = data.draw(st.one_of(st.none(), place))
    path = tmp_path / "changed.npz"
    path.write_bytes(content[:cut] + data.draw(st.binary(max_size=20)))
    only_typed(path, kind)


_NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(width=64),
    st.sampled_from([0, 1, 2, 6, 10, 2**31, 1e308, -1.0]),
)
_ARRAYS = hnp.arrays(
    st.one_of(
        hnp.floating_dtypes(endianness="?"),
        hnp.integer_dtypes(),
        hnp.unsigned_integer_dtypes(),
        hnp.boolean_dtypes(),
        hnp.unicode_string_dtypes(max_len=6),
        hnp.complex_number_dtypes(),
        hnp.datetime64_dtypes(),
        hnp.byte_string_dtypes(),
    ),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6),
)
_FACTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", KINDS)
@FUZZ
@given(data=st.data())
def test_changed_content(whole: dict[str, Path], tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content: dict[str, Any] = dict(np.load(whole[kind]))
    for name in data.draw(st.lists(st.sampled_from(sorted(content)), min_size=1, max_size=3, unique=True)):
        if name == "facts" and data.draw(st.booleans()):
            facts = json.loads(str(content["facts"]))
            facts[data.draw(st.sampled_from(sorted(facts)))] = data.draw(_FACTS)
            content["facts"] = np.array(json.dumps(facts))
        elif data.draw(st.booleans()):
            like = content[name]
            if like.dtype.kind in "fiu" and like.size:
                changed = like.astype(np.float64)
                changed.flat[data.draw(st.integers(0, like.size - 1))] = data.draw(_NUMBERS)
                content[name] = changed
        elif data.draw(st.booleans()):
            content[name] = data.draw(_ARRAYS)
        else:
            del content[name]
    path = tmp_path / "changed.npz"
    np.savez(path, **content)
    only_typed(path, kind)


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def rewritten(source: Path, target: Path, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, members.get(name.removesuffix(".npy"), old.read(name)))
    return target


def encrypted(source: Path, target: Path) -> Path:
    """A copy whose members say that they are encrypted."""
    content = bytearray(rewritten(source, target).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(signature)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(signature, at + 4)
    target.write_bytes(content)
    return target


def damaged_inside(source: Path, target: Path) -> Path:
    """A copy in which the compressed bytes of one member are rubbish."""
    content = bytearray(rewritten(source, target).read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = max(archive.infolist(), key=lambda each: each.compress_size)
    begin = entry.header_offset + 30 + len(entry.filename)
    content[begin : begin + entry.compress_size] = b"\xff" * entry.compress_size
    target.write_bytes(content)
    return target


def with_zeros(path: Path, count: int) -> Path:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("world.npy", bytes(count))
    return path


HEAD = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"
ATTACKS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "damaged compression": (damaged_inside, "is not a readable pose file"),
    "encrypted": (encrypted, "encrypted or compressed in a foreign way"),
    "lzma": (lambda s, t: rewritten(s, t, zipfile.ZIP_LZMA), "encrypted or compressed in a foreign way"),
    "a shape beyond its bytes": (
        lambda s, t: rewritten(s, t, times=npy(HEAD % ("<f8", "(10000000000000,)"))),
        r"says \(10000000000000,\) in \d+ bytes",
    ),
    "empty texts without end": (
        lambda s, t: rewritten(s, t, times=npy(HEAD % ("<U0", "(1000000000,)"))),
        r"says \(1000000000,\) in \d+ bytes",
    ),
    "a negative shape": (lambda s, t: rewritten(s, t, times=npy(HEAD % ("<f8", "(-1,)"))), "says"),
    "more bytes than its shape": (
        lambda s, t: rewritten(s, t, version=npy(HEAD % ("<i8", "()"), bytes(1000))),
        "holds 9 bytes of 8",
    ),
    "pickles": (lambda s, t: rewritten(s, t, times=npy(HEAD % ("|O", "(1,)"), b"\x80\x04.")), "pickle only"),
    "a nested header": (lambda s, t: rewritten(s, t, times=npy("(" * 3000)), "is not a readable pose file"),
    "zeros without end": (
        lambda s, t: with_zeros(rewritten(s, t), 2**27),
        r"claims 1342\d+ for its arrays; files of this size may take",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_on_archives(whole: dict[str, Path], tmp_path: Path, attack: str) -> None:
    make, match = ATTACKS[attack]
    path = make(whole["pose"], tmp_path / "a.pose.npz")
    tracemalloc.start()
    try:
        with pytest.raises(InvalidAnnotation, match=match):
            read_poses(path)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"fps": np.nan}, "between 1e-05 and 100000 times a second; got nan"),
        ({"fps": 1e300}, "times a second"),
        ({"keypoints": np.full((6, 2, 17, 2), 1e30)}, "far outside of any frame"),
        ({"boxes": np.full((6, 2, 4), np.inf)}, "sides far outside of any frame"),
        ({"times": np.arange(6) * 1e300}, "must be finite and ascend"),
        ({"tracks": np.array([np.nan, 1.0])}, "is not a readable pose file .invalid value"),
        ({"most_people": 10**12}, "At least one person is looked for; got 1000000000000"),
        ({"frame_size": (10**9, 10**9)}, "is a positive"),
        ({"video_frames": -5}, "A video has frames, a length and a rate"),
        ({"origin": "a\ud800b"}, "is not a readable pose file"),
        ({"origin": "a\x1b[2J"}, "is not a readable pose file"),
        ({"origin": "a" * 10_000}, "a name of 10000 letters"),
    ],
)
def test_numbers_and_names_that_no_video_has(
    whole: dict[str, Path], tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    path = tmp_path / "a.pose.npz"
    np.savez(path, **dict(np.load(whole["pose"])) | {name: np.array(value) for name, value in change.items()})
    with pytest.raises(InvalidAnnotation, match=match):
        read_poses(path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"facts": "[" * 200_000}, "nests its content deeper than 64 levels"),
        ({"facts": '{"a":' * 90 + "1" + "}" * 90}, "nests its content deeper than 64 levels"),
        ({"facts": "x" * (2**20 + 1)}, "JSON of this kind is read up to 1048576"),
        ({"count": 10**12}, "1000000000000 frames"),
        ({"size": (10**5, 10**5)}, "pixels a frame, more than"),
        (
            {"video": np.frombuffer(b"ffconcat version 1.0\nfile '/etc/hosts'\n", np.uint8), "count": 5},
            "no frames",
        ),
        ({"size": (64, 64)}, "its frames are .* pixels, not the"),
    ],
)
def test_facts_and_pictures_that_no_file_has(
    whole: dict[str, Path], tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    path = tmp_path / "a.flow.npz"
    np.savez(path, **dict(np.load(whole["flow"])) | {name: np.array(value) for name, value in change.items()})
    with pytest.raises(InvalidAnnotation, match=match):
        read(path, "flow")


def test_a_file_of_its_size_may_hold_what_it_holds(tmp_path: Path) -> None:
    """Ten minutes in which people are seen for moments only compress well, and are read."""
    shape = (15_000, 12, 17)
    keypoints, scores = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    for person in range(12):
        here = slice(person * 1200, person * 1200 + 40)
        keypoints[here, person] = np.random.default_rng(person).uniform(0, 60, (40, 17, 2))
        scores[here, person] = 0.5
    path = tmp_path / "a.pose.npz"
    write_poses(Poses(np.arange(15_000) / 25, keypoints, scores, np.arange(12), "coco17", (64, 64)), path)
    assert read_poses(path).people == 12


@pytest.mark.skipif("KINESPHERE_TEST_DATA" not in os.environ, reason="KINESPHERE_TEST_DATA is not set")
def test_files_made_to_attack_a_reader() -> None:
    folder = Path(os.environ["KINESPHERE_TEST_DATA"]).parent / "faults" / "hostile"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    paths = sorted(folder.glob("*.npz"))
    assert len(paths) >= 5
    for path in paths:
        with pytest.raises(InvalidAnnotation, match=path.name):
            read(path, path.name.split(".")[-2])
