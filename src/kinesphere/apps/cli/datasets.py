"""`kinesphere datasets`: all data sets, one card, or what of a set is there; and lists for other verbs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from kinesphere.apps.cli.console import check_file, console, end, print_json, progress, say, tinted
from kinesphere.apps.cli.options import Json
from kinesphere.core.text import enumerated

if TYPE_CHECKING:
    from kinesphere.data.catalogue import Content, DatasetCard
    from kinesphere.data.inventory import Inventory

SHOWN = 10
TABLES = (".csv", ".parquet")


def datasets(
    name: Annotated[str | None, typer.Argument(help="Show one data set's card.", show_default=False)] = None,
    root: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of its videos and official lists: say what of the set is there.", show_default=False
        ),
    ] = None,
    lists: Annotated[
        list[Path] | None,
        typer.Option(help="Folder or file of official lists that lie elsewhere.", show_default=False),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="Protocol whose parts become the split; default: the first of the card."),
    ] = None,
    probe: Annotated[
        bool, typer.Option(help="Open every video: which cannot be read, which are shorter than their clips?")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the clips that are there as a manifest (CSV, Parquet) for check and train."),
    ] = None,
    urls: Annotated[
        Path | None,
        typer.Option(help="Write URL, start and end of every missing clip as a CSV for a downloader."),
    ] = None,
    timed: Annotated[
        Path | None,
        typer.Option(
            help="Write what happens when in the videos that are there, with their subsets, as ActivityNet "
            "JSON for data windows and task: localise."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the data sets that can be read, show the card of one, or say what of it a folder holds."""
    from kinesphere.core.errors import InvalidSetting
    from kinesphere.data.catalogue import DATASETS

    if root is None:
        if lists or protocol or probe or any(path is not None for path in (out, urls, timed)):
            raise InvalidSetting("Give the folder of the data set: kinesphere datasets NAME FOLDER …")
        _show_cards(name, as_json)
        return
    assert name is not None  # it comes before the folder
    dataset = DATASETS.get(name)
    _check_manifest(name, dataset.card, out)
    check_file("--urls", urls, (".csv",))
    check_file("--timed", timed, (".json",))
    with progress("Opening videos", "videos", hidden=as_json or not probe) as advance:
        found = dataset.inventory(root, lists=lists or (), protocol=protocol, probe=probe, progress=advance)
    _write(found, out, urls, timed)
    differences = dataset.card.differences(found)
    if as_json:
        print_json({"name": name, **found.to_json(), "differences": list(differences)})
    else:
        _print_inventory(found, dataset.card, differences)
        _print_written(out, urls, timed)
    end(found.failures)


def _write(found: Inventory, out: Path | None, urls: Path | None, timed: Path | None) -> None:
    """Write what was asked for."""
    if out is not None:
        found.manifest().write(out)
    if urls is not None:
        found.write_urls(urls)
    if timed is not None:
        found.write_timed_labels(timed)


def _print_written(out: Path | None, urls: Path | None, timed: Path | None) -> None:
    for title, path in (("Manifest", out), ("URLs of the missing clips", urls), ("Timed labels", timed)):
        if path is not None:
            console().print(f"{title}: {path}", soft_wrap=True)


def _check_manifest(name: str, card: DatasetCard, out: Path | None) -> None:
    """Refuse a manifest that could not be written before the folder is read."""
    from kinesphere.core.errors import InvalidSetting

    check_file("--out", out, TABLES)
    if out is not None and card.content != "videos":
        raise InvalidSetting(
            f"{card.title} holds {card.content}; `kinesphere import-skeletons {name} FOLDER --out FOLDER` "
            "writes pose files and their manifest."
        )


