"""`kinesphere check`: look at data before training on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import check_file, console, end, print_json, progress, say, tinted
from kinesphere.apps.cli.options import (
    Data,
    ExtractsFolder,
    GroupColumn,
    ImagesFps,
    Json,
    LabelColumn,
    SplitColumn,
    Unlabelled,
)
from kinesphere.apps.cli.window_options import (
    Background,
    Last,
    LeastOverlap,
    OverlapOf,
    Several,
    Stride,
    Videos,
    Window,
)

if TYPE_CHECKING:
    from kinesphere.clips import ClipSpec
    from kinesphere.clips.sidecar import Extracts
    from kinesphere.data import Manifest, Preflight
    from kinesphere.data.preflight_poses import PoseSummary
    from kinesphere.data.timed_recordings import Cut
    from kinesphere.data.windows import WindowRule
    from kinesphere.models.provenance import Provenance

SHOWN = 10
IMAGES = (".png", ".jpg", ".jpeg")
CheckedFor = Annotated[
    str,
    typer.Option(
        help="Model that the clips are checked for: a name, NAME.TAG for public weights; or a run "
        "folder or a model file, whose files of poses and flow they are compared with, too."
    ),
]
NearDuplicates = Annotated[
    bool,
    typer.Option(help="Look for videos that were encoded anew, resized or cut out of another; reads all."),
]
Preview = Annotated[Path | None, typer.Option(help="Draw what training sees of some clips: a PNG.")]


def check(
    data: Data,
    model: CheckedFor = "auto",
    sampling: Annotated[str | None, typer.Option(help="Sampling in place of the model's: 16x4x1.")] = None,
    tier: Annotated[
        str | None, typer.Option(help="Tier of timed labels that holds the classes; default: the only one.")
    ] = None,
    window: Window = 10.0,
    stride: Stride = 5.0,
    least_overlap: LeastOverlap = 0.5,
    overlap_of: OverlapOf = "window",
    several: Several = "largest",
    last: Last = "end",
    background: Background = None,
    videos: Videos = None,
    label_column: LabelColumn = "label",
    group_column: GroupColumn = "group",
    split_column: SplitColumn = "split",
    unlabelled: Unlabelled = "refuse",
    fps: ImagesFps = None,
    preview: Preview = None,
    extracts: ExtractsFolder = None,
    decode_all: Annotated[bool, typer.Option(help="Decode every frame instead of three per file.")] = False,
    near_duplicates: NearDuplicates = False,
    as_json: Json = False,
) -> None:
    """Look at data before training on it.

    Unreadable files, wrong rows, files that are not used, labels, duplicates, groups across splits, spans
    that contradict each other, clips longer than videos, crops that leave people out; poses, where there are
    some or the model sees them. Recordings with timed labels are looked at as the windows of training.
    """
    from kinesphere.clips.sidecar import Extracts
    from kinesphere.data.windows import WindowRule

    check_file("--preview", preview, IMAGES)
    rule = WindowRule(window, stride, least_overlap, background, overlap_of, several, last)
    cut = _cut(data, rule, tier, videos)
    manifest = cut.manifest if cut is not None else _listed(
        data, label_column, group_column, split_column, unlabelled
    )  # fmt: skip
    manifest = manifest if fps is None else manifest.with_fps(fps)
    specs, origin = _sampled_inputs(model, manifest, sampling)
    place = Extracts(extracts, manifest.root)
    found = _examined(manifest, specs, origin, place, decode_all, hidden=as_json)
    found = _with_cutting(_with_pretraining(found, origin, manifest), cut)
    found = _with_copies(found, manifest, hidden=as_json) if near_duplicates else found
    passed_over = _draw(manifest, specs, place, preview) if preview is not None else 0
    if as_json:
        print_json(found.to_json() | ({} if cut is None else {"windows": cut.counted()}))
    else:
        for sentence in () if cut is None else cut.counted():
            console().print(f"{sentence[0].upper()}{sentence[1:]}.", soft_wrap=True)
        _print(found, manifest.root)
        _say_drawn(preview, passed_over)
    end(len(found.unreadable) + found.lacking + found.has_errors)


def _cut(data: Path, rule: WindowRule, tier: str | None, videos: Path | None) -> Cut | None:
    """Recordings with timed labels cut into windows; None for a manifest or a folder of classes."""
    from kinesphere.data.timed_recordings import Cutting, cut_recordings, is_timed
    from kinesphere.data.windows import LABEL_COLUMN, WindowRule

    if is_timed(data) or tier is not None or videos is not None or rule != WindowRule():
        return cut_recordings([data], Cutting(rule, {LABEL_COLUMN: tier}, videos=videos))
    return None


def _listed(
    data: Path, label: str, group: str, split: str, unlabelled: Literal["refuse", "skip"]
) -> Manifest:
    """A manifest or a folder of classes, by the names of its columns; wrong rows are all listed."""
    from kinesphere.data import Manifest

    return Manifest.read(
        data, label_column=label, group_column=group, split_column=split, unlabelled=unlabelled,
        wrong_rows="skip",
    )  # fmt: skip


def _examined(
    manifest: Manifest,
    specs: tuple[ClipSpec, ...],
    origin: Provenance,
    place: Extracts,
    decode_all: bool,
    hidden: bool,
) -> Preflight:
    from kinesphere.data import check as examine

    with progress("Reading files", "files", hidden=hidden) as advance:
        return examine(
            manifest, specs, preparation=origin.preparation, extracts=place, decode_all=decode_all,
            progress=advance,
        )  # fmt: skip


def _with_pretraining(found: Preflight, origin: Provenance, manifest: Manifest) -> Preflight:
    """The findings, with what is known of test clips among those that the model's weights learnt from."""
    from kinesphere.data.faults import Problem
    from kinesphere.evaluate.pretraining import pretraining_notes

    notes = pretraining_notes((origin,), manifest.labels)
    more = tuple(Problem("warning", "pre-training", note) for note in notes)
    return replace(found, problems=(*found.problems, *more))


