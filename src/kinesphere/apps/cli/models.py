"""`kinesphere models`: the list of architectures, or one card."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinesphere.apps.cli.console import Json, console, print_json

if TYPE_CHECKING:
    from kinesphere.clips import ClipSpec
    from kinesphere.models.card import ModelCard, WeightEntry


def models(
    name: Annotated[str | None, typer.Argument(help="Show one model's card.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """List the models, or show the card of one."""
    from kinesphere.models import card, list_models

    cards = [card(known) for known in list_models()] if name is None else [card(name)]
    if as_json:
        documents = [_document(entry) for entry in cards]
        print_json(documents if name is None else documents[0])
    elif name is None:
        _print_table(cards)
    else:
        _print_card(cards[0])


def _document(entry: ModelCard) -> dict[str, Any]:
    plain = asdict(entry)
    plain["inputs"] = [spec.to_json() for spec in entry.inputs]
    for weight, described in zip(entry.weights, plain["weights"], strict=True):
        described["spec"] = weight.spec.to_json() if weight.spec else None
    return plain


def _input(spec: ClipSpec) -> str:
    return f"{spec.modality} {spec.sampling} {spec.size[0]}×{spec.size[1]}"


def _published(weight: WeightEntry) -> str:
    """The tag with the best top-1 that its publisher states; the card has the protocols."""
    top1 = [score.value for score in weight.scores if score.metric == "top1"]
    return f"{weight.tag} ({max(top1):.1%})" if top1 else weight.tag


def _print_table(cards: list[ModelCard]) -> None:
    from rich.table import Table

    table = Table(
        "model", "input", "M params", "G mult-adds", "public weights (top-1)", title=f"{len(cards)} models"
    )
    for entry in cards:
        table.add_row(
            entry.name,
            " + ".join(_input(spec) for spec in entry.inputs),
            f"{entry.parameters / 1e6:.2f}",
            f"{entry.multiply_adds / 1e9:.2f}",
            ", ".join(_published(weight) for weight in entry.weights) or "–",
        )
    console().print(table)


def _print_card(entry: ModelCard) -> None:
    screen = console()
    screen.print(f"[bold]{entry.name}[/]  {entry.summary}")
    if entry.paper:
        paper = entry.paper
        screen.print(
            f"  paper      {paper.authors} ({paper.year}): {paper.title}. {paper.url} {paper.section}"
        )
    screen.print(f"  input      {' + '.join(_input(spec) for spec in entry.inputs)}")
    screen.print(
        f"  cost       {entry.parameters:,} parameters, {entry.multiply_adds:,} multiply-adds a view"
    )
    screen.print(f"  stages     {', '.join(entry.stages)}; head {', '.join(entry.head)}")
    if entry.notes:
        screen.print(f"  notes      {entry.notes}")
    for weight in entry.weights:
        screen.print(f"  weights    [bold]{entry.name}.{weight.tag}[/]  {weight.url}  ({weight.licence})")
        for score in weight.scores:
            screen.print(
                f"               {score.metric} {score.value:.1%} on {score.dataset}, {score.protocol}"
                f" (stated by: {score.origin})"
            )
