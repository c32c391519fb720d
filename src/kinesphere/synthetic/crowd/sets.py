"""Sets of recordings of several people on disk: videos or joints alone, and the truth about them.

Beside `manifest.csv`, one row for each movement of each person, lies

- `facts.csv`: the same movements, and who holds, carries and holds up which thing;
- `events.csv`: what all of it amounts to, where recordings were scripted for that;
- `tracks/<id>/gt/{gt,labels}.txt`: boxes of people and things as MOT text, around all of each, whatever hides
  it, with the fraction that is visible; of videos also `tracks/<id>/visible/gt/...`, around what is seen;
- `truth/videos/<id>.mp4.pose.npz`, the joints in a video, or `poses/<id>.pose.npz` where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.mot import write_tracks
from kinesphere.annotations.timed import Track
from kinesphere.clips.modalities.pose.file import SUFFIX, write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.skeleton import COCO17
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import make_folder, write_text
from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.crowd.script import Occurrence
from kinesphere.synthetic.crowd.take import Filming, Take
from kinesphere.synthetic.crowd.truth import Sight
from kinesphere.synthetic.dataset import Progress, claim, run_jobs, write_manifest, write_table
from kinesphere.synthetic.render.ground_truth import video_file
from kinesphere.synthetic.render.render import mask_boxes
from kinesphere.synthetic.scene.scene import KINDS
from kinesphere.synthetic.settings import MannequinSettings
from kinesphere.video.write import VideoWriter

COLUMNS: tuple[str, ...] = (
    "path", "label", "start", "end", "group", "split", "id", "person", "other", "performer", "scene",
    "scene_kind", "view", "script",
)  # fmt: skip
FACT_COLUMNS: tuple[str, ...] = ("path", "label", "start", "end", "person", "other")
EVENT_COLUMNS: tuple[str, ...] = ("path", "label", "start", "end", "people", "things")

_PX = 32  # boxes are kept to this part of a pixel, as joints are
Planner = Callable[[int], Take]
Rows = list[dict[str, str]]


def write_set(
    root: Path,
    kind: str,
    names: Sequence[str],
    plan: Planner,
    settings: MannequinSettings,
    *,
    joints_only: bool,
    workers: int | None,
    progress: Progress | None,
    **more: float | str,
) -> Path:
    """Write `count` recordings and the tables over them; what is finished is kept.

    Args:
        root: Where; created if missing.
        kind: What sort of set.
        names: What the recordings are called.
        plan: The recording of a number; pickles.
        settings: Image, rate and seed.
        joints_only: Whether to write poses instead of videos.
        workers: Processes; by default one per core.
        progress: Called after each recording.
        more: What else makes this set differ from others.

    Returns:
        Path of the manifest.

    Raises:
        InvalidSetting: If there are no recordings, `workers` is below 1, or the folder holds another set.
    """
    if not names:
        raise InvalidSetting("A set has at least one recording; got count=0.")
    claim(root, kind, settings, count=len(names), joints_only=str(joints_only), **more)
    jobs = list(enumerate(names))
    job = partial(_write_take, plan=plan, settings=settings, root=root, joints_only=joints_only)
    run_jobs(job, jobs, workers, progress)
    tables: dict[str, Rows] = {}
    for name in names:
        for table, rows in json.loads(_notes(name, root).read_text("utf-8")).items():
            tables.setdefault(table, []).extend(rows)
    write_table(root / "facts.csv", FACT_COLUMNS, tables["facts"])
    if "events" in tables:
        write_table(root / "events.csv", EVENT_COLUMNS, tables["events"])
    return write_manifest(root, tables["movements"], COLUMNS)


def _write_take(
    job: tuple[int, str], plan: Planner, settings: MannequinSettings, root: Path, joints_only: bool
) -> None:
    number, name = job
    files = (_place(name, root, joints_only), *_beside(name, root, joints_only), _notes(name, root))
    if all(path.exists() for path in files):
        return
    take = plan(number)
    filming = Filming(take, settings)
    seen = filming.sights()
    if joints_only:
        _write_boxes(_tracks_of(name, root), take, seen.boxes, seen.visible, settings)
        write_poses(_poses(take, filming, seen, seen.boxes), files[0])
    else:
        _write_video(filming, seen, files[0], files[1], root)
    path = files[0].relative_to(root).as_posix()
    write_text(files[-1], json.dumps(_tables(take, path), indent=1) + "\n")


def _write_video(filming: Filming, seen: Sight, video: Path, poses: Path, root: Path) -> None:
    """Draw a video reel by reel; its boxes and joints come with it."""
    take, settings = filming.take, filming.settings
    shooting = filming.shooting()
    whole, shown = np.empty_like(seen.boxes), np.empty_like(seen.boxes)
    make_folder(video.parent)
    # One encoder thread: the stream must not depend on the machine's number of cores.
    with VideoWriter(video, settings.size, settings.fps, quality=settings.crf, threads=1) as writer:
        for reel in shooting.reels():
            part = slice(reel.first, reel.first + len(reel.frames))
            whole[part], shown[part] = reel.extents, mask_boxes(reel.mask)
            for frame in reel.frames:
                writer.write(frame)
    in_sight = shown[..., 2] > shown[..., 0]
    folder = _tracks_of(take.id, root)
    _write_boxes(folder, take, whole, seen.visible, settings)
    _write_boxes(folder / "visible", take, shown, np.where(in_sight, seen.visible, 0.0), settings)
    write_poses(_poses(take, filming, seen, np.where(in_sight[..., None], shown, np.nan)), poses)


def _tables(take: Take, path: str) -> dict[str, Rows]:
    """The rows of the tables that a recording adds."""
    movements = [
        {**_row(take, path, each), "id": f"{take.id}_{i:05d}"} for i, each in enumerate(take.play.movements)
    ]
    facts = [{"path": path, **_timed(each)} for each in take.play.facts]
    if not take.script:
        return {"movements": movements, "facts": facts}
    events = [
        {
            "path": path, "label": each.label, "start": f"{each.start_s:.3f}", "end": f"{each.end_s:.3f}",
            "people": " ".join(map(str, each.people)), "things": " ".join(map(str, each.things)),
        }
        for each in take.events
    ]  # fmt: skip
    return {"movements": movements, "facts": facts, "events": events}


def _tracks_of(name: str, root: Path) -> Path:
    """The folder of the boxes of a recording."""
    return root / "tracks" / name


def _notes(name: str, root: Path) -> Path:
    """What a recording adds to the tables; written last."""
    return _tracks_of(name, root) / "truth.json"


def _place(name: str, root: Path, joints_only: bool) -> Path:
    """The file that the manifest names."""
    return root / "poses" / f"{name}{SUFFIX}" if joints_only else video_file(name, root)


def _beside(name: str, root: Path, joints_only: bool) -> tuple[Path, ...]:
    """What else belongs to a finished recording; poses first, of a video."""
    tracks = _tracks_of(name, root) / "gt" / "gt.txt"
    if joints_only:
        return (tracks,)
    return Extracts(root / "truth", root).place(video_file(name, root), SUFFIX), tracks


def _write_boxes(folder: Path, take: Take, boxes: Array, visible: Array, settings: MannequinSettings) -> None:
    """Boxes (T, M, 4) as tracks, cut at the image's borders; who is not seen at all has none."""
    height, width = settings.size
    cut = np.clip(boxes.astype(np.float64), -0.5, np.array([width, height, width, height]) - 0.5)
    there = ((cut[..., 2:] - cut[..., :2]) > 0.5).all(axis=-1) & (visible > 0)
    people = len(take.play.figures)
    tracks, fractions = [], []
    for number in range(boxes.shape[1]):
        frames = np.flatnonzero(there[:, number])
        if not len(frames):
            continue
        label = "person" if number < people else take.play.things[number - people].kind
        own = np.round(cut[frames, number] * _PX) / _PX
        tracks.append(Track(number + 1, frames + 1, own, np.ones(len(frames)), label))
        fractions.append(np.round(visible[frames, number], 2))
    write_tracks(folder, tracks, visible=fractions)


