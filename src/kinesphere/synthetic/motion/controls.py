"""Control tracks: what a movement is authored in, and the inverse kinematics that turn it into a pose.

A control vector describes a posture by where the pelvis, feet and hands are, in units of the body's own
legs and arms, so that one movement fits every body with its feet on the floor. Columns are named by
`CHANNELS`:

- `x y` pelvis on the floor plane (leg lengths), its `height` (1 = standing), `yaw pitch roll` (rad);
- `bend side twist` of the spine, `nod look tilt` of the head (rad);
- per foot `x y lift` of the sole (leg lengths, world frame), `pitch` (heel up positive), `yaw` (rad);
- per hand `x y z` from the shoulder in the chest's frame (arm lengths, y outward), `elbow` (0 the elbow
  points back and down, 1 outward), `shrug` (rad).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kinesphere.synthetic.body.body import INDEX, JOINTS, PARENTS, Array, Body, Pose, rotation

_TRUNK = ("x", "y", "height", "yaw", "pitch", "roll", "bend", "side", "twist", "nod", "look", "tilt")
_FOOT = ("x", "y", "lift", "pitch", "yaw")
_HAND = ("x", "y", "z", "elbow", "shrug")

CHANNELS: tuple[str, ...] = (
    *_TRUNK,
    *(f"{side}_foot_{name}" for side in ("left", "right") for name in _FOOT),
    *(f"{side}_hand_{name}" for side in ("left", "right") for name in _HAND),
)
COLUMN: dict[str, int] = {name: i for i, name in enumerate(CHANNELS)}

Track = Callable[[Array], Array]
"""Times (T,) in seconds to control vectors (T, 32)."""

_REST = {
    "height": 0.985,
    "left_foot_y": 0.11,
    "right_foot_y": -0.11,
    "left_foot_yaw": 0.14,
    "right_foot_yaw": -0.14,
    **{
        f"{side}_hand_{n}": v
        for side in ("left", "right")
        for n, v in (("x", 0.08), ("y", 0.12), ("z", -0.96))
    },
}


def posture(changes: Mapping[str, float] | None = None) -> Array:
    """The standing posture with some channels changed, (32,).

    `right_...` is the leading side of a right-handed figure. `hands_...` and `feet_...` set both sides
    (`feet_y` and `feet_yaw` symmetrically).
    """
    values = np.zeros(len(CHANNELS))
    for name, value in _REST.items():
        values[COLUMN[name]] = value
    for name, value in (changes or {}).items():
        if name.startswith(("hands_", "feet_")):
            both = "hand" if name.startswith("hands_") else "foot"
            part = name.split("_", 1)[1]
            flip = -1.0 if both == "foot" and part in ("y", "yaw") else 1.0
            values[COLUMN[f"left_{both}_{part}"]] = value
            values[COLUMN[f"right_{both}_{part}"]] = flip * value
        else:
            values[COLUMN[name]] = value
    return values


def keyed(keys: Sequence[tuple[float, Mapping[str, float]]]) -> Track:
    """A track through postures at given times, held before the first and after the last.

    Interpolation is monotone cubic (Fritsch and Carlson, SIAM J. Numer. Anal. 17, 1980): it passes through
    keys with speed where the movement goes on, rests where it turns round, and never overshoots.
    """
    at = np.array([time for time, _ in keys], dtype=float)
    values = np.stack([posture(changes) for _, changes in keys])
    step = np.diff(at)[:, None]
    slope = np.diff(values, axis=0) / step
    tangent = np.zeros_like(values)
    before, after = slope[:-1], slope[1:]
    same = before * after > 0
    w1, w2 = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        harmonic = (w1 + w2) / (w1 / before + w2 / after)
    tangent[1:-1] = np.where(same, harmonic, 0.0)

    def track(times_s: Array) -> Array:
        t = np.clip(times_s, at[0], at[-1])
        i = np.clip(np.searchsorted(at, t, side="right") - 1, 0, len(at) - 2)
        h = (at[i + 1] - at[i])[:, None]
        u = (t - at[i])[:, None] / h
        u2, u3 = u * u, u * u * u
        result: Array = (
            (2 * u3 - 3 * u2 + 1) * values[i]
            + (u3 - 2 * u2 + u) * h * tangent[i]
            + (3 * u2 - 2 * u3) * values[i + 1]
            + (u3 - u2) * h * tangent[i + 1]
        )
        return result

    return track


def mirrored(controls: Array) -> Array:
    """The same postures with left and right exchanged."""
    result = controls.copy()
    for left in (name for name in CHANNELS if name.startswith("left_")):
        right = left.replace("left_", "right_")
        sign = -1.0 if left.startswith("left_foot") and left.endswith(("_y", "_yaw")) else 1.0
        result[:, COLUMN[left]] = sign * controls[:, COLUMN[right]]
        result[:, COLUMN[right]] = sign * controls[:, COLUMN[left]]
    for name in ("y", "yaw", "roll", "side", "twist", "look", "tilt"):
        result[:, COLUMN[name]] *= -1.0
    return result


def moved(controls: Array, x: float, y: float, yaw_rad: float) -> Array:
    """The same postures on another spot of the floor: turned by `yaw_rad`, then shifted (leg lengths)."""
    result = controls.copy()
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    for prefix in ("", "left_foot_", "right_foot_"):
        ix, iy, iyaw = (COLUMN[prefix + name] for name in ("x", "y", "yaw"))
        px, py = controls[:, ix], controls[:, iy]
        result[:, ix] = c * px - s * py + x
        result[:, iy] = s * px + c * py + y
        result[:, iyaw] += yaw_rad
    return result


def solve(controls: Array, body: Body) -> Pose:
    """Find the joint rotations that realise control vectors (T, 32) on `body`.

    Feet and hands never sink into the floor; a pelvis too high for the planted feet is lowered; hands and
    feet out of reach stop at full stretch.
    """
    get = {name: controls[:, i] for name, i in COLUMN.items()}
    leg, standing = body.leg_m, body.rest[INDEX["pelvis"], 2]
    world = np.broadcast_to(np.eye(3), (len(controls), len(JOINTS), 3, 3)).copy()

    pelvis = rotation("z", get["yaw"]) @ rotation("y", get["pitch"]) @ rotation("x", get["roll"])
    root = np.stack([get["x"] * leg, get["y"] * leg, get["height"] * standing], axis=1)
    feet = {side: _foot(get, side, body) for side in ("left", "right")}
    slack = np.zeros(len(controls))
    for side, (ankle, _, _) in feet.items():
        hip = root + pelvis @ body.offsets[INDEX[f"{side}_hip"]]
        across = np.sum((ankle - hip)[:, :2] ** 2, axis=1)
        highest = ankle[:, 2] + np.sqrt(np.maximum((0.997 * leg) ** 2 - across, 1e-4))
        slack = np.minimum(slack, highest - hip[:, 2])
    root[:, 2] += slack

    half = rotation("z", get["twist"] / 2) @ rotation("y", get["bend"] / 2) @ rotation("x", get["side"] / 2)
    look = rotation("z", get["look"] / 2) @ rotation("y", get["nod"] / 2) @ rotation("x", get["tilt"] / 2)
    for name, above, turn in (
        ("pelvis", None, pelvis),
        ("spine", "pelvis", half),
        ("chest", "spine", half),
        ("neck", "chest", look),
        ("head", "neck", look),
    ):
        world[:, INDEX[name]] = turn if above is None else world[:, INDEX[above]] @ turn
    chest = world[:, INDEX["chest"]]
    chest_at = root + pelvis @ body.offsets[INDEX["spine"]]
    chest_at = chest_at + world[:, INDEX["spine"]] @ body.offsets[INDEX["chest"]]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _arm(world, get, side, sign, chest, chest_at, body)
        ankle, foot, toes = feet[side]
        hip = root + pelvis @ body.offsets[INDEX[f"{side}_hip"]]
        _leg(world, side, hip, ankle, foot, pelvis, body)
        world[:, INDEX[f"{side}_ankle"]] = foot
        world[:, INDEX[f"{side}_ball"]] = world[:, INDEX[f"{side}_toes"]] = toes
    for name in ("head_top", "nose", "left_eye", "right_eye", "left_ear", "right_ear"):
        world[:, INDEX[name]] = world[:, INDEX["head"]]
    return Pose(root, local_rotations(world))


def local_rotations(world: Array) -> Array:
    """World orientations (T, 31, 3, 3) to rotations relative to each joint's parent."""
    local = world.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            local[:, joint] = np.swapaxes(world[:, parent], 1, 2) @ world[:, joint]
    return local


