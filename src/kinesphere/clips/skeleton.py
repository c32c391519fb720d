"""Skeletons: the joints of a pose, how they hang together, and how one set maps to another.

Joints of the same meaning carry the same name in every skeleton (`left_wrist`, `pelvis`), whatever the
data set calls them; their order is the data set's. Left and right are the person's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.registry import Registry

Side = Literal["left", "right", "centre"]
Colour = tuple[int, int, int]

SIDE_COLOURS: dict[Side, Colour] = {
    "left": (255, 138, 52),
    "right": (64, 156, 255),
    "centre": (92, 214, 120),
}


_OF_ARM = {"shoulder", "elbow", "wrist", "hand", "hand_tip", "thumb", "index", "pinky"}
_OF_LEG = {"hip", "knee", "ankle", "foot", "heel", "big_toe", "small_toe"}
_OF_HEAD = {"head", "face", "nose", "eye", "ear", "mouth"}
_OF_TRUNK = {"pelvis", "spine", "thorax", "neck"}


@dataclass(frozen=True)
class Skeleton:
    """A fixed set of joints.

    Attributes:
        name: As in the registry and in files.
        joints: Names in the order of the data, J of them.
        parents: `(J,)` index of the joint that each one hangs on, -1 for the root; the bones of graph
            networks.
        edges: Pairs of joints to draw a line between; by default the bones.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    edges: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        count = len(self.joints)
        if len(set(self.joints)) != count or len(self.parents) != count:
            raise InvalidSetting(
                f"Skeleton {self.name!r} needs joints of different names, each with a parent; "
                f"got {count} joints, {len(set(self.joints))} names and {len(self.parents)} parents."
            )
        if self.parents.count(-1) != 1 or not all(-1 <= p < count for p in self.parents):
            raise InvalidSetting(
                f"Skeleton {self.name!r}: parents are joint numbers below {count} and one -1, the root; "
                f"got {self.parents}."
            )
        if not all(0 <= a < count and 0 <= b < count and a != b for a, b in self.edges):
            raise InvalidSetting(
                f"Skeleton {self.name!r}: edges join two of {count} joints; got {self.edges}."
            )
        for joint in range(count):
            place, steps = joint, 0
            while place >= 0 and steps <= count:
                place, steps = self.parents[place], steps + 1
            if place >= 0:
                raise InvalidSetting(
                    f"Skeleton {self.name!r}: joint {self.joints[joint]!r} is its own ancestor."
                )
        if not self.edges:
            object.__setattr__(self, "edges", self.bones)

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def root(self) -> int:
        """The joint without a parent, which graph networks centre on."""
        return self.parents.index(-1)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """`(joint, parent)` of the J - 1 joints that have one."""
        return tuple((joint, parent) for joint, parent in enumerate(self.parents) if parent >= 0)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """`(left, right)` of the joints that come in two."""
        return tuple(
            (joint, self.joints.index("right_" + name[5:]))
            for joint, name in enumerate(self.joints)
            if name.startswith("left_")
        )

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """`(J,)` the joint that each one becomes in a mirror: `flipped = joints[mirror]`."""
        order = list(range(len(self)))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        return tuple(order)

    @cached_property
    def limbs(self) -> dict[str, tuple[int, ...]]:
        """Joints of `left_arm`, `right_arm`, `left_leg`, `right_leg`, `head` and `trunk`, each joint in one.

        Shoulders belong to the arms, hips to the legs, as in Shahroudy et al. 2016. A joint of a name that
        this file does not know belongs where the joint does that it hangs on. Limbs without joints are
        left out.
        """
        named = [self._limb(name) for name in self.joints]
        limbs: dict[str, list[int]] = {}
        for joint in range(len(self)):
            at = joint
            while named[at] is None and self.parents[at] >= 0:
                at = self.parents[at]
            limbs.setdefault(named[at] or "trunk", []).append(joint)
        return {limb: tuple(joints) for limb, joints in limbs.items()}

    @staticmethod
    def _limb(joint: str) -> str | None:
        side, _, part = joint.partition("_")
        if side in ("left", "right"):
            if part in _OF_ARM or part in _OF_LEG:
                return f"{side}_arm" if part in _OF_ARM else f"{side}_leg"
            return "head" if part.split("_")[0] in _OF_HEAD else None
        return "head" if joint in _OF_HEAD else "trunk" if joint in _OF_TRUNK else None

    def index(self, joint: str) -> int:
        """Position of the joint of this name.

        Raises:
            InvalidSetting: If there is none.
        """
        if joint not in self.joints:
            raise InvalidSetting(
                f"Skeleton {self.name!r} has no joint {joint!r}; it has {', '.join(self.joints)}."
            )
        return self.joints.index(joint)

    def side(self, joint: int) -> Side:
        """Whether a joint is one of the person's left, right or neither."""
        name = self.joints[joint]
        return "left" if name.startswith("left_") else "right" if name.startswith("right_") else "centre"

    @cached_property
    def colours(self) -> tuple[Colour, ...]:
        """RGB of every edge: the left, right or centre colour; lines between the sides are centre."""
        sides = [{self.side(a), self.side(b)} - {"centre"} for a, b in self.edges]
        return tuple(SIDE_COLOURS[next(iter(s)) if len(s) == 1 else "centre"] for s in sides)


