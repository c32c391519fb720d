"""`kinesphere study compare`: two models on the same clips, and what each looked at."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.console import GOES_ON, check_folder, console, end, print_json, progress, say
from kinesphere.apps.cli.options import Device, ExtractsFolder, Json, LabelColumn
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import write_text
from kinesphere.core.signals import advise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kinesphere.clips.sidecar import Extracts
    from kinesphere.core.device import Compute
    from kinesphere.evaluate import Predictions
    from kinesphere.studies.answerers import Answerers
    from kinesphere.studies.disagreement import Disagreement

Model = Annotated[str, typer.Argument(help="Run folder, fusion, model file or registered name.")]
Clips = Annotated[
    Path | None,
    typer.Argument(help="Manifest or folder of class folders; default: the answers that the runs kept."),
]
Kept = Annotated[
    list[Path] | None,
    typer.Option("--answers", help="predictions.parquet of a model, or its folder; once for each model."),
]
Out = Annotated[Path, typer.Option(help="Folder for report.html, comparison.json and disagreements.csv.")]
Split = Annotated[str | None, typer.Option(help="Split of the data; default: what the model was tested on.")]
Method = Annotated[str | None, typer.Option(help="How answers are explained; default: what suits the model.")]
Count = Annotated[
    int, typer.Option("--maps", min=0, help="Clips of disagreement to show maps of; 0 for none.")
]

_SHOWN = 10


def compare(
    first: Model,
    second: Model,
    data: Clips = None,
    answers: Kept = None,
    split: Split = None,
    label_column: LabelColumn = "label",
    out: Out = Path("comparison"),
    method: Method = None,
    maps: Count = 8,
    extracts: ExtractsFolder = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Where do two models disagree, and what did each look at?

    Without DATA nothing is evaluated again: the answers that the runs' tests kept are held against each
    other, or those that --answers names (of `kinesphere evaluate --out`).
    """
    from kinesphere.apps.html.disagreement import render_disagreement
    from kinesphere.clips.sidecar import Extracts
    from kinesphere.core.device import Compute
    from kinesphere.evaluate import Predictions
    from kinesphere.studies.disagreement import disagreement
    from kinesphere.studies.disagreement_maps import Extent, map_disagreement

    check_folder("--out", out)
    _check_answers((first, second), data, answers)
    compute, place = Compute.choose(device, "fp32"), Extracts(extracts, _root(data))
    models = None if data is None and not maps else _models((first, second), compute, place)
    advise(GOES_ON)
    with progress("Comparing", "clips", hidden=as_json) as advance:
        if data is None:
            tables = [Predictions.read(path) for path in (answers or (first, second))]
        else:
            assert models is not None
            tables = _asked(models, data, split, label_column, place, out / "answers", advance)
        found = disagreement((first, second), *tables)
        found.write(out)
    looked = None
    if maps and models is not None:
        with progress("Explaining", "maps", hidden=as_json) as advance:
            extent = Extent(method, maps)
            looked = map_disagreement(found, models, out / "heat", extent, progress=advance)
    page = out / "report.html"
    name = "kept answers" if data is None else data.resolve().name
    write_text(page, render_disagreement(found, looked, data=name))
    if as_json:
        print_json({**found.to_json(), "report": str(page)})
    else:
        _print(found)
        console().print(f"report  {page}", soft_wrap=True)
    problems = () if looked is None else looked.problems
    for problem in problems:
        say("no map", "yellow", problem, to_stderr=as_json)
    end(len(found.skipped) + len(problems))


def _check_answers(names: tuple[str, str], data: Path | None, answers: list[Path] | None) -> None:
    """Refuse models that keep no answers where nothing else gives them.

    Raises:
        InvalidSetting: If one is a model file or a registered name, or there are not two tables in place of
            the data.
    """
    if answers is not None and (len(answers) != 2 or data is not None):
        raise InvalidSetting(
            f"--answers is given twice, in the order of the models, and in place of DATA; got {len(answers)} "
            f"with {'' if data is not None else 'no '}DATA."
        )
    for name in names if data is None and answers is None else ():
        if Path(name).suffix.lower() == ".safetensors" or not Path(name).exists():
            raise InvalidSetting(
                f"{name} is no run that kept answers: name DATA, which both models are asked about, or the "
                "answers of each with --answers."
            )


def _root(data: Path | None) -> Path | None:
    """The folder that extracted files are laid out like."""
    return data if data is None or data.is_dir() else data.parent


def _models(names: tuple[str, str], compute: Compute, place: Extracts) -> tuple[Answerers, Answerers]:
    from kinesphere.predict import Opening, load
    from kinesphere.studies.answerers import Answerers

    first, second = (
        Answerers(name, partial(load, compute=compute, opening=Opening(place))) for name in names
    )
    return first, second


def _asked(
    models: Sequence[Answerers], data: Path, split: str | None, label_column: str, place: Extracts,
    out: Path, advance: Callable[[int, int], None],
) -> list[Predictions]:  # fmt: skip
    """What both models say of clips that neither learnt from, as far as that is known."""
    from kinesphere.data import Manifest
    from kinesphere.evaluate.seen import choose, seen_by
    from kinesphere.studies.answers import kept_answers

    predictors = [model.one() for model in models]
    manifest = Manifest.read(data, label_column=label_column)
    seen = seen_by([each for predictor in predictors for each in predictor.provenances])[0]
    scored = choose(manifest, seen, split)
    for note in scored.notes:
        say("note", "yellow", note, to_stderr=True)
    return kept_answers(predictors, scored.manifest, out, extracts=place, progress=advance)


def _print(found: Disagreement) -> None:
    """The table of outcomes, the verdict, and the clips that the models are farthest apart about."""
    from rich.table import Table

    screen = console()
    first, second = found.short_names
    table = Table("class", "clips", "both right", f"only {first}", f"only {second}", "neither", "difference")
    for row in found.outcomes:
        counts = (row.clips, row.both, row.first, row.second, row.neither)
        table.add_row(row.label or "all", *map(str, counts), str(row.gain))
    screen.print(table)
    screen.print(found.verdict(), soft_wrap=True)
    for clip in found.apart[:_SHOWN]:
        sides = ", ".join(
            f"{model}: {answer} {100 * own:.0f} %"
            for model, answer, own in zip((first, second), clip.answers, clip.probabilities, strict=True)
        )
        screen.print(f"{clip.path}  is {clip.truth}; {sides}", soft_wrap=True, markup=False)
    for each in found.skipped[:_SHOWN]:
        say("left out", "yellow", f"{each.path}: {each.reason}")
