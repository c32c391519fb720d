"""The laboratory on disk: tables, joints of every clip, videos of some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kinesphere.clips.modalities.pose.file import SUFFIX, write_poses
from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic.body.body import Array, Placement
from kinesphere.synthetic.clips import film
from kinesphere.synthetic.dataset import Progress, claim, is_finished, run_jobs, write_table, write_video
from kinesphere.synthetic.laboratory.element_rules import rules_met
from kinesphere.synthetic.laboratory.elements import ELEMENTS, Footage, plan_footage
from kinesphere.synthetic.laboratory.plan import LabClip, plan_laboratory, tendency
from kinesphere.synthetic.laboratory.rules import RULES
from kinesphere.synthetic.laboratory.scale import BASE_CLIPS, DIMENSIONS, dimension
from kinesphere.synthetic.laboratory.twins import TWINS, plan_twins
from kinesphere.synthetic.poses import seen
from kinesphere.synthetic.render.render import Figure
from kinesphere.synthetic.settings import MannequinSettings

LABORATORY = MannequinSettings(
    classes=tuple(BASE_CLIPS), splits=(0.6, 0.1, 0.3), size=(96, 128), fps=15, duration_s=(2.4, 3.0),
    performers=36, scenes=40, truth=False,
)  # fmt: skip
"""Settings of the laboratory; `clips_per_class` and `imbalance` do not apply."""
RGB = 8
"""Of this many clips of a class one is filmed."""
FOOTAGE_RGB = 2
"""The same of the footage: what is asked of it is asked of whole recordings, of which there are few."""

COLUMNS: tuple[str, ...] = (
    "path", "label", "group", "split", "id", "performer", "scene", "view", "duration",
)  # fmt: skip
EVALUATION_COLUMNS: tuple[str, ...] = (*COLUMNS, "parent", "dimension", "level", "grade", "measured")
FOOTAGE_COLUMNS: tuple[str, ...] = (
    "path", "label", "group", "id", "performer", "element", "kinesphere", "expected", "rules", "met",
)  # fmt: skip
PROFILE_COLUMNS: tuple[str, ...] = ("performer", "split", "dimension", "tendency", "clips", "grade")

_MEASURED_HZ = 60.0
_FOOTAGE, _FOOTAGE_S = 12, 18.0  # recordings of each element, and their length
Row = dict[str, str]


@dataclass(frozen=True)
class _Made:
    """What was told of a clip by its joints: a number of its dimension, or rules that it meets."""

    id: str
    measured: str


def generate_laboratory(
    settings: MannequinSettings,
    folder: str | Path,
    *,
    scale: float = 1.0,
    joints_only: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the movement-analysis laboratory.

    `folder` gets `base.csv` (nine base movements), `eval.csv` (their evaluations in twelve dimensions, with
    the columns `parent`, `dimension`, `level`, `grade` and `measured`), `together.csv` (two movements at
    once, labels joined by `|`), `footage.csv` (unlabelled recordings of four elements, and the rules that
    their joints meet) and `profiles.csv` (how each performer stands in each dimension), over
    `poses/<id>.pose.npz`. `base_performers.csv` and `base_cameras.csv` hold the base clips that test once
    more, with the same ids: by performers of training, and from other sides. An eighth of the clips is
    filmed as well: `base_rgb.csv` and so on over `videos/<id>.mp4`, with `base_scenes_rgb.csv` in scenes of
    training; of the footage every second recording. Performers are the groups, and no two splits share one.

    Finished files are kept, so an interrupted run continues where it stopped; the bytes depend neither on
    interruptions nor on the number of workers.

    Args:
        settings: Base movements (`classes`), image, rate, lengths, performers, scenes, cameras and splits, as
            in `LABORATORY`.
        folder: Where; created if missing.
        scale: Factor of the numbers of clips; each class keeps one in every split at least.
        joints_only: Whether to write no videos.
        workers: Processes; by default one per core.
        progress: Called after each clip.

    Returns:
        Path of `base.csv`.

    Raises:
        InvalidSetting: If a class is no base movement, `scale` is not positive, `workers` is below 1, or the
            folder holds another set.
    """
    _check(settings, scale)
    root, rgb = Path(folder), 0 if joints_only else RGB
    claim(root, "laboratory", settings, scale=scale, joints_only=str(joints_only))
    clips = plan_laboratory(settings, scale, rgb)
    twins = plan_twins(clips, settings)
    every = 0 if joints_only else FOOTAGE_RGB
    footage = plan_footage(settings, max(1, round(_FOOTAGE * scale)), _FOOTAGE_S, every)
    job = partial(_write_clip, settings=settings, root=root)
    shots: list[LabClip | Footage] = [*clips, *twins, *footage]
    measured = {made.id: made.measured for made in run_jobs(job, shots, workers, progress)}
    for name in ("base", "eval", "together", *TWINS):
        own = [clip for clip in (*clips, *twins) if clip.table == name]
        if own:
            _write_clips(root, name, own, measured)
    _write_footage(root, footage, measured)
    write_table(root / "profiles.csv", PROFILE_COLUMNS, _profiles(clips, settings))
    return root / "base.csv"


