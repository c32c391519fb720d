"""The articulated body: joints, proportions, poses and forward kinematics.

World and body frames share one convention: x forward, y to the figure's left, z up, metres. In the rest
pose the figure stands at the origin, faces +x, and arms and legs hang straight down.
Segment lengths are the fractions of stature of Drillis and Contini (in Winter, *Biomechanics and Motor
Control of Human Movement*, 4th ed., figure 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kinesphere.clips.skeleton import COCO17
from kinesphere.core.errors import InvalidSetting

Array = npt.NDArray[Any]

_TRUNK = {"pelvis": None, "spine": "pelvis", "chest": "spine", "neck": "chest", "head": "neck"}
_SIDE = {
    "clavicle": "chest", "shoulder": "clavicle", "elbow": "shoulder", "wrist": "elbow", "fingers": "wrist",
    "hip": "pelvis", "knee": "hip", "ankle": "knee", "ball": "ankle", "toes": "ball",
}  # fmt: skip
_FACE = ("head_top", "nose", "left_eye", "right_eye", "left_ear", "right_ear")
# The parent of every joint.
_PARENTS: dict[str, str | None] = {
    **_TRUNK,
    **{
        f"{side}_{part}": parent if parent in _TRUNK else f"{side}_{parent}"
        for side in ("left", "right")
        for part, parent in _SIDE.items()
    },
    **dict.fromkeys(_FACE, "head"),
}
JOINTS: tuple[str, ...] = tuple(_PARENTS)
INDEX: dict[str, int] = {name: i for i, name in enumerate(JOINTS)}
PARENTS: tuple[int, ...] = tuple(-1 if name is None else INDEX[name] for name in _PARENTS.values())
COCO: Array = np.array([INDEX[name] for name in COCO17.joints])


@dataclass(frozen=True)
class Proportions:
    """How a body departs from the average one; factors of 1 are average.

    Attributes:
        height_m: Stature.
        leg, arm, shoulder, hip, head: Length or width factors; longer legs shorten the trunk.
        girth: Thickness of trunk and limbs.
    """

    height_m: float = 1.72
    leg: float = 1.0
    arm: float = 1.0
    shoulder: float = 1.0
    hip: float = 1.0
    head: float = 1.0
    girth: float = 1.0

    def __post_init__(self) -> None:
        if not 0.5 <= self.height_m <= 2.5:
            raise InvalidSetting(f"A body is 0.5 to 2.5 m tall; got height_m={self.height_m}.")
        factors = {n: getattr(self, n) for n in ("leg", "arm", "shoulder", "hip", "head", "girth")}
        wrong = {name: value for name, value in factors.items() if not 0.6 <= value <= 1.6}
        if wrong:
            raise InvalidSetting(f"Body proportions are factors from 0.6 to 1.6; got {wrong}.")


@dataclass(frozen=True)
class Body:
    """A skeleton of given proportions.

    Attributes:
        proportions: What it was built from.
        rest: Joint positions in the rest pose, (31, 3) metres, soles at z = 0.
        offsets: Each joint relative to its parent in the rest pose, (31, 3) metres.
    """

    proportions: Proportions = Proportions()
    rest: Array = field(init=False, repr=False, compare=False)
    offsets: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rest = _rest_positions(self.proportions)
        parents = np.array(PARENTS)
        offsets = rest - np.where(parents[:, None] >= 0, rest[parents], 0.0)
        object.__setattr__(self, "rest", rest)
        object.__setattr__(self, "offsets", offsets)

    def length(self, name: str) -> float:
        """Distance in metres from a joint to its parent, for example `length("left_knee")`, the thigh."""
        return float(np.linalg.norm(self.offsets[INDEX[name]]))

    @property
    def leg_m(self) -> float:
        """Hip to ankle."""
        return self.length("left_knee") + self.length("left_ankle")

    @property
    def arm_m(self) -> float:
        """Shoulder to wrist."""
        return self.length("left_elbow") + self.length("left_wrist")

    @property
    def ankle_m(self) -> float:
        """Height of the ankle above the sole."""
        return float(self.rest[INDEX["left_ankle"], 2])


@dataclass(frozen=True)
class Pose:
    """Joint rotations over T instants, the exchange format between motions and everything that draws.

    Attributes:
        root: Pelvis position in the world, (T, 3) metres.
        rotations: Rotation of each joint relative to its parent, applied to the rest pose, (T, 31, 3, 3).
    """

    root: Array
    rotations: Array

    def __post_init__(self) -> None:
        expected = (len(self.root), len(JOINTS), 3, 3)
        if self.root.shape[1:] != (3,) or self.rotations.shape != expected:
            raise InvalidSetting(
                f"A pose has a root of shape (T, 3) and rotations of shape (T, {len(JOINTS)}, 3, 3); "
                f"got {self.root.shape} and {self.rotations.shape}."
            )


@dataclass(frozen=True)
class Placement:
    """Where every joint is: positions (T, 31, 3) metres and world orientations (T, 31, 3, 3)."""

    positions: Array
    orientations: Array

    def of(self, name: str) -> Array:
        """Positions of one joint, (T, 3)."""
        picked: Array = self.positions[:, INDEX[name]]
        return picked


def forward_kinematics(body: Body, pose: Pose) -> Placement:
    """Place all joints of `body` in `pose`."""
    positions = np.empty((*pose.rotations.shape[:2], 3))
    orientations = np.empty_like(pose.rotations)
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            positions[:, joint] = pose.root
            orientations[:, joint] = pose.rotations[:, joint]
        else:
            above = orientations[:, parent]
            positions[:, joint] = positions[:, parent] + above @ body.offsets[joint]
            orientations[:, joint] = above @ pose.rotations[:, joint]
    return Placement(positions, orientations)


def rotation(axis: str, angle_rad: Array) -> Array:
    """Rotation matrices (..., 3, 3) about `"x"`, `"y"` or `"z"` by angles of any shape."""
    angle = np.asarray(angle_rad, dtype=float)
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., range(3), range(3)] = 1.0
    matrix[..., i, i] = matrix[..., j, j] = c
    matrix[..., i, j], matrix[..., j, i] = -s, s
    return matrix


def _rest_positions(p: Proportions) -> Array:
    """Joint positions of the standing figure, (31, 3) metres."""
    hip_z, old_hip_z, chin_z = 0.530 * p.leg, 0.530, 0.870

    def trunk(z: float) -> float:
        return hip_z + (z - old_hip_z) / (chin_z - old_hip_z) * (chin_z - hip_z)

    head = 0.130 * p.head
    at: dict[str, tuple[float, float, float]] = {
        "pelvis": (0.0, 0.0, trunk(0.545)),
        "spine": (0.0, 0.0, trunk(0.610)),
        "chest": (0.0, 0.0, trunk(0.700)),
        "neck": (-0.004, 0.0, trunk(0.828)),
        "head": (0.002, 0.0, chin_z),
        "head_top": (0.002, 0.0, chin_z + head),
        "nose": (0.068 * p.head, 0.0, chin_z + 0.36 * head),
    }
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder_y, shoulder_z = sign * 0.118 * p.shoulder, trunk(0.806)
        hip_y, foot_z = sign * 0.052 * p.hip, 0.039 * p.leg
        upper, lower, hand = 0.182 * p.arm, 0.146 * p.arm, 0.085 * p.arm
        at |= {
            f"{side}_clavicle": (0.0, sign * 0.020, trunk(0.812)),
            f"{side}_shoulder": (0.0, shoulder_y, shoulder_z),
            f"{side}_elbow": (0.0, shoulder_y, shoulder_z - upper),
            f"{side}_wrist": (0.0, shoulder_y, shoulder_z - upper - lower),
            f"{side}_fingers": (0.0, shoulder_y, shoulder_z - upper - lower - hand),
            f"{side}_hip": (0.0, hip_y, hip_z),
            f"{side}_knee": (0.0, hip_y, (0.246 + 0.039) * p.leg),
            f"{side}_ankle": (0.0, hip_y, foot_z),
            f"{side}_ball": (0.083, hip_y, 0.012),
            f"{side}_toes": (0.118, hip_y, 0.012),
            f"{side}_eye": (0.058 * p.head, sign * 0.019 * p.head, chin_z + 0.52 * head),
            f"{side}_ear": (0.004, sign * 0.045 * p.head, chin_z + 0.46 * head),
        }
    return np.array([at[name] for name in JOINTS]) * p.height_m