def _with_copies(found: Preflight, manifest: Manifest, hidden: bool) -> Preflight:
    """The findings, with videos that show the same although their bytes differ."""
    from kinesphere.core.device import cpu_count
    from kinesphere.data.near_duplicates import find_near_duplicates, near_duplicate_problems

    with progress("Comparing movements", "files", hidden=hidden) as advance:
        pairs = find_near_duplicates(
            list(dict.fromkeys(manifest.table.paths)), workers=cpu_count(), progress=advance
        )
    more = near_duplicate_problems(manifest, pairs)
    return replace(found, problems=(*found.problems, *more))


def _with_cutting(found: Preflight, cut: Cut | None) -> Preflight:
    """The findings, with what is to be known of the files of timed labels."""
    from kinesphere.data.faults import Problem

    if cut is None:
        return found
    more = tuple(Problem("warning", "annotations", f"{note}.") for note in cut.notes)
    return replace(found, problems=(*found.problems, *more))


def _sampled_inputs(
    model: str, manifest: Manifest, sampling: str | None
) -> tuple[tuple[ClipSpec, ...], Provenance]:
    """What a model takes, perhaps in another sampling, and what is known of its weights."""
    from kinesphere.clips import Sampling

    specs, origin = _inputs(model, manifest)
    if sampling is not None:
        specs = tuple(spec.with_(sampling=Sampling.parse(sampling)) for spec in specs)
    return specs, origin


def _inputs(model: str, manifest: Manifest) -> tuple[tuple[ClipSpec, ...], Provenance]:
    """What a model takes, and what is known of its weights: how files were made that it learnt from.

    `auto` is what training would take for these data.

    Raises:
        UnknownName: If there is no such model, or it has no such weights.
        MissingWeights: If there is no such file, or the folder holds no model.
        InvalidCheckpoint: If the file is no model file of ours.
    """
    from kinesphere.models import card
    from kinesphere.models.checkpoint import is_path, model_file, read_provenance, read_specs
    from kinesphere.models.provenance import Provenance
    from kinesphere.models.registry import MODELS
    from kinesphere.train.resolve import default_model

    if is_path(model, registered=model == "auto" or model.partition(".")[0] in MODELS):
        file = model_file(model)
        return read_specs(file), read_provenance(file)
    if model != "auto":
        stem, _, tag = model.partition(".")
        known = card(stem)
        if not tag:
            return known.inputs, Provenance("initialised")
        entry = known.published(tag)
        inputs = known.inputs if entry.spec is None else (entry.spec,)
        return inputs, Provenance("public weights", trained_on=entry.trained_on)
    name, arguments = default_model(manifest)
    return MODELS.get(name).specs(arguments), Provenance("initialised")


