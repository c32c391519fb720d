"""What people do with objects, by boxes and, where they are known, joints: near, holds, carries, holds up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kinesphere.annotations.timed import Track
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.alone import of_people
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.person_path import PersonPath
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.events.facts import Fact

VERBS = ("near", "holds", "carries", "holds up")
"""What labels of facts about objects begin with; the name of the object follows."""
# A palm lies so many forearms beyond the wrist.
_PALM = 0.3
# Arms and steps move a box to and fro; over so long, only what gets on remains.
_PACE_S = 1.0
_NEEDED = ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist")


@dataclass(frozen=True)
class ObjectRules:
    """When a person is near an object, holds, carries or holds it up. Lengths are in heights of the person.

    Nobody holds an object whose hand is further away from it than somebody else's. A fact begins where its
    rule is fulfilled and lasts as long as the wider rule `slack` times as far out is; pauses of up to `gap_s`
    do not end it, and what is shorter than `least_s` is none.

    Attributes:
        near: Largest distance between the boxes.
        reach: How far from the object's box a wrist, or the palm beyond it, may be of whoever holds it.
        inside: Without joints: the fraction of the object's box that lies inside of the person's, which is
            wider by `reach`, of whoever holds it.
        largest: Larger objects are not held, however they overlap: their longer side.
        pace: From this speed of the feet on, in heights a second over a second, holding is carrying.
        up: Without joints, an object is held up whose middle is this far below the box's upper edge, or less;
            with joints, where it is above both shoulders.
        slack: How much wider the rules are that keep a fact.
        gap_s: Longest pause within a fact, in seconds.
        least_s: Shortest fact, in seconds.

    Raises:
        InvalidSetting: If one is negative, or the slack below 1.
    """

    near: float = 0.5
    reach: float = 0.06
    inside: float = 0.6
    largest: float = 0.9
    pace: float = 0.4
    up: float = 0.15
    slack: float = 1.5
    gap_s: float = 0.5
    least_s: float = 0.3

    def __post_init__(self) -> None:
        lengths = (self.near, self.reach, self.inside, self.largest, self.pace, self.up, self.gap_s)
        if min(*lengths, self.least_s) < 0 or self.slack < 1:
            raise InvalidSetting(f"Distances and times are not negative, the slack is 1 or more; got {self}.")


@dataclass(frozen=True, eq=False)
class _Together:
    """A person and an object over the N frames in which both are seen.

    Attributes:
        identity: Number of the person.
        frames: `(N,)` numbers of the frames.
        times: `(N,)` seconds.
        person: `(N, 4)` boxes px.
        thing: `(N, 4)` boxes px.
        height: `(N,)` of the person, smoothed, px.
        hands: `(N, 4, 2)` wrists and palms px, NaN where they are not seen; None without joints.
        shoulders: `(N,)` y of the upper shoulder px, NaN where none is seen; None without joints.
    """

    identity: int
    frames: np.ndarray
    times: np.ndarray
    person: np.ndarray
    thing: np.ndarray
    height: np.ndarray
    hands: np.ndarray | None
    shoulders: np.ndarray | None


def object_facts(
    people: Sequence[Track],
    objects: Sequence[Track],
    frame_times: np.ndarray,
    frame_size: Size,
    poses: StoredPoses | None = None,
    rules: ObjectRules = ObjectRules(),
) -> list[Fact]:
    """What the people of a video do with its objects, such as "holds knife", in order of time.

    Each fact names the person, the object (`other`), and where the object is on the average, in fractions of
    the picture. Its score is the mean of the object's.

    Args:
        people: Tracks of people; frames count those of the video, from 1.
        objects: Tracks of everything else.
        frame_times: `(N,)` when the frames of the video begin, in seconds.
        frame_size: `(H, W)` of the video.
        poses: Joints of the people, where they are known.
        rules: When is what.
    """
    if not objects:
        return []
    found: list[Fact] = []
    frame_s = float(np.median(np.diff(frame_times))) if len(frame_times) > 1 else 0.0
    joints = _joints(poses, people, frame_times, frame_size)
    for thing in objects:
        pairs = [
            _together(person, thing, frame_times, known)
            for person, known in zip(people, joints, strict=True)
            if np.isin(person.frames, thing.frames).any()
        ]
        for pair, own in zip(pairs, _nearest(pairs, thing), strict=True):
            for verb, first, last in _spans(pair, own, rules, frame_s):
                found.append(_fact(verb, thing, pair, first, last, frame_s, frame_size))
    return sorted(found, key=lambda fact: (fact.start_s, fact.end_s, fact.label))


def _fact(
    verb: str, thing: Track, pair: _Together, first: int, last: int, frame_s: float, frame_size: Size
) -> Fact:
    """What is done with a thing from a frame of a pair to another."""
    part = slice(first, last + 1)
    height, width = frame_size
    left, top, right, bottom = (pair.thing[part].mean(0) / (width, height, width, height)).tolist()
    return Fact(
        f"{verb} {thing.label}",
        float(pair.times[first]),
        float(pair.times[last]) + frame_s,
        person=pair.identity,
        other=thing.identity,
        score=float(thing.scores[np.isin(thing.frames, pair.frames[part])].mean()),
        box=(left, top, right, bottom),
    )


def _nearest(pairs: Sequence[_Together], thing: Track) -> list[np.ndarray]:
    """Of each pair bool `(N,)`: whether nobody else's hand, or box, is nearer to the thing."""
    best = np.full(len(thing), np.inf)
    rows = [np.searchsorted(thing.frames, pair.frames) for pair in pairs]
    away = [_away(pair) for pair in pairs]
    for own, distance in zip(rows, away, strict=True):
        best[own] = np.minimum(best[own], distance)
    return [distance <= best[own] for own, distance in zip(rows, away, strict=True)]


