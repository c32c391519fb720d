"""Files of keyframes: AVA's CSV in and out, tracks with actions (CVAT, tables beside MOTChallenge) in."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kinesphere.annotations.formats.ava import AvaLine, ava_lines
from kinesphere.annotations.keyframes import (
    BoxOfFrame,
    Keyframe,
    Keyframes,
    KeyPerson,
    inside,
    keyframes_of_tracks,
    numbered,
)
from kinesphere.annotations.parsing.text_lines import number_of, read_text
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import TimedLabel, TimedLabels, Track, track_tier, video_name
from kinesphere.annotations.timed_files import read_timed_files
from kinesphere.annotations.track_files import read_track_file
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import write_text
from kinesphere.core.limits import brief

_TABLE = frozenset({"path", "video", "label", "start", "end", "person"})


def read_keyframes(
    paths: Sequence[Path],
    recordings: Recordings,
    *,
    names: Mapping[str, str] | None = None,
    tracks: Path | None = None,
    classes: Sequence[str] = (),
    every_s: int = 1,
) -> Keyframes:
    """The keyframes of files of one kind, or of several.

    A CSV without a header is of AVA's form. A CSV with the columns `path`, `label`, `start`, `end` and
    `person` says what the people of tracks do, which lie in `tracks`: `NAME.txt`, `NAME.json` or
    `NAME/gt/gt.txt` for each video. Any other file of timed labels has tracks in it, as CVAT's XML.

    Args:
        paths: The files.
        recordings: Where the videos lie.
        names: Names of the classes of AVA's form by their number, as a label map has them; None names them by
            their numbers.
        tracks: Folder of tracks, for tables.
        classes: Actions that count; none for all.
        every_s: Seconds from one keyframe of a track to the next.

    Raises:
        InvalidAnnotation: If a file is none of these or something in it is wrong; line or track are named.
    """
    frames: list[Keyframe] = []
    numbers: dict[str, int] = {} if names is None else {name: int(key) for key, name in names.items()}
    subsets: dict[str, str] = {}
    notes: list[str] = []
    for path in paths:
        if is_ava(path):
            found = read_ava_keyframes(path, names)
            numbers |= found.numbers
        else:
            found = _read_tracks(path, recordings, tracks, classes, every_s)
        frames += found.frames
        subsets |= found.subsets
        notes += found.notes
    kept = [_with_actions(each, classes) for each in frames]
    done = numbered(kept)
    if names is not None and (strange := [name for name in done if name not in numbers]):
        raise InvalidAnnotation(f"The label map does not name {', '.join(map(brief, strange[:10]))}; add it.")
    for name in classes or done:  # what has no number yet has the next one
        numbers.setdefault(name, max(numbers.values(), default=0) + 1)
    if classes:
        numbers = {name: numbers[name] for name in classes}
    kept.sort(key=lambda each: (each.video, each.time_s))
    return Keyframes(tuple(kept), numbers, subsets, tuple(notes))


def _with_actions(frame: Keyframe, classes: Sequence[str]) -> Keyframe:
    if not classes:
        return frame
    people = tuple(
        replace(each, actions=tuple(name for name in each.actions if name in classes))
        for each in frame.people
    )
    return replace(frame, people=people)


def is_ava(path: Path) -> bool:
    """Whether a file has AVA's form: a CSV whose second field is a time, after a header or none."""
    if path.suffix.lower() != ".csv":
        return False
    for row in csv.reader(io.StringIO(read_text(path)[:4096], newline="")):
        if row and row[0].strip() not in ("video_id", "video"):
            try:
                number_of(row[1])
            except (IndexError, ValueError):
                return False
            return len(row) in (2, 7, 8)
        if row and not {"x1", "y1"} <= {name.strip() for name in row} and len(row) != 2:
            return False
    return False


def read_ava_keyframes(path: Path, names: Mapping[str, str] | None = None) -> Keyframes:
    """The annotations of a CSV of AVA's form; lines of one box of a frame are one person.

    Args:
        path: The file; an eighth field is the number of the person.
        names: Names of the classes by their number; others are left out and counted. None takes all.

    Raises:
        InvalidAnnotation: If a line is wrong, a box lies outside of the frame, or no action is named.
    """
    frames: dict[tuple[str, float], dict[BoxOfFrame, list[AvaLine]]] = {}
    unlisted: Counter[str] = Counter()
    void = 0
    for line in ava_lines(path):
        own = frames.setdefault((line.video, line.time_s), {})
        if line.box is None:
            continue
        box = inside(line.box, line.where)
        if box is None:
            void += 1
            continue
        if line.last is not None and line.last != int(line.last):
            raise InvalidAnnotation(
                f"{line.where}: the eighth field of an annotation is the number of the person; got "
                f"{line.last:g}. Are these results?"
            )
        own.setdefault(box, [])
        if line.action is not None and names is not None and line.action not in names:
            unlisted[line.action] += 1
        else:
            own[box].append(line)
    found = []
    for (video, time_s), boxes in frames.items():
        people = tuple(_person(box, lines, names) for box, lines in boxes.items())
        found.append(Keyframe(video, time_s, people))
    actions = {line.action for boxes in frames.values() for lines in boxes.values() for line in lines}
    known = sorted(int(each) for each in actions if each is not None)
    if not known:
        raise InvalidAnnotation(
            f"{path}: no action is among those of the label map; its numbers are "
            f"{', '.join(sorted(unlisted, key=int)[:10]) or 'none'}. Name the label map of this file."
        )
    numbers = {(names or {}).get(str(number), str(number)): number for number in known}
    notes = []
    if unlisted:
        notes.append(
            f"{path}: {unlisted.total()} lines of {len(unlisted)} actions that the label map does not name "
            f"are left out ({', '.join(sorted(unlisted, key=int)[:10])})"
        )
    if void:
        notes.append(f"{path}: {void} boxes without an area are left out")
    return Keyframes(tuple(found), numbers, notes=tuple(notes))