def _foot(get: Mapping[str, Array], side: str, body: Body) -> tuple[Array, Array, Array]:
    """Ankle positions (T, 3), foot and toe orientations (T, 3, 3); heel and ball stay above the floor."""
    ball = body.rest[INDEX[f"{side}_ball"]] - body.rest[INDEX[f"{side}_ankle"]]
    pitch, yaw = get[f"{side}_foot_pitch"], get[f"{side}_foot_yaw"]
    foot = rotation("z", yaw) @ rotation("y", pitch)
    toes = rotation("z", yaw) @ rotation("y", np.where(pitch > 0, 0.25 * pitch, pitch))
    flat = rotation("z", yaw)
    ankle = np.stack([get[f"{side}_foot_{n}"] * body.leg_m for n in ("x", "y", "lift")], axis=1)
    ankle[:, 2] += body.ankle_m
    # Heel up pivots about the ball of the foot, toes up about the heel below the ankle.
    ankle = ankle + np.where((pitch > 0)[:, None], flat @ ball - foot @ ball, 0.0)
    heel = np.array([-0.045 * body.proportions.height_m, 0.0, -body.ankle_m])
    lowest = np.minimum((ankle + foot @ heel)[:, 2], (ankle + foot @ ball)[:, 2] - 0.012)
    ankle[:, 2] -= np.minimum(lowest, 0.0)
    return ankle, foot, toes