def _away(pair: _Together) -> np.ndarray:
    """`(N,)` how far the thing is from a person: from a hand that is seen, or from the middle of the box."""
    middles = ((pair.person - pair.thing)[:, :2] + (pair.person - pair.thing)[:, 2:]) / 2
    by_box: np.ndarray = np.linalg.norm(middles, axis=1) / pair.height
    if pair.hands is None:
        return by_box
    by_hand = _to_box(pair.hands, pair.thing) / pair.height
    return np.where(np.isfinite(by_hand), by_hand, by_box)


def _spans(
    pair: _Together, own: np.ndarray, rules: ObjectRules, frame_s: float
) -> Iterator[tuple[str, int, int]]:
    """Verbs with the first and last frame of each of their spans; `own` is where nobody else is nearer."""
    near = _distance(pair.person, pair.thing) / pair.height
    yield from (
        ("near", *span)
        for span in _steady(near <= rules.near, near <= rules.near * rules.slack, pair.times, rules, frame_s)
    )
    on, keep = _held(pair, rules)
    pace = _pace(pair)
    above, nearly = _above(pair, rules)
    for first, last in _steady(on & own, keep & own, pair.times, rules, frame_s):
        yield "holds", first, last
        part = slice(first, last + 1)
        conditions = {
            "carries": (pace >= rules.pace, pace >= rules.pace / rules.slack),
            "holds up": (above, nearly),
        }
        for verb, (begun, kept) in conditions.items():
            for begin, end in _steady(begun[part], kept[part], pair.times[part], rules, frame_s):
                yield verb, first + begin, first + end


def _held(pair: _Together, rules: ObjectRules) -> tuple[np.ndarray, np.ndarray]:
    """bool `(N,)` twice: where the object is held, and where it still is by the wider rule."""
    small = np.max(pair.thing[:, 2:] - pair.thing[:, :2], 1) <= rules.largest * pair.height
    reach = rules.reach * pair.height
    inside = _inside(pair, reach)
    by_box = small & (inside >= rules.inside), small & (inside >= rules.inside / rules.slack)
    if pair.hands is None:
        return by_box
    away = _to_box(pair.hands, pair.thing)
    seen = np.isfinite(away)
    distance = np.where(seen, away, np.inf)
    on, keep = distance <= reach, distance <= reach * rules.slack
    # A hand that is not seen may not let go of what it holds.
    return small & on, small & (keep | (~seen & by_box[1]))


def _above(pair: _Together, rules: ObjectRules) -> tuple[np.ndarray, np.ndarray]:
    """bool `(N,)` twice: where the object is up, and where it still is by the wider rule."""
    middle = (pair.thing[:, 1] + pair.thing[:, 3]) / 2
    if pair.shoulders is None:
        below = (middle - pair.person[:, 1]) / pair.height
        return below <= rules.up, below <= rules.up * rules.slack
    above = (pair.shoulders - middle) / pair.height
    return above > 0, above > -rules.reach * (rules.slack - 1)


def _together(person: Track, thing: Track, frame_times: np.ndarray, joints: _Joints | None) -> _Together:
    frames, a, b = np.intersect1d(person.frames, thing.frames, return_indices=True)
    boxes = person.boxes[a]
    return _Together(
        person.identity,
        frames,
        frame_times[frames - 1],
        boxes,
        thing.boxes[b],
        _median(boxes[:, 3] - boxes[:, 1]),
        None if joints is None else joints.hands[a],
        None if joints is None else joints.shoulders[a],
    )


