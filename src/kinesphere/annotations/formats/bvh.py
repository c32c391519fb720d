"""BVH motion capture: bones and angles become joints in space, and what a chosen camera sees of them.

A BVH file has a tree of bones, each with its offset from its parent and its channels, and a line of
channel values per frame. Angles turn in the order of the channels; where a bone has positions, they take
the place of its offset. Files count to the person's left along x; up is along y in most and along z in
some, which the person's own uprightness tells. Joints come out with x forward, y to the left, z up, in
metres.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import Lines
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.pinhole import PinholeCamera, framing
from kinesphere.clips.skeleton import SKELETONS, joint_map
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.limits import Budget, brief

_CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")
_DEEPEST, _LONGEST_NAME, _MOST_DIGITS = 200, 200, 9
# Nobody walks that far while the cameras look.
_FURTHEST_M, _FURTHEST = 1e5, 1e9
# Hip to ankle of an average body, in metres: 0.491 of a stature of 1.72 (Drillis and Contini, in Winter,
# Biomechanics and Motor Control of Human Movement, 4th ed., figure 4.1). BVH files tell no unit.
_LEG_M = 0.491 * 1.72

# Names of bones, by our names of joints: CMU's conversion and most others; then the Bandai Namco set's. A
# joint lies where its bone begins; `End` is the end of the head's bone, `Top_End` Mixamo's name of it. The
# first name that is there counts.
_BONES: dict[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("Hips",),),
    "spine": (("Spine1", "Spine2"), ("LowerBack", "Spine1"), ("Spine",)),
    "thorax": (("LeftShoulder", "RightShoulder"), ("Shoulder_L", "Shoulder_R")),
    "neck": (("Neck1",), ("Neck",)),
    "head": (("Head", "HeadTop_End"), ("Head", "HeadEnd"), ("Head",)),
    **{
        f"{side.lower()}_{joint}": (
            *((f"{side}{name}",) for name in common.split()),
            *([(f"{bandai}_{side[0]}",)] if bandai else []),
        )
        for side in ("Left", "Right")
        for joint, common, bandai in (
            ("shoulder", "Arm", "UpperArm"),
            ("elbow", "ForeArm", "LowerArm"),
            ("wrist", "Hand", "Hand"),
            ("hand_tip", "HandIndex1", ""),
            ("hip", "UpLeg", "UpperLeg"),
            ("knee", "Leg LowerLeg", "LowerLeg"),
            ("ankle", "Foot", "Foot"),
            ("foot", "ToeBase", "Toes"),
        )
    },
}
_NEEDED = tuple(
    f"{side}_{part}"
    for side in ("left", "right")
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion capture of one person.

    Attributes:
        bones: Names of B bones, without a character's prefix (`mixamorig:`); `<name>End` where a bone ends.
        parents: `(B,)` number of the bone that each hangs on, -1 for the root.
        offsets: `(B, 3)` from the parent at rest.
        positions: `(T, B, 3)` where each bone begins.
        fps: Frames per second.
    """

    bones: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    positions: np.ndarray
    fps: float

    def joints(self, unit_m: float | None = None) -> tuple[tuple[str, ...], np.ndarray]:
        """Names of joints and where they are, `(T, J, 3)` metres, x forward, y left, z up.

        Args:
            unit_m: Metres per unit of the file; by default such that the legs are those of an average body.

        Raises:
            InvalidAnnotation: If bones of arms or legs are called by names that we do not know, legs have no
                length, or somebody is out of this world.
        """
        parts = {
            joint: next((names for names in choices if set(names) <= set(self.bones)), ())
            for joint, choices in _BONES.items()
        }
        unknown = [joint for joint in _NEEDED if not parts[joint]]
        if unknown:
            raise InvalidAnnotation(
                f"No bone of this file is known to be {', '.join(unknown)}; its bones are "
                f"{', '.join(self.bones[:200])}. Rename them as in CMU's files (LeftArm, LeftForeArm, ...)."
            )
        names = tuple(joint for joint, part in parts.items() if part)
        where = {bone: i for i, bone in enumerate(self.bones)}
        points = np.stack(
            [self.positions[:, [where[bone] for bone in parts[joint]]].mean(1) for joint in names], 1
        )
        if unit_m is None:
            leg = [points[:, names.index(f"left_{part}")] for part in ("hip", "knee", "ankle")]
            length = np.linalg.norm(leg[0] - leg[1], axis=-1) + np.linalg.norm(leg[1] - leg[2], axis=-1)
            median = float(np.median(length))
            if not median > 0:
                raise InvalidAnnotation(
                    "The legs of this file have no length, so that nothing tells its unit; state the metres "
                    "per unit, or leave it out."
                )
            unit_m = _LEG_M / median
        with np.errstate(over="ignore"):
            points = self._upright(names, points) * unit_m
        if not (np.abs(points) <= _FURTHEST_M).all():
            raise InvalidAnnotation(
                f"Joints of this file lie further than {_FURTHEST_M:g} m from where it counts from; it is "
                "damaged, or its legs are far too short."
            )
        return names, points

    def _upright(self, names: tuple[str, ...], points: np.ndarray) -> np.ndarray:
        """Points with x forward, y to the left and z up."""
        shoulders, hips = (
            points[:, [names.index(f"{side}_{part}") for side in ("left", "right")]].mean(1)
            for part in ("shoulder", "hip")
        )
        # People are upright most of the time.
        _, along_y, along_z = np.median(shoulders - hips, axis=0)
        order, signs = ([2, 0, 1], (1, 1, 1)) if along_y >= along_z else ([1, 0, 2], (-1, 1, 1))
        turned: np.ndarray = points[..., order] * signs
        return turned

    def in_space(self, skeleton: str, *, unit_m: float | None = None) -> Poses:
        """The person in metres; joints that the skeleton has and the file has not score 0."""
        names, points = self.joints(unit_m)
        return self._poses(names, points, skeleton, None)

    def seen_by(
        self,
        camera: PinholeCamera | None = None,
        *,
        azimuth_deg: float = 0.0,
        elevation_deg: float = 10.0,
        size: Size = (480, 640),
        skeleton: str = "coco17",
        unit_m: float | None = None,
    ) -> Poses:
        """What a camera sees, in pixels, with metres in `world`.

        Args:
            camera: Any camera of ours; by default a still one that holds the whole motion in the image.
            azimuth_deg: Bearing of that camera about the person's start, 0 in front and 90 to its left.
            elevation_deg: Its height as an angle.
            size: Its image, `(H, W)` px.
            skeleton: Skeleton of the result.
            unit_m: See `joints`.

        Raises:
            InvalidSetting: If it should look straight down or up.
        """
        if abs(elevation_deg) >= 89:
            raise InvalidSetting(
                f"The camera's elevation lies between -89 and 89 degrees; got {elevation_deg}."
            )
        names, points = self.joints(unit_m)
        if camera is None:
            left, right = (points[0, names.index(f"{side}_hip")] for side in ("left", "right"))
            facing = math.atan2(*(right - left)[[0, 1]] * (1, -1)) if (left != right).any() else 0.0
            camera = framing(
                points.reshape(-1, 3),
                facing + math.radians(azimuth_deg),
                math.radians(elevation_deg),
                1.5,
                size,
                0.1,
            )
        return self._poses(names, points, skeleton, camera)

    def _poses(
        self, names: tuple[str, ...], points: np.ndarray, skeleton: str, camera: PinholeCamera | None
    ) -> Poses:
        joints = joint_map(names, SKELETONS.get(skeleton).joints)
        world = joints.points(points)[:, None].astype(np.float32)
        scores = joints.scores(np.ones(points.shape[:2], np.float32))[:, None]
        return Poses(
            times=np.arange(len(points)) / self.fps,
            keypoints=world if camera is None else camera.project(world)[..., :2].astype(np.float32),
            scores=scores,
            tracks=np.array([1]),
            skeleton=skeleton,
            frame_size=None if camera is None else camera.size,
            world=None if camera is None else world,
            fps=self.fps,
            origin="BVH motion capture",
        )