def _check(settings: MannequinSettings, scale: float) -> None:
    if not 0 < scale <= 100:
        raise InvalidSetting(f"The scale of a laboratory lies above 0 and is at most 100; got {scale:g}.")
    foreign = [name for name in settings.classes if name not in BASE_CLIPS]
    if foreign:
        raise InvalidSetting(
            f"A laboratory has the base movements {', '.join(sorted(BASE_CLIPS))}; got {', '.join(foreign)}."
        )


def placed_at(figure: Figure, duration_s: float, fps: float) -> tuple[Placement, Array]:
    """Joints of a figure from the start of its clip, and their times."""
    times = np.arange(round(duration_s * fps)) / fps
    return figure.placed(times)[0], times


def _write_clip(shot: LabClip | Footage, settings: MannequinSettings, root: Path) -> _Made:
    """Write what is not there of a clip; measure its joints."""
    figure = shot.figure(settings)
    generator = np.random.default_rng((*shot.entropy, 2))
    path = root / "poses" / f"{shot.id}{SUFFIX}"
    posed = shot.posed if isinstance(shot, LabClip) else True
    if posed and not path.exists():
        placed, times = placed_at(figure, shot.duration_s, settings.fps)
        azimuth = shot.azimuth_deg
        poses = seen(placed, figure.performer, times, settings.fps, settings, generator, azimuth_deg=azimuth)
        write_poses(poses, path)
    if shot.filmed and not is_finished(shot.id, settings, root):
        filming = np.random.default_rng((*shot.entropy, 3))
        write_video(film(figure, shot, settings, filming), shot.id, settings, root)
    return _Made(shot.id, _measured(shot, figure))


def _measured(shot: LabClip | Footage, figure: Figure) -> str:
    if isinstance(shot, LabClip) and not shot.dimension:
        return ""
    if isinstance(shot, Footage):
        return "|".join(rules_met(*placed_at(figure, shot.duration_s, _MEASURED_HZ / 2)))
    placed, times = placed_at(figure, shot.duration_s, _MEASURED_HZ)
    return f"{RULES[shot.dimension].measure(placed, times):.4f}"


def _write_clips(root: Path, name: str, clips: Sequence[LabClip], measured: dict[str, str]) -> None:
    """A table over poses where clips have them, and where they are filmed one over videos."""
    columns = EVALUATION_COLUMNS if name == "eval" else COLUMNS
    posed = [_row(clip, f"poses/{clip.id}{SUFFIX}", measured) for clip in clips if clip.posed]
    if posed:
        write_table(root / f"{name}.csv", columns, posed)
    filmed = [_row(clip, f"videos/{clip.id}.mp4", measured) for clip in clips if clip.filmed]
    if filmed:
        write_table(root / f"{name}_rgb.csv", columns, filmed)


def _row(clip: LabClip, path: str, measured: dict[str, str]) -> Row:
    row = {
        "path": path,
        "label": clip.label,
        "group": f"performer{clip.performer:03d}",
        "split": clip.split,
        "id": clip.twin_of or clip.id,
        "performer": f"performer{clip.performer:03d}",
        "scene": f"scene{clip.scene:03d}",
        "view": clip.view,
        "duration": f"{clip.duration_s:.3f}",
    }
    if clip.dimension:
        scale = dimension(clip.dimension)
        row |= {"parent": scale.base, "dimension": scale.name, "level": clip.level}
        row |= {"grade": f"{scale.grade(clip.level):.3f}", "measured": measured[clip.id]}
    return row


def _write_footage(root: Path, footage: Sequence[Footage], measured: dict[str, str]) -> None:
    for name, places in (
        ("footage.csv", {shot: f"poses/{shot.id}{SUFFIX}" for shot in footage}),
        ("footage_rgb.csv", {shot: f"videos/{shot.id}.mp4" for shot in footage if shot.filmed}),
    ):
        if places:
            rows = [_footage_row(shot, path, measured) for shot, path in places.items()]
            write_table(root / name, FOOTAGE_COLUMNS, rows)


def _footage_row(shot: Footage, path: str, measured: dict[str, str]) -> Row:
    element = ELEMENTS[shot.label]
    performer = f"performer{shot.performer:03d}"
    return {
        "path": path,
        "group": performer,
        "id": shot.id,
        "performer": performer,
        "element": element.name,
        "kinesphere": shot.kinesphere,
        "expected": "|".join(element.expected),
        "rules": "|".join(element.acts),
        "met": measured[shot.id],
    }


def _profiles(clips: Iterable[LabClip], settings: MannequinSettings) -> list[Row]:
    """How every performer stands in every dimension: the tendency, and the mean grade of what was done."""
    given: dict[tuple[int, str], list[float]] = defaultdict(list)
    splits: dict[int, str] = {}
    for clip in clips:
        splits.setdefault(clip.performer, clip.split)
        if clip.dimension:
            given[clip.performer, clip.dimension].append(dimension(clip.dimension).grade(clip.level))
    rows = []
    for performer in sorted(splits):
        for each in (each for each in DIMENSIONS if each.base in settings.classes):
            grades = given[performer, each.name]
            rows.append(
                {
                    "performer": f"performer{performer:03d}",
                    "split": splits[performer],
                    "dimension": each.name,
                    "tendency": f"{tendency(settings, performer, each.name):.3f}",
                    "clips": str(len(grades)),
                    "grade": f"{np.mean(grades):.3f}" if grades else "",
                }
            )
    return rows
