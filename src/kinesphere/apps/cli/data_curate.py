"""`kinesphere data split|merge|balance`: manifests in, one manifest out, counts before and after."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.class_counts import TABLES, by_split, listed, pairs, print_counts
from kinesphere.apps.cli.console import check_file, console, end, print_json, print_left_out, say
from kinesphere.apps.cli.options import Data, GroupColumn, Json, LabelColumn, SplitColumn, Unlabelled
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.data.manifest import Manifest

Out = Annotated[Path, typer.Option(help="Manifest to write: .csv or .parquet.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of what is drawn.")]


def split(
    data: Data,
    out: Out,
    fractions: Annotated[
        str | None,
        typer.Option(
            help="Fraction of each split; default: train=0.7,val=0.1,test=0.2 where no groups are named."
        ),
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="Groups (performers) that test: NAME,NAME,… or @FILE.")
    ] = None,
    val: Annotated[str | None, typer.Option(help="Groups that validate, in the same form.")] = None,
    seed: Seed = 0,
    label_column: LabelColumn = "label",
    group_column: GroupColumn = "group",
    unlabelled: Annotated[
        Literal["keep", "refuse", "skip"],
        typer.Option(
            help="Rows without a label in the label column: they go with their group (another column may "
            "have their label), are an error, or are left out of the new manifest."
        ),
    ] = "keep",
    as_json: Json = False,
) -> None:
    """Divide a manifest into splits, by fractions or by groups named; no group is ever divided.

    Fractions keep the proportions of classes as far as whole groups allow. Files with the same content count
    as one group.
    """
    from kinesphere.data.content import contents_of
    from kinesphere.data.faults import copies_together, same_content
    from kinesphere.data.split import by_groups, holdout

    check_file("--out", out, TABLES)
    manifest = _read(data, label_column, group_column, unlabelled)
    copies = same_content(contents_of(sample.path for sample in manifest))
    whole = copies_together(manifest, copies)
    named = {"test": listed(test), "val": listed(val)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if test or val:
            if fractions is not None:
                raise InvalidSetting("Give --fractions, or the groups of --test and --val, not both.")
            marked = by_groups(whole, {name: groups for name, groups in named.items() if groups})
        else:
            marked = holdout(whole, _fractions(fractions or "train=0.7,val=0.1,test=0.2"), seed)
    notes = [str(each.message) for each in caught]
    notes += [grouping.sentence() for grouping in manifest.groupings]
    if copies:
        notes.append(f"{len(copies)} sets of files with the same content stay together")
    if manifest.splits:
        notes.append(f"the splits {', '.join(manifest.splits)} of before are replaced")
    if without := sum(not sample.labels for sample in manifest):
        notes.append(f"{without} rows have no label in the column {label_column!r} and go with their group")
    marked.write(out, label_column=label_column)
    _end_split(marked, out, notes, as_json)


def _read(data: Path, label: str, group: str, unlabelled: Literal["keep", "refuse", "skip"]) -> Manifest:
    """The manifest; rows that may go without a label make it one of several labels, of which none is one."""
    from kinesphere.core.labels import LabelSet
    from kinesphere.data.manifest import Manifest

    if unlabelled != "keep":
        return Manifest.read(data, label_column=label, group_column=group, unlabelled=unlabelled)
    labelled = Manifest.read(data, label_column=label, group_column=group, unlabelled="skip")
    several = LabelSet(labelled.labels.names, multi=True)
    whole = Manifest.read(data, label_column=label, group_column=group, labels=several)
    return whole if len(whole) > len(labelled) else labelled


def _end_split(marked: Manifest, out: Path, notes: list[str], as_json: bool) -> None:
    groups = {name: len(marked.where(split=name).groups) for name in marked.splits}
    if as_json:
        print_json({
            "out": str(out), "samples": len(marked), "before": marked.counts(), "after": by_split(marked),
            "groups": groups, "notes": notes,
        })  # fmt: skip
        return
    print_counts("Samples per class", {"before": marked.counts(), **by_split(marked)})
    shown = ", ".join(f"{count} in {name}" for name, count in groups.items())
    console().print(f"Groups: {shown}. Written: {out}", soft_wrap=True)
    for note in notes:
        say("note", "yellow", note)


def _fractions(text: str) -> dict[str, float]:
    found = {}
    for name, value in pairs("--fractions", text.split(","), "NAME=NUMBER").items():
        try:
            found[name] = float(value)
        except ValueError:
            raise InvalidSetting(f"--fractions takes NAME=NUMBER; got {name}={value}.") from None
    return found


def merge(
    data: Annotated[list[Path], typer.Argument(help="Two manifests, or folders of class folders, or more.")],
    out: Out,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            help="OLD=NEW, several times; MANIFEST:OLD=NEW for one manifest, by its name without suffix."
        ),
    ] = None,
    conflict: Annotated[
        Literal["refuse", "first"],
        typer.Option(help="Clips whose labels differ between manifests: an error, or the first one counts."),
    ] = "refuse",
    label_column: LabelColumn = "label",
    group_column: GroupColumn = "group",
    split_column: SplitColumn = "split",
    unlabelled: Unlabelled = "refuse",
    as_json: Json = False,
) -> None:
    """Merge manifests: labels renamed, each clip once, contradictions told.

    The column `source` says where a sample came from. Files, copies of files and groups that lie in several
    splits of the result are listed, and the exit code is 1.
    """
    from kinesphere.data.manifest import Manifest
    from kinesphere.data.merging import merge as merge_all

    check_file("--out", out, TABLES)
    manifests: dict[str, Manifest] = {}
    for path in data:
        name = path.stem if path.stem not in manifests else f"{path.parent.name}/{path.stem}"
        if name in manifests:
            raise InvalidSetting(f"{path} is named twice, or as another manifest is; rename one.")
        manifests[name] = Manifest.read(
            path, label_column=label_column, group_column=group_column, split_column=split_column,
            unlabelled=unlabelled,
        )  # fmt: skip
    merged = merge_all(manifests, pairs("--rename", rename or []), conflict=conflict)
    merged.manifest.write(out, label_column=label_column)
    if as_json:
        print_json({
            "out": str(out), "samples": len(merged.manifest), "before": merged.before,
            "after": merged.manifest.counts(), "splits": by_split(merged.manifest),
            "repeated": [each.to_json() for each in merged.repeated],
            "conflicts": [each.to_json() for each in merged.conflicts], "notes": list(merged.notes),
        })  # fmt: skip
    else:
        print_counts("Samples per class", {**merged.before, "merged": merged.manifest.counts()})
        console().print(
            f"{len(merged.manifest)} samples: {out}. {len(merged.repeated)} clips are in several manifests "
            "and kept once.",
            soft_wrap=True,
        )
        for note in merged.notes:
            say("note", "yellow", note)
        for each in merged.conflicts:
            say("conflict", "red", f"{each.path}: {each.reason}")
    end(len(merged.conflicts))


def balance(
    data: Data,
    out: Out,
    cap: Annotated[
        int | None, typer.Option(min=1, help="Most samples of a class; more are left out.")
    ] = None,
    oversample: Annotated[
        int | None, typer.Option(min=1, help="Least samples of a class; fewer are listed several times.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to balance; without splits, everything is.")] = "train",
    seed: Seed = 0,
    label_column: LabelColumn = "label",
    group_column: GroupColumn = "group",
    split_column: SplitColumn = "split",
    unlabelled: Unlabelled = "refuse",
    as_json: Json = False,
) -> None:
    """Balance the classes of a manifest: frequent ones capped, scarce ones listed several times.

    Only what is learnt from is balanced; other splits stay as they are. `data.balance` and the losses for
    long tails do so in training, without another list.
    """
    from kinesphere.core.skipped import Skipped
    from kinesphere.data.balancing import balance as balance_classes
    from kinesphere.data.manifest import Manifest

    check_file("--out", out, TABLES)
    manifest = Manifest.read(
        data, label_column=label_column, group_column=group_column, split_column=split_column,
        unlabelled=unlabelled,
    )  # fmt: skip
    found = balance_classes(manifest, cap=cap, oversample=oversample, split=split, seed=seed)
    found.manifest.write(out, label_column=label_column)
    kept = {sample.id for sample in found.manifest}
    left_out = [
        Skipped(sample.id, f"more than {cap} samples of {sample.labels[0]!r}", is_failure=False)
        for sample in manifest
        if sample.id not in kept
    ]
    repeated = len(found.manifest) - len(manifest) + len(left_out)
    if as_json:
        print_json({
            "out": str(out), "samples": len(found.manifest), "before": found.before, "after": found.after,
            "untouched": found.untouched, "repeated": repeated,
            "left_out": [each.to_json() for each in left_out],
        })  # fmt: skip
        return
    print_counts("Samples per class", {"before": found.before, "after": found.after})
    console().print(
        f"{len(found.manifest)} rows: {out}. {repeated} repetitions; {found.untouched} samples of other "
        "splits stay as they are.",
        soft_wrap=True,
    )
    print_left_out(left_out)