@dataclass(frozen=True)
class JointMap:
    """How the joints of one skeleton come from those of another.

    Attributes:
        source: Names of the joints that are there.
        target: Names of the joints that are wanted.
        parts: For every target joint the source joints whose mean it is; none if it is missing.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    parts: tuple[tuple[int, ...], ...]
    _matrix: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.parts) != len(self.target):
            raise InvalidSetting(
                f"A joint map needs a part for {len(self.target)} joints; got {len(self.parts)}."
            )
        matrix = np.zeros((len(self.target), len(self.source)), np.float32)
        for row, part in zip(matrix, self.parts, strict=True):
            if not all(0 <= joint < len(self.source) for joint in part):
                raise InvalidSetting(
                    f"A joint map refers to {part}, but there are {len(self.source)} joints."
                )
            row[list(part)] = 1 / max(len(part), 1)
        object.__setattr__(self, "_matrix", matrix)

    @property
    def missing(self) -> tuple[str, ...]:
        """Target joints that the source cannot give; their score is 0."""
        return tuple(name for name, part in zip(self.target, self.parts, strict=True) if not part)

    def points(self, keypoints: np.ndarray) -> np.ndarray:
        """Coordinates `(..., J, D)` of the source as `(..., J', D)`; missing joints lie at 0."""
        self._check(keypoints.shape[-2])
        mapped: np.ndarray = np.einsum("ts,...sd->...td", self._matrix, keypoints)
        return mapped.astype(keypoints.dtype, copy=False)

    def scores(self, scores: np.ndarray) -> np.ndarray:
        """Scores `(..., J)` as `(..., J')`: the least of the joints averaged, 0 for missing ones."""
        self._check(scores.shape[-1])
        columns = [scores[..., list(p)].min(-1) if p else np.zeros_like(scores[..., 0]) for p in self.parts]
        return np.stack(columns, -1)

    def _check(self, joints: int) -> None:
        if joints != len(self.source):
            raise InvalidSetting(f"This joint map takes {len(self.source)} joints; got {joints}.")


# What a joint is made of where a skeleton lacks it: alternatives in order of preference, each a set of
# joints whose mean is taken. Names are those of single skeletons; a name that is there needs no rule.
_MADE_OF: dict[str, tuple[tuple[str, ...], ...]] = {
    "neck": (("thorax",), ("left_shoulder", "right_shoulder")),
    "thorax": (("left_shoulder", "right_shoulder"), ("neck",)),
    "pelvis": (("left_hip", "right_hip"),),
    "spine": (
        ("thorax", "pelvis"),
        ("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    ),
    "head": (("face",), ("left_ear", "right_ear"), ("nose",)),
    "face": (("nose",), ("head",)),
    "nose": (("face",), ("head",)),
    **{
        f"{side}_{part}": tuple(tuple(f"{side}_{name}" for name in names) for names in made)
        for side in ("left", "right")
        for part, made in {
            "hand": (("index", "pinky"), ("hand_tip",), ("wrist",)),
            "hand_tip": (("index",),),
            "index": (("hand_tip",),),
            "foot": (("big_toe", "small_toe"), ("big_toe",), ("ankle",)),
            "big_toe": (("foot",),),
        }.items()
    },
}


@lru_cache(maxsize=64)
def joint_map(source: tuple[str, ...], target: tuple[str, ...]) -> JointMap:
    """The map between two sets of joint names: equal names, else what `_MADE_OF` says, else missing.

    The Kinect's hand and foot joints fall back to wrist and ankle, its head to the middle of the ears;
    eyes and ears are never made up. Joints outside the names of this file only match themselves.
    """

    def parts(name: str) -> tuple[int, ...]:
        for names in ((name,), *_MADE_OF.get(name, ())):
            if all(part in source for part in names):
                return tuple(source.index(part) for part in names)
        return ()

    return JointMap(source, target, tuple(parts(name) for name in target))


def map_between(source: str, target: str) -> JointMap:
    """The map between two registered skeletons.

    Raises:
        UnknownName: If there is no skeleton of a name.
    """
    return joint_map(SKELETONS.get(source).joints, SKELETONS.get(target).joints)


SKELETONS: Registry[Skeleton] = Registry("skeleton", Skeleton)


def _add(
    name: str, joints: str, parents: Mapping[str, str], edges: tuple[tuple[int, int], ...] = ()
) -> Skeleton:
    """Register a skeleton; the root is the joint that `parents`, spread over both sides, leaves out."""
    names = tuple(joints.split())
    both = {}
    for child, parent in parents.items():
        for side in ("left", "right") if child.startswith("*") else ("",):
            both[child.replace("*", side)] = parent.replace("*", side)
    numbers = tuple(names.index(both[joint]) if joint in both else -1 for joint in names)
    return SKELETONS.add(name, Skeleton(name, names, numbers, edges))


_ARM = {"*_wrist": "*_elbow", "*_elbow": "*_shoulder"}
_LEG = {"*_ankle": "*_knee", "*_knee": "*_hip"}
_FACE = {"*_ear": "*_eye", "*_eye": "nose"}

# COCO keypoints (Lin et al. 2014). The bones are those of ST-GCN-like networks on COCO poses.
COCO17 = _add(
    "coco17",
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
    "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    {**_ARM, **_LEG, **_FACE, "*_hip": "*_shoulder", "*_shoulder": "nose"},
    ((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (7, 9),
     (6, 8), (8, 10), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)  # fmt: skip

# BlazePose GHUM (Bazarevsky et al. 2020), the landmarks of MediaPipe in their order.
BLAZEPOSE33 = _add(
    "blazepose33",
    "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear "
    "right_ear left_mouth right_mouth left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_pinky right_pinky left_index right_index left_thumb right_thumb left_hip right_hip "
    "left_knee right_knee left_ankle right_ankle left_heel right_heel left_big_toe right_big_toe",
    {
        **_ARM, **_LEG, "*_hip": "*_shoulder", "*_shoulder": "nose",
        "*_eye_inner": "nose", "*_eye": "*_eye_inner", "*_eye_outer": "*_eye", "*_ear": "*_eye_outer",
        "*_mouth": "nose", "*_pinky": "*_wrist", "*_index": "*_wrist", "*_thumb": "*_wrist",
        "*_heel": "*_ankle", "*_big_toe": "*_heel",
    },
    ((0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10), (11, 12), (11, 13),
     (13, 15), (15, 17), (15, 19), (15, 21), (17, 19), (12, 14), (14, 16), (16, 18), (16, 20), (16, 22),
     (18, 20), (11, 23), (12, 24), (23, 24), (23, 25), (24, 26), (25, 27), (26, 28), (27, 29), (28, 30),
     (29, 31), (30, 32), (27, 31), (28, 32)),
)  # fmt: skip

# OpenPose's COCO model (Cao et al. 2017) and its BODY_25 model; `pelvis` is its MidHip.
OPENPOSE18 = _add(
    "openpose18",
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip "
    "right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
    {**_ARM, **_LEG, **_FACE, "*_hip": "*_shoulder", "*_shoulder": "neck", "nose": "neck"},
    ((0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12),
     (12, 13), (0, 14), (0, 15), (14, 16), (15, 17)),
)  # fmt: skip
OPENPOSE25 = _add(
    "openpose25",
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist pelvis "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear "
    "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel",
    {
        **_ARM, **_LEG, **_FACE, "*_hip": "pelvis", "pelvis": "neck", "*_shoulder": "neck", "nose": "neck",
        "*_big_toe": "*_ankle", "*_small_toe": "*_big_toe", "*_heel": "*_ankle",
    },
)  # fmt: skip

# Kinect v2, NTU RGB+D (Shahroudy et al. 2016): `pelvis` is SpineBase, `thorax` SpineShoulder.
NTU25 = _add(
    "ntu25",
    "pelvis spine neck head left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow "
    "right_wrist right_hand left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle "
    "right_foot thorax left_hand_tip left_thumb right_hand_tip right_thumb",
    {
        **_ARM, **_LEG, "pelvis": "spine", "spine": "thorax", "neck": "thorax", "head": "neck",
        "*_shoulder": "thorax", "*_hand": "*_wrist", "*_hip": "pelvis", "*_foot": "*_ankle",
        "*_hand_tip": "*_hand", "*_thumb": "*_hand",
    },
)  # fmt: skip

# Kinect v1: `pelvis` is HipCenter, `thorax` ShoulderCenter.
KINECT20 = _add(
    "kinect20",
    "pelvis spine thorax head left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow "
    "right_wrist right_hand left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle "
    "right_foot",
    {
        **_ARM, **_LEG, "pelvis": "spine", "spine": "thorax", "head": "thorax", "*_shoulder": "thorax",
        "*_hand": "*_wrist", "*_hip": "pelvis", "*_foot": "*_ankle",
    },
)  # fmt: skip

# JHMDB's puppet (Jhuang et al. 2013); `spine` is its belly.
JHMDB15 = _add(
    "jhmdb15",
    "neck spine face right_shoulder left_shoulder right_hip left_hip right_elbow left_elbow right_knee "
    "left_knee right_wrist left_wrist right_ankle left_ankle",
    {**_ARM, **_LEG, "spine": "neck", "face": "neck", "*_shoulder": "neck", "*_hip": "spine"},
)