def _person(box: BoxOfFrame, lines: Sequence[AvaLine], names: Mapping[str, str] | None) -> KeyPerson:
    actions = dict.fromkeys(line.action for line in lines if line.action is not None)
    numbers = [line.last for line in lines if line.last is not None]
    named = tuple((names or {}).get(number, number) for number in actions)
    return KeyPerson(box, named, int(numbers[0]) if numbers else None)


def _read_tracks(
    path: Path, recordings: Recordings, tracks: Path | None, classes: Sequence[str], every_s: int
) -> Keyframes:
    labels = read_action_table(path) if _is_table(path) else read_timed_files([path], recordings)
    frames: list[Keyframe] = []
    notes = list(labels.notes)
    left_out: Counter[str] = Counter()
    for video in labels.videos:
        clock = recordings.clock(video, path)
        boxes = labels.tracks.get(video, ())
        if not boxes and tracks is not None:
            boxes = tracks_of(video, tracks, clock.fps)
        if not boxes:
            notes.append(f"{path}: {video} has no tracks and is left out")
            continue
        own = [each for each in labels.labels if each.video == video]
        found, why = keyframes_of_tracks(video, boxes, own, clock, every_s=every_s, classes=classes)
        frames += found
        left_out += why
    if not frames:
        raise InvalidAnnotation(
            f"{path} holds no tracks of people; export boxes that are followed over frames, or name the "
            "folder of the tracks."
        )
    notes += [f"{path}: {count} boxes {why} and are left out" for why, count in left_out.items()]
    return Keyframes(tuple(frames), {}, labels.subsets, tuple(notes))


def _is_table(path: Path) -> bool:
    if path.suffix.lower() != ".csv":
        return False
    header = read_text(path).lstrip().partition("\n")[0]
    return "person" in [name.strip() for name in header.split(",")]


def read_action_table(path: Path) -> TimedLabels:
    """A CSV with the columns `path` (or `video`), `label`, `start`, `end`, `person`, and perhaps `split`.

    Raises:
        InvalidAnnotation: If a column is missing or a row is wrong; its line is named.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    header = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in ("label", "start", "end", "person") if name not in header]
    if missing or not {"path", "video"} & set(header):
        raise InvalidAnnotation(
            f"{path} says not what people do: it needs the columns path, label, start, end and person; its "
            f"columns are {', '.join(map(brief, header[:12]))}."
        )
    labels: list[TimedLabel] = []
    subsets: dict[str, str] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        video = video_name((row.get("path") or row.get("video") or "").strip())
        try:
            span = number_of(row["start"]), number_of(row["end"])
            tier = track_tier(int(row["person"]))
            labels.append(TimedLabel(video, row["label"].strip(), *span, tier))
        except (TypeError, ValueError):
            raise InvalidAnnotation(
                f"{where}: start and end are numbers of seconds and person a whole number; got "
                f"{brief([row[name] for name in ('start', 'end', 'person')])}."
            ) from None
        except InvalidAnnotation as error:
            raise InvalidAnnotation(f"{where}: {error}") from None
        if row.get("split"):
            subsets[video] = row["split"]
    return TimedLabels(tuple(labels), TimedLabels.of(labels).videos, subsets=subsets)


def tracks_of(video: str, place: Path, fps: float) -> tuple[Track, ...]:
    """The tracks of a video in a folder of tracks.

    Raises:
        InvalidAnnotation: If there is no file of it, or something in it is wrong.
    """
    known = [place / f"{video}.txt", place / f"{video}.json", place / video]
    found = next((each for each in known if each.exists()), None)
    if found is None:
        names = ", ".join(each.name for each in known)
        raise InvalidAnnotation(f"There are no tracks of {video} in {place}: none of {names}.")
    return read_track_file(found, fps)


def write_keyframes(keyframes: Keyframes, path: Path) -> None:
    """Annotations as a CSV of AVA's form: a line for each action of each person, with the person's number.

    Frames in which nobody does anything are lines of video and time alone.

    Raises:
        InvalidAnnotation: If times are no whole seconds, as files of this form name them.
    """
    lines = []
    for frame in keyframes.frames:
        if frame.time_s != int(frame.time_s):
            raise InvalidAnnotation(
                f"Files of AVA's form name whole seconds; got {frame.time_s:g} s of {brief(frame.video)}."
            )
        head = f"{csv_field(frame.video)},{int(frame.time_s):04d}"
        own = [
            f"{head},{corners(each.box)},{keyframes.numbers[name]}"
            + ("" if each.person is None else f",{each.person}")
            for each in frame.people
            for name in each.actions
        ]
        lines += own or [head]
    write_text(path, "\n".join(lines) + "\n")


def corners(box: Sequence[float]) -> str:
    """The corners of a box as files of AVA's form write them."""
    return ",".join(f"{each:.4f}" for each in box)


def csv_field(text: str) -> str:
    """A text as a field of a CSV."""
    return f'"{text.replace(chr(34), 2 * chr(34))}"' if set(text) & set(',"\n') else text


def write_label_map(numbers: Mapping[str, int], path: Path) -> None:
    """A label map (`.pbtxt`) of classes by name."""
    items = []
    for name, number in sorted(numbers.items(), key=lambda item: item[1]):
        quote = "'" if '"' in name else '"'
        items.append(f"item {{\n  name: {quote}{name}{quote}\n  id: {number}\n}}\n")
    write_text(path, "".join(items))
