"""NTU RGB+D `.skeleton` files: Kinect v2 joints in space and in the colour image.

Shahroudy, Liu, Ng, Wang: "NTU RGB+D", CVPR 2016; Liu et al.: "NTU RGB+D 120", TPAMI 2020. A file holds the
number of frames; each frame the number of bodies; each body ten numbers, of which the first is its id,
the number of joints, and a line of twelve numbers per joint: x, y, z in metres, depth x and y, colour x
and y in pixels, four of orientation, and whether the joint was tracked (2), inferred (1) or neither (0).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.kinect_bodies import Body, people
from kinesphere.annotations.parsing.text_lines import Lines, read_text
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import EmptySkeleton, InvalidAnnotation
from kinesphere.core.limits import Budget, brief

FPS = 30.0
COLOUR_SIZE = (1080, 1920)
_JOINTS = 25
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})(?!\d)")
# The highest of each number there is, in NTU RGB+D 120.
_MOST = {"setup": 32, "camera": 3, "performer": 106, "repetition": 2, "action": 120}
# Scores of joints that were not tracked, inferred and tracked.
_SCORES = (0.0, 0.5, 1.0)
# Metres and pixels further off are no places.
_FAR = 1e5
# Joints' columns: colour x and y; metres; tracking state.
_COLOUR, _SPACE, _STATE = slice(5, 7), slice(0, 3), 11


@dataclass(frozen=True)
class NtuName:
    """What the name of a recording says: setup, camera, performer, repetition and action, from 1."""

    setup: int
    camera: int
    performer: int
    repetition: int
    action: int

    @classmethod
    def parse(cls, name: str) -> NtuName:
        """Read `S001C001P001R001A001`, with anything behind.

        Raises:
            InvalidAnnotation: If the name has another form, or numbers that the set does not have.
        """
        match = _NAME.match(name)
        if not match:
            raise InvalidAnnotation(
                f"{brief(name)} is no NTU RGB+D name such as S001C001P001R001A001.skeleton."
            )
        found = cls(*map(int, match.groups()))
        for kind, most in _MOST.items():
            if not 1 <= (number := getattr(found, kind)) <= most:
                raise InvalidAnnotation(f"NTU RGB+D has {kind}s 1 to {most}; {name[:80]!r} says {number}.")
        return found


def read_missing(path: Path) -> frozenset[str]:
    """Names of the recordings without a usable skeleton, from the authors' list.

    Raises:
        InvalidAnnotation: If a line holds anything but a name; lines of prose at the top are passed over.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    names = list(dropwhile(lambda line: not _NAME.fullmatch(line), lines))
    wrong = next((name for name in names if not _NAME.fullmatch(name)), None)
    if wrong is not None or not names:
        raise InvalidAnnotation(f"{path} should list names such as S001C002P005R002A008; got {brief(wrong)}.")
    return frozenset(names)


def read_ntu(path: Path) -> Poses:
    """One recording: colour pixels (1920x1080), with metres in `world`.

    One person is one track, whatever ids the camera gave it (see `bodies.people`).

    Raises:
        InvalidAnnotation: If the file is damaged (the line is named), or no frame shows a body.
    """
    lines = Lines(path)
    frames = [_bodies(lines) for _ in range(lines.count("the number of frames"))]
    if lines.more():
        raise lines.error("there is more than the announced frames; get the file again.")
    owners = people([[_body(number, rows) for number, rows in frame.items()] for frame in frames], FPS)
    count = 1 + max((owner for each in owners for owner in each if owner is not None), default=-1)
    if not count:
        raise EmptySkeleton(
            f"{path} shows no body in {len(frames)} frames; it belongs on the list of missing skeletons."
        )
    Budget.of(path, InvalidAnnotation).array((len(frames), count, _JOINTS, 12), 8, "bodies")
    joints = np.zeros((len(frames), count, _JOINTS, 12))
    for t, (frame, owned) in enumerate(zip(frames, owners, strict=True)):
        for owner, values in zip(owned, frame.values(), strict=True):
            if owner is not None:
                joints[t, owner] = values
    scores = np.array(_SCORES, np.float32)[joints[..., _STATE].astype(int)]
    # A few joints have no place in the colour image.
    usable = (np.abs(joints[..., :7]) <= _FAR).all(-1)
    scores[~usable] = 0
    joints[~usable] = 0
    if not scores.any():
        raise EmptySkeleton(f"{path} shows bodies without a joint that is tracked or inferred; leave it out.")
    return Poses(
        times=np.arange(len(frames)) / FPS,
        keypoints=joints[..., _COLOUR].astype(np.float32),
        scores=scores,
        tracks=np.arange(1, count + 1),
        skeleton="ntu25",
        frame_size=COLOUR_SIZE,
        world=joints[..., _SPACE].astype(np.float32),
        fps=FPS,
        origin="NTU RGB+D, Kinect v2",
    )


def _body(number: str, rows: np.ndarray) -> Body:
    points = rows[:, _SPACE]
    return Body(number, points, (np.abs(points) <= _FAR).all(-1) & (rows[:, _STATE] > 0))


def _bodies(lines: Lines) -> dict[str, np.ndarray]:
    """The bodies of the next frame by id: `(25, 12)`."""
    bodies: dict[str, np.ndarray] = {}
    for _ in range(lines.count("the number of bodies", most=20)):
        words = lines.words()
        if len(words) != 10:
            raise lines.error(f"a body is described by 10 numbers; got {len(words)}.")
        if words[0] in bodies:
            raise lines.error(f"body {words[0]} comes twice in one frame.")
        if lines.count("the number of joints", most=100) != _JOINTS:
            raise lines.error(f"a body has {_JOINTS} joints.")
        rows = [lines.numbers((12,), "a joint", finite=False) for _ in range(_JOINTS)]
        if any(row[_STATE] not in (0, 1, 2) for row in rows):
            raise lines.error("the tracking state of a joint is 0, 1 or 2.")
        bodies[words[0]] = np.array(rows)
    return bodies


def write_example(path: Path) -> None:
    """A recording of four frames with one body."""
    lines = ["4"]
    for t in range(4):
        lines += ["1", "7 0 1 1 1 1 0 0.1 0.2 2", str(_JOINTS)]
        lines += [f"{0.1 * t} {joint} 3 0 0 {100 + joint} 200 0 0 0 1 2" for joint in range(_JOINTS)]
    path.write_text("\n".join(lines), encoding="utf-8")


FORMATS.add(
    "ntu",
    Format(
        "NTU RGB+D skeletons, Kinect v2",
        (".skeleton",),
        "people in pixels and in space",
        read_ntu,
        write_example,
    ),
)