def _draw(manifest: Manifest, specs: tuple[ClipSpec, ...], extracts: Extracts, path: Path) -> int:
    """Draw some clips without flips, which labels may forbid; how many samples could not be read."""
    from kinesphere.clips.augment.settings import Augment
    from kinesphere.data import ClipDataset, Opening
    from kinesphere.data.preview import preview

    dataset = ClipDataset(manifest, specs, train=True, augment=Augment(flip=0.0), opening=Opening(extracts))
    return len(preview(dataset, path))


def _say_drawn(preview: Path | None, passed_over: int) -> None:
    if preview is not None:
        over = f" ({passed_over} unreadable ones passed over)" if passed_over else ""
        console().print(f"What training sees of some clips: {preview}{over}", soft_wrap=True)


def _print(found: Preflight, root: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    screen = console()
    screen.print(f"{found.clips} clips in {found.files} files")  # a title would be folded to a narrow table
    table = Table("class", "clips", *found.splits)
    for name, count in sorted(found.classes.items(), key=lambda item: -item[1]):
        table.add_row(Text(name), str(count), *(str(part.get(name, 0)) for part in found.splits.values()))
    screen.print(table)
    lengths = [("files", found.durations_s)]
    if found.labelled_share is not None:
        lengths.insert(0, ("spans", found.clip_durations_s))
    for title, spread in lengths:
        if spread is not None:
            middle = f"{spread.least:.2f} – {spread.most:.2f} s, median {spread.median:.2f} s"
            screen.print(f"{title:<12}{middle}, {spread.total / 60:.1f} min in all")
    if found.labelled_share is not None:
        screen.print(f"labelled    {found.labelled_share:.0%} of the time")
    for title, counts in (
        ("frame rates", found.frame_rates),
        ("sizes", found.sizes),
        ("codecs", found.codecs),
    ):
        if not counts:
            continue
        most = list(counts.items())[:5]
        more = f", and {len(counts) - 5} more" if len(counts) > 5 else ""
        screen.print(f"{title:<12}{', '.join(f'{name} ({count})' for name, count in most)}{more}")
    screen.print(f"groups      {found.groups}")
    for sentence in found.groupings:
        screen.print(f"            {sentence}", soft_wrap=True)
    if found.poses is not None:
        screen.print(f"poses       {_said_of(found.poses, found.clips)}", soft_wrap=True)
    why = _reasons(found, root)
    for problem in found.problems:
        colour = "red" if problem.severity == "error" else "yellow"
        say(problem.severity, colour, problem.message)
        for place in problem.where[:SHOWN]:
            reason = why.get((problem.kind, place))
            screen.print(f"    {place}" + (f": {reason}" if reason else ""), soft_wrap=True)
        if len(problem.where) > SHOWN:
            screen.print(f"    … and {len(problem.where) - SHOWN} more (see --json)")
    if not found.problems:
        screen.print(tinted(("No problems found.", "green")))


def _reasons(found: Preflight, root: Path) -> dict[tuple[str, str], str]:
    """Why files cannot be read, wholly or in part, by kind of problem and place, without their path again."""
    from kinesphere.data.manifest import shown_path

    reasons = [("unreadable", each.path, each.reason) for each in found.unreadable]
    reasons += [("damaged", each.path, each.reason) for each in found.damaged]
    return {
        (kind, shown_path(Path(path), root)): reason.removeprefix(path).lstrip(": ")
        for kind, path, reason in reasons
    }


def _said_of(poses: PoseSummary, clips: int) -> str:
    """One line about the poses of a data set."""
    if poses.seen_share is None:
        return f"of none of {clips} clips"
    skeletons = ", ".join(f"{name} ({count})" for name, count in poses.skeletons.items())
    people = ", ".join(f"{number} ({count})" for number, count in poses.people.items())
    return (
        f"of {poses.samples} of {clips} clips: {skeletons}; most people at a time: {people}; somebody is "
        f"seen in {poses.seen_share:.0%} of the poses, nobody at all in {len(poses.nobody)} clips"
    )
