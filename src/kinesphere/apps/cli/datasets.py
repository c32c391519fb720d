"""`kinesphere datasets`: the list of data sets, or one card; and lists of them in other verbs' help."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from kinesphere.apps.cli.console import console, print_json, tinted
from kinesphere.apps.cli.options import Json
from kinesphere.core.text import enumerated

if TYPE_CHECKING:
    from kinesphere.data.catalogue import Content, DatasetCard


def datasets(
    name: Annotated[str | None, typer.Argument(help="Show one data set's card.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """List the data sets that can be read, or show the card of one."""
    from kinesphere.data.catalogue import DATASETS

    if name is not None:
        card = DATASETS.get(name).card
        print_json({"name": name, **asdict(card)}) if as_json else _print_card(name, card)
        return
    cards = {each: DATASETS.get(each).card for each in DATASETS}
    if as_json:
        print_json([{"name": each, **asdict(card)} for each, card in cards.items()])
    else:
        _print_table(cards)


def _print_table(cards: dict[str, DatasetCard]) -> None:
    from rich.table import Table

    table = Table("data set", "content", "classes", "size", "licence", title=f"{len(cards)} data sets")
    for name, card in cards.items():
        table.add_row(name, card.content, str(len(card.classes) or "–"), card.size, card.licence)
    console().print(table)


def _print_card(name: str, card: DatasetCard) -> None:
    screen = console()
    screen.print(tinted((name, "bold"), f"  {card.title}"), soft_wrap=True)
    for title, value in asdict(card).items():
        text = ", ".join(value) if isinstance(value, tuple) else value
        if text and title != "title":
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