def _median(values: np.ndarray) -> np.ndarray:
    """A person's height does not change when it bends: the median of all it has."""
    return np.full(len(values), max(float(np.median(values)), 1.0))


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`(N,)` px between boxes, 0 where they touch."""
    apart = np.maximum(np.maximum(one[:, :2] - other[:, 2:], other[:, :2] - one[:, 2:]), 0)
    distance: np.ndarray = np.linalg.norm(apart, axis=1)
    return distance


def _inside(pair: _Together, reach: np.ndarray) -> np.ndarray:
    """`(N,)` fraction of the object's box inside of the person's, which is wider by `(N,)` px."""
    low = np.maximum(pair.person[:, :2] - reach[:, None], pair.thing[:, :2])
    high = np.minimum(pair.person[:, 2:] + reach[:, None], pair.thing[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    fraction: np.ndarray = shared / np.maximum(np.prod(pair.thing[:, 2:] - pair.thing[:, :2], axis=1), 1e-9)
    return fraction


def _to_box(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """`(N,)` px from the nearest of points `(N, P, 2)` to boxes `(N, 4)`; NaN where none is known."""
    apart = np.maximum(np.maximum(boxes[:, None, :2] - points, points - boxes[:, None, 2:]), 0)
    distance = np.where(np.isnan(points).any(-1), np.inf, np.linalg.norm(apart, axis=-1)).min(1)
    return np.where(np.isfinite(distance), distance, np.nan)


def _pace(pair: _Together) -> np.ndarray:
    """`(N,)` heights a second at which a person's feet get on, over `_PACE_S` about each frame."""
    feet = np.stack([(pair.person[:, 0] + pair.person[:, 2]) / 2, pair.person[:, 3]], 1)
    before = np.searchsorted(pair.times, pair.times - _PACE_S / 2)
    after = np.searchsorted(pair.times, pair.times + _PACE_S / 2, side="right") - 1
    gap_s = np.maximum(pair.times[after] - pair.times[before], 1e-6)
    moved = np.linalg.norm(feet[after] - feet[before], axis=1) / pair.height
    return np.where(after > before, moved / gap_s, 0.0)


def _steady(
    on: np.ndarray, keep: np.ndarray, times: np.ndarray, rules: ObjectRules, frame_s: float
) -> list[tuple[int, int]]:
    """First and last frame of each span: runs of `keep` that are `on` somewhere, pauses closed, short ones
    dropped."""
    rows = np.flatnonzero(keep)
    if not len(rows):
        return []
    pauses = np.flatnonzero(np.diff(times[rows]) > rules.gap_s + frame_s)
    spans = []
    for run in np.split(rows, pauses + 1):
        lit = run[on[run]]
        if len(lit) and times[run[-1]] + frame_s - times[lit[0]] >= rules.least_s:
            spans.append((int(lit[0]), int(run[-1])))
    return spans


@dataclass(frozen=True, eq=False)
class _Joints:
    """Hands `(N, 4, 2)` and upper shoulder `(N,)` of a person in the frames of its track, px; NaN unseen."""

    hands: np.ndarray
    shoulders: np.ndarray


def _joints(
    poses: StoredPoses | None, tracks: Sequence[Track], frame_times: np.ndarray, size: Size
) -> list[_Joints | None]:
    """The joints of each person; None where there are no poses, or none with arms."""
    if poses is None or not set(_NEEDED) <= set(SKELETONS.get(poses.skeleton).joints):
        return [None] * len(tracks)
    paths = [PersonPath(each.identity, 0, frame_times[each.frames - 1], each.boxes) for each in tracks]
    names = SKELETONS.get(poses.skeleton).joints
    chosen = [names.index(name) for name in _NEEDED]
    found: list[_Joints | None] = []
    for path, own in zip(paths, of_people(poses, paths, size), strict=True):
        joints = own.joints_at(path.times)[:, 0, chosen]
        points = np.where(joints[..., 2:] > 0, joints[..., :2], np.nan)
        shoulders, elbows, wrists = points[:, :2], points[:, 2:4], points[:, 4:]
        palms = wrists + _PALM * (wrists - elbows)
        high = np.where(np.isnan(shoulders[..., 1]), np.inf, shoulders[..., 1]).min(1)
        found.append(_Joints(np.concatenate([wrists, palms], 1), np.where(np.isfinite(high), high, np.nan)))
    return found
