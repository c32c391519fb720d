"""`kinesphere models`: the list of architectures, or one card."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinesphere.apps.cli.console import console, print_json, tinted
from kinesphere.apps.cli.options import Json

if TYPE_CHECKING:
    from kinesphere.clips import ClipSpec
    from kinesphere.models.card import ModelCard, ReportedScore, WeightEntry


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="Show one model's card; NAME.TAG for one of its weights.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the models, or show the card of one."""
    from kinesphere.models import card, list_models

    if name is None:
        cards = [card(known) for known in list_models()]
        if as_json:
            print_json([_document(entry) for entry in cards])
        else:
            _print_table(cards)
        return
    stem, _, tag = name.partition(".")
    chosen = card(stem)
    if tag:
        chosen = replace(chosen, weights=(chosen.published(tag),))
    if as_json:
        print_json(_document(chosen))
    else:
        _print_card(chosen)


def _document(entry: ModelCard) -> dict[str, Any]:
    plain = asdict(entry)
    plain["inputs"] = [spec.to_json() for spec in entry.inputs]
    for weight, described in zip(entry.weights, plain["weights"], strict=True):
        described["spec"] = weight.spec.to_json() if weight.spec else None
    return plain


def _input(spec: ClipSpec) -> str:
    return f"{spec.modality} {spec.sampling} {spec.size[0]}×{spec.size[1]}"


def _published(weight: WeightEntry) -> str:
    """The tag with the best top-1 that its publisher states, the licence, and what it learnt from.

    What we measured ourselves on other sets is no such figure, and stands on the card alone.
    """
    from kinesphere.models.weights.training_sets import shown

    top1 = [s.value for s in weight.scores if s.metric == "top1" and s.origin != "measured"]
    tag = f"{weight.tag} ({max(top1):.1%})" if top1 else weight.tag
    return f"{tag}, {weight.licence}, {shown(weight.trained_on)}"


def _print_table(cards: list[ModelCard]) -> None:
    from rich.table import Table

    table = Table(
        "model",
        "input",
        "M params",
        "G mult-adds",
        "public weights (top-1), licence, learnt from",
        title=f"{len(cards)} models",
    )
    for entry in cards:
        table.add_row(
            entry.name,
            " + ".join(_input(spec) for spec in entry.inputs),
            f"{entry.parameters / 1e6:.2f}",
            f"{entry.multiply_adds / 1e9:.2f}",
            "\n".join(_published(weight) for weight in entry.weights) or "–",
        )
    console().print(table)


def _print_card(entry: ModelCard) -> None:
    from kinesphere.models.registry import MODELS
    from kinesphere.models.weights.training_sets import shown

    screen = console()

    def line(title: str, *text: str | tuple[str, str]) -> None:
        screen.print(tinted(f"  {title:10} ", *text), soft_wrap=True)

    screen.print(tinted((entry.name, "bold"), f"  {entry.summary}"), soft_wrap=True)
    if entry.paper:
        paper = entry.paper
        line("paper", f"{paper.authors} ({paper.year}): {paper.title}. {paper.url} {paper.section}")
    for spec in entry.inputs:
        line("input", _contract(spec) + _fixed(entry, spec))
    line("cost", f"{entry.parameters:,} parameters, {entry.multiply_adds:,} multiply-adds a view")
    line("classes", f"{entry.classes}, for these numbers")
    line("stages", f"{', '.join(entry.stages)}; head {', '.join(entry.head)}")
    if entry.frame_wise:
        line("windows", "overlapping ones that hold the same frames share what is computed of these")
    if entry.streaming:
        line("streams", "takes a video frame by frame (kinesphere predict --streaming)")
    layouts = [
        m.layout + (" (encoder)" if m.fresh else " (images)") * m.backbone_only
        for m in MODELS.get(entry.name).key_maps
    ]
    line("reads", ", ".join(dict.fromkeys(layouts)) or "no foreign checkpoints")
    if entry.notes:
        line("notes", entry.notes)
    for weight in entry.weights:
        place = weight.url if weight.file is None else "in the package, nothing to download"
        line("weights", (f"{entry.name}.{weight.tag}", "bold"), f"  {place}  ({weight.licence})")
        line("", f"  {_classes(weight)}; {weight.layout} layout")
        line("", f"  learnt from {shown(weight.trained_on)}")
        if weight.spec is not None:
            line("", f"  {_contract(weight.spec)}")
        if weight.arguments:
            line("", "  " + ", ".join(f"{key}={value}" for key, value in weight.arguments.items()))
        for score in weight.scores:
            line(
                "",
                f"  {score.metric} {score.value:.1%} on {score.dataset}, {score.protocol} ({_origin(score)})",
            )
        for note in weight.notes:
            line("", f"  {note}")


def _origin(score: ReportedScore) -> str:
    return "measured by us" if score.origin == "measured" else f"stated by: {score.origin}"


def _classes(weight: WeightEntry) -> str:
    from kinesphere.models.weights.class_names import published_names

    if weight.in_words:
        return "classes are named in words"
    if weight.backbone_only:
        return "a backbone without classes"
    if weight.names:
        return f"{weight.classes} classes: {', '.join(weight.names)}"
    names = "named" if published_names(weight) else "names not known here"
    return f"{weight.classes} classes of {weight.labels or 'no published list'} ({names})"


def _contract(spec: ClipSpec) -> str:
    """What a clip is, with the numbers that it is normalised by."""
    rate = f" at {spec.fps:g} fps" if spec.fps is not None else ""
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (spec.mean, spec.std))
    return f"{_input(spec)}{rate}, mean {mean}, std {std}"


def _fixed(entry: ModelCard, spec: ClipSpec) -> str:
    parts = [
        what
        for what, fixed in (("length", entry.fixed_length), ("size", entry.fixes_size(spec.modality)))
        if fixed
    ]
    return f"; {' and '.join(parts)} fixed" if parts else ""