def _poses(take: Take, filming: Filming, seen: Sight, boxes: Array) -> Poses:
    """Joints of all people in pixels and in the world; those outside the image are not seen."""
    people = len(take.play.figures)
    hidden = ~np.any(seen.joints2d[..., 2], axis=-1)
    return Poses(
        times=filming.times,
        keypoints=seen.joints2d[..., :2],
        scores=seen.joints2d[..., 2],
        tracks=np.arange(1, people + 1),
        skeleton=COCO17.name,
        frame_size=filming.settings.size,
        boxes=np.where(hidden[..., None], np.nan, boxes[:, :people]).astype(np.float32),
        world=seen.joints3d,
        fps=float(filming.settings.fps),
        origin="the mannequin",
    )


def _row(take: Take, path: str, each: Occurrence) -> dict[str, str]:
    return {
        "path": path,
        **_timed(each),
        "group": take.id,
        "split": take.split,
        "performer": f"performer{take.performers[each.person - 1]:03d}",
        "scene": f"scene{take.scene:03d}",
        "scene_kind": KINDS[take.scene % len(KINDS)],
        "view": take.view,
        "script": take.script,
    }


def _timed(each: Occurrence) -> dict[str, str]:
    return {
        "label": each.label,
        "start": f"{each.start_s:.3f}",
        "end": f"{each.end_s:.3f}",
        "person": str(each.person),
        "other": "" if each.other is None else str(each.other),
    }