def _leg(world: Array, side: str, hip: Array, ankle: Array, foot: Array, pelvis: Array, body: Body) -> None:
    """Two-bone inverse kinematics; the knee hinges about the body's lateral axis, turned with the foot."""
    lateral = 0.6 * pelvis[:, :, 1] + 0.4 * foot[:, :, 1]
    direction = unit(ankle - hip)
    bend = unit(np.cross(direction, lateral))
    upper, lower = body.length(f"{side}_knee"), body.length(f"{side}_ankle")
    knee, end = _two_bones(hip, ankle, bend, upper, lower)
    world[:, INDEX[f"{side}_hip"]] = _frame(hip - knee, lateral)
    world[:, INDEX[f"{side}_knee"]] = _frame(knee - end, lateral)


def _arm(
    world: Array, get: Mapping[str, Array], side: str, sign: float, chest: Array, chest_at: Array, body: Body
) -> None:
    """Clavicle, then two-bone inverse kinematics to the hand's target in the chest's frame."""
    clavicle = chest @ rotation("x", sign * get[f"{side}_hand_shrug"])
    shoulder = chest_at + chest @ body.offsets[INDEX[f"{side}_clavicle"]]
    shoulder = shoulder + clavicle @ body.offsets[INDEX[f"{side}_shoulder"]]
    target = np.stack([get[f"{side}_hand_{n}"] for n in "xyz"], axis=1) * body.arm_m
    target[:, 1] *= sign
    wrist = shoulder + (chest @ target[:, :, None])[:, :, 0]
    wrist[:, 2] = np.maximum(wrist[:, 2], 0.05)
    out = get[f"{side}_hand_elbow"]
    hint = np.stack([-0.8 * (1 - out), sign * (0.3 + 0.9 * out), -0.45 + 0.25 * out], axis=1)
    hint = (chest @ hint[:, :, None])[:, :, 0]
    direction = unit(wrist - shoulder)
    bend = unit(hint - direction * np.sum(hint * direction, axis=1, keepdims=True))
    hinge = np.cross(direction, bend)
    upper, lower = body.length(f"{side}_elbow"), body.length(f"{side}_wrist")
    elbow, end = _two_bones(shoulder, wrist, bend, upper, lower)
    world[:, INDEX[f"{side}_clavicle"]] = clavicle
    world[:, INDEX[f"{side}_shoulder"]] = _frame(shoulder - elbow, hinge)
    forearm = _frame(elbow - end, hinge)
    for part in ("elbow", "wrist", "fingers"):
        world[:, INDEX[f"{side}_{part}"]] = forearm


def _two_bones(start: Array, end: Array, bend: Array, upper: float, lower: float) -> tuple[Array, Array]:
    """Middle joint and reachable end of a two-bone chain, bent towards unit vectors `bend`; all (T, 3)."""
    direction = unit(end - start)
    distance = np.linalg.norm(end - start, axis=1, keepdims=True)
    distance = np.clip(distance, abs(upper - lower) + 0.12 * (upper + lower), 0.998 * (upper + lower))
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    away = np.sqrt(np.maximum(upper**2 - along**2, 0.0))
    return start + direction * along + bend * away, start + direction * distance


def _frame(up: Array, lateral: Array) -> Array:
    """Orientations (T, 3, 3) whose z axis is `up` and whose y axis lies near `lateral`."""
    z = unit(up)
    y = unit(lateral - z * np.sum(lateral * z, axis=1, keepdims=True))
    return np.stack([np.cross(y, z), y, z], axis=2)


def unit(vectors: Array) -> Array:
    """Vectors (T, 3) of length 1; what has none stays as it is."""
    scaled: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return scaled
