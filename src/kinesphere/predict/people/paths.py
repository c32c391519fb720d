"""From tracks to the paths of people: boxes on the frames of a video, broken where identities may change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kinesphere.annotations.boxes import PEOPLE
from kinesphere.annotations.parsing.frame_numbers import allowance
from kinesphere.annotations.timed import Track
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.person_path import PersonPath
from kinesphere.clips.source import VideoSource, displayed_rows, duration_of, start_of
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting

# A box around joints is enlarged to the body about it, by these fractions of its height: left and right,
# above (joints end at the eyes), below.
_BODY = (0.06, 0.08, 0.03)
_LEAST_PX = 1.0
# Boxes that lie a bit further apart than usual, of tracks at a low rate, are no gap; nor is that rate any.
_USUAL, _SLOWEST_S = 1.5, 2.0
# Boxes that end so far from the picture's origin, in parts of its sides, are cut off by more than its border;
# more than so many of them are no accident.
_FAR, _MANY = 1.1, 1 / 3


@dataclass(frozen=True)
class BreakRules:
    """Where a path ends, so that no clip shows two people as one.

    Attributes:
        gap_s: A person without a box for longer has another path afterwards, in seconds; where boxes usually
            lie further apart, for longer than one and a half of these distances.
        pace: A box that moves by more heights of itself a second, beside the slack, has jumped to somebody
            else: sprinters cover five body heights a second.
        slack: Heights of itself that boxes may jitter from frame to frame.
        least_s: Shorter paths are left out and counted, in seconds.

    Raises:
        InvalidSetting: If one of them is negative.
    """

    gap_s: float = 0.5
    pace: float = 6.0
    slack: float = 0.35
    least_s: float = 0.3

    def __post_init__(self) -> None:
        if min(self.gap_s, self.pace, self.slack, self.least_s) < 0:
            raise InvalidSetting(f"Gaps, paces and lengths of paths are not negative; got {self}.")


@dataclass(frozen=True)
class Break:
    """Where the clips of a person begin anew.

    Attributes:
        identity: Number of the person.
        time_s: When it is seen again.
        kind: Nobody was seen for longer than the rules allow, or the box jumped.
        amount: Seconds of the gap, or heights of the box that it jumped.
    """

    identity: int
    time_s: float
    kind: Literal["gap", "jump"]
    amount: float


@dataclass(frozen=True)
class Placed:
    """The tracks of a file on the frames of a video.

    Attributes:
        tracks: Frames count those of the video, from 1; boxes end at the border of the picture.
        notes: What was left out of them.
    """

    tracks: tuple[Track, ...]
    notes: tuple[str, ...]


def on_video(tracks: Iterable[Track], video: VideoSource, fps: float | None = None) -> Placed:
    """Tracks on the frames of a video, with what lies outside of it left out.

    Args:
        tracks: Frames count from 1; from 0 where one has frame 0.
        video: The video.
        fps: Frames per second of the tracks' numbers, where that is not the video's.

    Raises:
        InvalidAnnotation: If they have frames that the video has not.
        InvalidSetting: If the rate is not positive.
    """
    if fps is not None and not 0 < fps < np.inf:
        raise InvalidSetting(f"Tracks are taken at a positive number of frames a second; got {fps}.")
    given = tuple(tracks)
    count = len(video.frame_times())
    first = 0 if any(len(each) and each.frames[0] == 0 for each in given) else 1
    notes = ["its tracks count frames from 0"] if first == 0 else []
    placed, off, outside, tiny, void = [], 0, 0, 0, 0
    for track in given:
        counts = track.scores != 0
        void += int((~counts).sum())
        rows = _rows_of(track, first, video, fps)
        inside = (rows < count) & counts
        off += int((rows >= count).sum())
        boxes, seen = _in_picture(track.boxes, video.size)
        small = (track.boxes[:, 2:] - track.boxes[:, :2]).min(1) < _LEAST_PX
        tiny += int((inside & small).sum())
        outside += int((inside & ~seen & ~small).sum())
        # At a higher rate than the video's, several boxes are of one frame: the last one stays.
        kept = np.flatnonzero(inside & seen)
        if len(kept):
            kept = kept[np.append(np.diff(rows[kept]) > 0, True)]
            placed.append(replace(track, frames=rows[kept] + 1, boxes=boxes[kept], scores=track.scores[kept]))
    told = (
        (void, "have confidence 0"),
        (tiny, "are less than a pixel wide or high (they are in pixels, not in fractions of the picture)"),
        (outside, "lie outside of the picture"),
        (off, "lie after its end"),
    )
    notes += [f"{number} boxes of its tracks {what} and are left out" for number, what in told if number]
    notes += _notes_on_reach(given, video.size)
    return Placed(tuple(placed), tuple(notes))


def _notes_on_reach(tracks: Sequence[Track], size: Size) -> list[str]:
    """Whether many boxes begin in the picture and end far outside, as corners do that are read as sizes."""
    boxes = np.concatenate([each.boxes for each in tracks]) if tracks else np.empty((0, 4))
    height, width = size
    begin = ((boxes[:, :2] >= 0) & (boxes[:, :2] < (width, height))).all(1)
    far = begin & (boxes[:, 2:] > np.multiply((width, height), _FAR)).any(1)
    if far.sum() <= _MANY * len(boxes):
        return []
    about = (
        f"{far.sum()} of {len(boxes)} boxes of its tracks reach far beyond the picture of {width}x{height}"
    )
    what = "left, top, width and height (not right and bottom) in pixels of this video's frames"
    return [f"{about}; a box is {what}"]


def _rows_of(track: Track, first: int, video: VideoSource, fps: float | None) -> np.ndarray:
    """Rows of the video's frames; a few may lie after its end."""
    times, end_s = video.frame_times(), duration_of(video)
    rows = track.frames - first
    if fps is not None:
        own_s = start_of(video) + (rows + 0.5) / fps
        rows = np.where(own_s < end_s, displayed_rows(video, np.minimum(own_s, end_s)), len(times))
        beyond = int(np.ceil(max(float(own_s[-1] - end_s), 0.0) * len(times) / max(end_s, 1e-9)))
    else:
        beyond = int(rows[-1]) + 1 - len(times)
    if rows[0] < 0 or beyond > allowance(len(times)):
        rate = f"{fps:g} frames a second" if fps is not None else "one box a frame"
        raise InvalidAnnotation(
            f"Track {track.identity} has a box in frame {track.frames[-1]} at {rate}, but the video has "
            f"{len(times)} frames and ends at {end_s:.2f} s; the tracks are of another video or frame rate "
            "(say which with --tracks-fps)."
        )
    return rows