@dataclass
class _Bone:
    name: str
    parent: int
    offset: np.ndarray
    channels: tuple[str, ...] = ()


def read_bvh(path: Path) -> Motion:
    """Read one BVH file and work out where its bones are.

    Raises:
        InvalidAnnotation: If the file is damaged or no BVH; the line is named.
    """
    lines = Lines(path, decimal_commas=True)
    if _keywords(lines.words()) != ["HIERARCHY"]:
        raise lines.error("a BVH file begins with HIERARCHY.")
    bones = _bones(lines)
    words = _keywords(lines.words())
    if words[:1] == ["ROOT"]:
        raise lines.error("a second person begins here; export each into a file of its own.")
    if words != ["MOTION"]:
        raise lines.error("MOTION should follow the bones.")
    count, frame_s = _announced(lines)
    width = sum(len(bone.channels) for bone in bones)
    numbers = array("d")
    for _ in range(count):
        numbers.extend(lines.numbers((width,), "the channels of a frame"))
    if lines.more():
        raise lines.error(f"there is more than the announced {count} frames.")
    values = np.array(numbers).reshape(count, width)
    # Of every bone in every frame its place, and how it is turned.
    Budget.of(path, InvalidAnnotation).array((count, len(bones), 3 + 9), 8, "bones in frames")
    return Motion(
        tuple(bone.name for bone in bones),
        tuple(bone.parent for bone in bones),
        np.array([bone.offset for bone in bones]),
        _positions(bones, values),
        1 / frame_s,
    )