def _print_inventory(found: Inventory, card: DatasetCard, differences: Sequence[str]) -> None:
    from rich.table import Table

    screen = console()
    screen.print(tinted((card.title, "bold"), f"  {found.sentence()}"), soft_wrap=True)
    table = Table("protocol", "split", "clips on the lists", "of them usable")
    for protocol, counts in found.parts.items():
        for split, count in counts.items():
            usable = found.present_parts.get(protocol, {}).get(split, 0)
            table.add_row(protocol or "–", split, str(count), str(usable))
    if found.parts:
        screen.print(table)
    screen.print(f"classes     {len(found.classes)}")
    if found.unlabelled:
        screen.print(f"unlabelled  {found.unlabelled} clips, which no manifest gets")
    lost = [("missing", "red", [(name, "") for name in found.missing])]
    lost.append(("unusable", "red", [(each.path, each.reason) for each in found.unusable]))
    lost.append(("wrong line", "red", [(each.path, each.reason) for each in found.wrong]))
    lost.append(("truncated", "yellow", [(each.path, each.reason) for each in found.truncated]))
    lost.append(("renamed", "yellow", [(listed, f"taken: {file}") for listed, file in found.renamed]))
    lost.append(("extra", "yellow", [(each.path, each.reason) for each in found.extra]))
    for word, colour, places in lost:
        if places:
            say(word, colour, str(len(places)))
        for place, reason in places[:SHOWN]:
            screen.print(f"    {place}" + (f": {reason}" if reason else ""), soft_wrap=True)
        if len(places) > SHOWN:
            screen.print(f"    … and {len(places) - SHOWN} more (see --json)")
    for sentence in differences:
        say("differs", "yellow", sentence)


def _show_cards(name: str | None, as_json: bool) -> None:
    from kinesphere.data.catalogue import DATASETS

    if name is not None:
        card = DATASETS.get(name).card
        print_json(_plain(name, card)) if as_json else _print_card(name, card)
        return
    cards = {each: DATASETS.get(each).card for each in DATASETS}
    if as_json:
        print_json([_plain(each, card) for each, card in cards.items()])
    else:
        _print_table(cards)


def _plain(name: str, card: DatasetCard) -> dict[str, Any]:
    from kinesphere.datasets.overlaps import known_overlaps

    return {"name": name, **asdict(card), "overlaps": list(known_overlaps(name))}


def _print_table(cards: dict[str, DatasetCard]) -> None:
    from rich.table import Table

    table = Table("data set", "content", "classes", "size", "licence", title=f"{len(cards)} data sets")
    for name, card in cards.items():
        classes = len(card.classes) or card.class_count
        table.add_row(name, card.content, str(classes or "–"), card.size, card.licence)
    console().print(table)


def _print_card(name: str, card: DatasetCard) -> None:
    from kinesphere.datasets.overlaps import known_overlaps

    screen = console()
    screen.print(tinted((name, "bold"), f"  {card.title}"), soft_wrap=True)
    texts = {
        title: ", ".join(map(str, value)) if isinstance(value, tuple) else str(value or "")
        for title, value in vars(card).items()
        if title not in ("title", "counts", "class_count")
    }
    texts["classes"] = texts["classes"] or str(card.class_count or "")
    texts["clips"] = ", ".join(str(count) for count in card.counts)
    texts["overlaps"] = " ".join(known_overlaps(name))
    for title, text in texts.items():
        if text:
            screen.print(tinted(f"  {title:10} ", text), soft_wrap=True)


class ListingCommand(TyperCommand):
    """A verb whose help names members of registries: `{skeletons, motion capture}` and `{estimators}`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help; the registries load only here, so that the command starts fast."""
        for parameter in self.params:
            if text := getattr(parameter, "help", None):
                parameter.help = re.sub(r"\{([a-z, ]+)\}", _listed, text)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def _listed(match: re.Match[str]) -> str:
    from kinesphere.annotations.formats.registry import estimators
    from kinesphere.data.catalogue import datasets_of

    if match[1] == "estimators":
        return enumerated(estimators())
    return ", ".join(datasets_of(*cast("list[Content]", match[1].split(", "))))