def _in_picture(boxes: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Boxes cut at the border of the picture, and which of them have something left."""
    height, width = size
    cut = np.clip(boxes, 0, (width, height, width, height))
    return cut, (cut[:, 2] - cut[:, 0] >= _LEAST_PX) & (cut[:, 3] - cut[:, 1] >= _LEAST_PX)


def tracks_of_poses(poses: StoredPoses, video: VideoSource) -> tuple[Track, ...]:
    """The people of poses as tracks: boxes around their joints, enlarged to the body.

    Where somebody is not found for up to half a second, or in poses of a low rate from one to the next, boxes
    lie on straight lines.

    Raises:
        InvalidAnnotation: If the joints are in space.
    """
    poses[:1].in_pixels()
    rows, who, boxes, scores = _seen(poses)
    if poses.frame_size is not None:
        boxes = boxes * (np.array(video.size * 2)[::-1] / np.array(poses.frame_size * 2)[::-1])
    height = boxes[:, 3] - boxes[:, 1]
    beside, above, below = (fraction * height for fraction in _BODY)
    boxes = boxes + np.stack([-beside, -above, beside, below], 1)
    frames = displayed_rows(video, poses.times) + 1
    gap_s = max(BreakRules().gap_s, _USUAL * _usual_s(np.diff(poses.times)))
    tracks = []
    for i, identity in enumerate(poses.tracks.tolist()):
        own = np.flatnonzero(who == i)
        numbers, last = np.unique(frames[rows[own]][::-1], return_index=True)
        own = own[::-1][last]
        if len(own):
            found = Track(identity, numbers, boxes[own], scores[own])
            tracks.append(_bridged(found, video.frame_times(), gap_s))
    return tuple(tracks)


def _bridged(track: Track, frame_times: np.ndarray, gap_s: float) -> Track:
    """A track with boxes on straight lines in gaps of up to so many seconds."""
    frames = np.arange(track.frames[0], track.frames[-1] + 1)
    after = np.searchsorted(track.frames, frames)
    before = np.where(track.frames[after] == frames, after, after - 1)
    around_s = frame_times[track.frames[after] - 1] - frame_times[track.frames[before] - 1]
    frames = frames[around_s <= gap_s]
    columns = [*track.boxes.T, track.scores]
    values = np.stack([np.interp(frames, track.frames, column) for column in columns], 1)
    return replace(track, frames=frames, boxes=values[:, :4], scores=values[:, 4])


def _seen(poses: StoredPoses) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each detection of a person its row, person, box and mean score, in order of rows."""
    if isinstance(poses, Poses):
        rows, who = np.nonzero(poses.present)
        cells: tuple[np.ndarray, np.ndarray | int] = (rows, who)
        each = poses
    else:
        each = poses.detections()
        there = np.flatnonzero(each.present[:, 0])
        rows, who, cells = poses.frames[there], poses.who[there], (there, 0)
    return rows, who, each.boxes[cells].astype(np.float64), each.scores[cells].mean(-1).astype(np.float64)


@dataclass(frozen=True)
class Broken:
    """The paths of one track.

    Attributes:
        paths: In order of time.
        breaks: Between them.
        short: Paths that were too short for an answer.
    """

    paths: tuple[PersonPath, ...]
    breaks: tuple[Break, ...]
    short: int


def usual_distance_s(tracks: Sequence[Track], frame_times: np.ndarray) -> float:
    """How many seconds lie between boxes of tracks on the frames of a video, usually; 2 at most."""
    steps = [np.diff(frame_times[track.frames - 1]) for track in tracks]
    return _usual_s(np.concatenate([np.empty(0), *steps]))


def _usual_s(steps_s: np.ndarray) -> float:
    return min(float(np.median(steps_s)), _SLOWEST_S) if len(steps_s) else 0.0


def paths_of(track: Track, frame_times: np.ndarray, rules: BreakRules, usual_s: float = 0.0) -> Broken:
    """The paths of a track: over gaps shorter than the rule's, boxes lie on straight lines.

    Args:
        track: On the frames of the video (see `on_video`).
        frame_times: `(N,)` seconds at which these begin.
        rules: Where a path ends.
        usual_s: How far apart boxes usually are (see `usual_distance_s`).
    """
    rows = track.frames - 1
    times = frame_times[rows]
    gaps_s, jumps = np.diff(times), _jumps(track.boxes, np.diff(times), rules)
    frame_s = float(np.median(np.diff(frame_times))) if len(frame_times) > 1 else 0.0
    is_gap = gaps_s > max(rules.gap_s + frame_s, _USUAL * usual_s)
    is_break = is_gap | (jumps > 0)
    breaks = tuple(
        Break(
            track.identity,
            float(times[i + 1]),
            "gap" if is_gap[i] else "jump",
            float(gaps_s[i] if is_gap[i] else jumps[i]),
        )
        for i in np.flatnonzero(is_break).tolist()
    )
    paths, short = [], 0
    for part in np.split(np.arange(len(rows)), np.flatnonzero(is_break) + 1):
        own = np.arange(rows[part[0]], rows[part[-1]] + 1)
        if frame_times[own[-1]] + frame_s - frame_times[own[0]] < rules.least_s:
            short += 1
            continue
        boxes = np.stack([np.interp(own, rows[part], track.boxes[part, i]) for i in range(4)], 1)
        paths.append(PersonPath(track.identity, int(own[0]), frame_times[own], boxes))
    return Broken(tuple(paths), breaks, short)


def _jumps(boxes: np.ndarray, gaps_s: np.ndarray, rules: BreakRules) -> np.ndarray:
    """How many of its heights each box has moved from the one before; 0 where that is no jump."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    height = np.maximum(boxes[:, 3] - boxes[:, 1], 1.0)
    moved = np.linalg.norm(np.diff(centres, axis=0), axis=1) / np.maximum(height[:-1], height[1:])
    far: np.ndarray = np.where(moved > rules.slack + rules.pace * gaps_s, moved, 0.0)
    return far


def united(one: Track, other: Track, identity: int | None = None) -> Track:
    """Two people as one track: the boxes around both, where both are seen.

    Args:
        one: A person.
        other: Another one of the same video.
        identity: Number of the pair; None for the first person's.

    Raises:
        InvalidAnnotation: If they are never seen in one frame.
    """
    frames, a, b = np.intersect1d(one.frames, other.frames, return_indices=True)
    if not len(frames):
        raise InvalidAnnotation(
            f"Tracks {one.identity} and {other.identity} have no frame in common; name two people who meet."
        )
    boxes = np.concatenate(
        [np.minimum(one.boxes[a, :2], other.boxes[b, :2]), np.maximum(one.boxes[a, 2:], other.boxes[b, 2:])],
        1,
    )
    scores = np.minimum(one.scores[a], other.scores[b])
    return Track(one.identity if identity is None else identity, frames, boxes, scores, one.label)


def people_and_objects(tracks: Sequence[Track]) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    """The tracks of people, and those of everything else, by their class names."""
    people = tuple(each for each in tracks if each.label.lower() in PEOPLE)
    return people, tuple(each for each in tracks if each.label.lower() not in PEOPLE)