def _announced(lines: Lines) -> tuple[int, float]:
    words = lines.words()
    if len(words) != 2 or _keywords(words[:1]) != ["FRAMES:"] or not _is_count(words[1]):
        raise lines.error(f"the number of frames should stand here; got {_start(words)}.")
    count = int(words[1])
    words = lines.words()
    try:
        is_time = _keywords(words[:2]) == ["FRAME", "TIME:"] and len(words) == 3
        frame_s = lines.value(words[2]) if is_time else math.nan
    except ValueError:
        frame_s = math.nan
    if not 1e-4 <= frame_s <= 10:
        raise lines.error(f"the time of a frame in seconds should stand here; got {_start(words)}.")
    return count, frame_s


def _keywords(words: Sequence[str]) -> list[str]:
    """Words of the format in one case: some programs write `Root` and `Joint`."""
    return [word.upper() for word in words]


def _is_count(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS and int(word) > 0


def _start(words: Sequence[str]) -> str:
    return brief(" ".join(words[:20]))


def _bones(lines: Lines) -> list[_Bone]:
    """The tree of bones, each after its parent."""
    bones: list[_Bone] = []
    known: set[str] = set()
    path: list[int] = []
    words = lines.words()
    while True:
        is_end = _keywords(words) == ["END", "SITE"]
        keyword = words[0].upper()
        if keyword in ("ROOT", "JOINT") and len(words) >= 2:
            if (keyword == "ROOT") != (not path):
                raise lines.error(f"{keyword} stands in the wrong place.")
            name = " ".join(words[1:]).rpartition(":")[2]
        elif is_end and path:
            name = f"{bones[path[-1]].name}End"
        elif words == ["}"] and path:
            path.pop()
            if not path:
                return bones
            words = lines.words()
            continue
        else:
            raise lines.error(f"a bone or }} should stand here; got {_start(words)}.")
        if name in known or len(name) > _LONGEST_NAME:
            raise lines.error(f"there are two bones {brief(name)}, or the name is too long.")
        known.add(name)
        bones.append(_bone(lines, name, path[-1] if path else -1, is_end))
        path.append(len(bones) - 1)
        if len(path) > _DEEPEST:
            raise lines.error(f"bones are nested more than {_DEEPEST} deep.")
        words = lines.words()


def _bone(lines: Lines, name: str, parent: int, is_end: bool) -> _Bone:
    if lines.words() != ["{"]:
        raise lines.error(f"the bone {name} should open with {{.")
    words = lines.words()
    try:
        offset = np.array([lines.value(word) for word in words[1:4]] if len(words) == 4 else [])
    except ValueError:
        offset = np.empty(0)
    if words[0].upper() != "OFFSET" or offset.shape != (3,) or not (np.abs(offset) <= _FURTHEST).all():
        raise lines.error(f"the OFFSET of {name} should be 3 numbers; got {_start(words)}.")
    if is_end:
        return _Bone(name, parent, offset)
    words = lines.words()
    channels = tuple(word.capitalize() for word in words[2:])
    is_named = words[0].upper() == "CHANNELS" and words[1:2] == [str(len(channels))]
    if not is_named or not set(channels) <= set(_CHANNELS):
        raise lines.error(f"the CHANNELS of {name} should be some of {', '.join(_CHANNELS)}.")
    return _Bone(name, parent, offset, channels)


def _positions(bones: list[_Bone], values: np.ndarray) -> np.ndarray:
    """Forward kinematics: `(T, B, 3)`."""
    count = len(values)
    positions = np.zeros((count, len(bones), 3))
    turns = np.zeros((count, len(bones), 3, 3))
    column = 0
    for b, bone in enumerate(bones):
        offset = np.tile(bone.offset, (count, 1))
        turn = np.tile(np.eye(3), (count, 1, 1))
        for channel in bone.channels:
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                offset[:, axis] = values[:, column]
            else:
                turn = turn @ _turns(values[:, column], axis)
            column += 1
        if bone.parent < 0:
            positions[:, b], turns[:, b] = offset, turn
            continue
        above = turns[:, bone.parent]
        positions[:, b] = positions[:, bone.parent] + (above @ offset[..., None])[..., 0]
        turns[:, b] = above @ turn
    return positions


def _turns(angles_deg: np.ndarray, axis: int) -> np.ndarray:
    """Rotations `(T, 3, 3)` about one axis."""
    angle = np.radians(angles_deg)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    turn = np.tile(np.eye(3), (len(angle), 1, 1))
    turn[:, a, a] = turn[:, b, b] = np.cos(angle)
    turn[:, a, b], turn[:, b, a] = -np.sin(angle), np.sin(angle)
    return turn


def write_example(path: Path) -> None:
    """A figure of arms and legs that swings them, over a second at 20 Hz."""
    angles = "CHANNELS 3 Zrotation Xrotation Yrotation"
    lines = ["HIERARCHY", "ROOT Hips", "{", "OFFSET 0 0 0", f"CHANNELS 6 {' '.join(_CHANNELS)}"]
    for side, x in (("Left", 1), ("Right", -1)):
        for names, steps in (("Arm ForeArm Hand", (5, -3, -3)), ("UpLeg Leg Foot", (-1, -4, -4))):
            for i, (name, step) in enumerate(zip(names.split(), steps, strict=True)):
                lines += [f"JOINT {side}{name}", "{", f"OFFSET {0 if i else x} {step} 0", angles]
            lines += ["End Site", "{", "OFFSET 0 -1 0", *"}}}}"]
    rows = [" ".join(f"{(7 * channel + 3 * t) % 30}" for channel in range(6 + 12 * 3)) for t in range(20)]
    lines += ["}", "MOTION", "Frames: 20", "Frame Time: 0.05", *rows]
    path.write_text("\n".join(lines), encoding="utf-8")


FORMATS.add(
    "bvh", Format("BVH motion capture", (".bvh",), "bones of one person in space", read_bvh, write_example)
)
