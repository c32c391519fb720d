"""Write the tables in docs/ that are made from code: `python -m docs.generate` (or `make docs`).

`docs/models.md` comes from the model cards, `docs/benchmarks.md` from the records in
`benchmarks/results/`, `docs/results.md` and the README's table of scores from those of the studies,
`docs/recipe.md` from the recipe's own descriptions, and the tables in `docs/explaining.md`,
`docs/first_answer.md`, `docs/laboratory.md` and `docs/localisation.md` from the records that they mark. The
scores on the cards of the weights that come with the package (`models/box/scores.json`) come from their
records, too.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.remarks import READING, WHY_MISSED, verdict, why_missed
from benchmarks.studies import RECORDS, STUDIES
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kinesphere.clips.spec import ClipSpec
from kinesphere.data.catalogue import DATASETS
from kinesphere.datasets.overlaps import known_overlaps
from kinesphere.models import ModelCard, card, list_models
from kinesphere.models.box import FOLDER, SCORES
from kinesphere.models.weights.training_sets import shown
from kinesphere.train import Recipe

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS.parent / "benchmarks" / "results"
MADE = "<!-- Made by `make docs`; do not edit. -->"
EARLIER = (
    "† Measured by earlier code, which kept no predictions: the interval is a percentile bootstrap, too "
    "narrow where groups are few, and waits to be measured again."
)


def models_page() -> str:
    """All models with their cost, latency and public weights."""
    alone, compared = _measured("zoo"), _measured("inference")
    lines = [
        MADE,
        "# Models",
        "",
        (
            "Parameters and multiply-adds are counted by a test for the input given. Scores are those that "
            "the publishers of the weights state; [below](#public-weights) with their protocol."
        ),
        "",
        *_latency_notes(),
        (
            "| model | what | input | M params | G multiply-adds | CPU ms, fp32 / bf16 "
            "| times the reference's speed, fp32 / bf16 | public weights (stated top-1) |"
        ),
        "|---|---|---|---:|---:|---:|---|---|",
    ]
    lines += [
        _model_row(card(name), _latency(alone.get(name)), _speed(compared.get(name)))
        for name in list_models()
    ]
    return "\n".join([*lines, "", *_public_weights()]) + "\n"


def _public_weights() -> list[str]:
    """Every public checkpoint with all that its publisher states of it."""
    lines = [
        "## Public weights",
        "",
        "`create_model` and `kinesphere predict --model` take them by these names.",
        "",
        (
            "What weights learnt from stands first to last, as far as their publishers state it; `unknown` "
            "where they do not say what training started from."
        ),
        "",
        "| weights | classes | input | licence | learnt from | score and protocol as published |",
        "|---|---:|---|---|---|---|",
    ]
    for entry in map(card, list_models()):
        for weight in entry.weights:
            inputs = _inputs((weight.spec,) if weight.spec else entry.inputs)
            scores = "; ".join(
                f"{score.metric} {score.value:.1%} on {score.dataset}, {score.protocol}"
                + (" (unverified)" if score.origin == "memory" else "")
                for score in weight.scores
            )
            name = f"`{entry.name}.{weight.tag}`"
            place = weight.url if weight.file is None else "first_answer.md"
            lines.append(
                f"| [{name}]({place}) | {weight.classes or 'in words'} | {inputs} | {weight.licence} "
                f"| {shown(weight.trained_on)} | {scores or '–'} |"
            )
    return lines


def _inputs(specs: tuple[ClipSpec, ...]) -> str:
    return " + ".join(f"{s.modality} {s.sampling}, {s.size[0]}×{s.size[1]}" for s in specs)


def _measured(benchmark: str) -> dict[str, dict[str, str]]:
    """Rows of a benchmark's record by model; none where it was not run."""
    path = RESULTS / f"{benchmark}.json"
    if not path.is_file():
        return {}
    return {row["model"]: row for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}


def _latency_notes() -> list[str]:
    """What the columns of latency are, and on which machine they were measured."""
    meanings = {
        "zoo": "CPU ms is the time of one clip of the given input",
        "inference": (
            "The reference is the installed package named, in fp32, with the same weights on the same clip "
            "in the same run ([benchmarks](benchmarks.md))"
        ),
    }
    lines: list[str] = []
    for benchmark, meaning in meanings.items():
        path = RESULTS / f"{benchmark}.json"
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            lines += [" ".join([f"{meaning}; on {record['machine']}.", *record["notes"]]), ""]
    return lines


def _latency(row: dict[str, str] | None) -> str:
    return f"{row['fp32, ms']} / {row['bf16, ms'] or '–'}" if row else "–"


def _speed(row: dict[str, str] | None) -> str:
    if row is None:
        return "–"
    return f"{row['ratio fp32']} / {row['ratio bf16'] or '–'} ({row['reference']})"


def _model_row(entry: ModelCard, latency: str, speed: str) -> str:
    paper = f" ([{entry.paper.year}]({entry.paper.url}))" if entry.paper else ""
    weights = []
    for weight in entry.weights:
        stated = [s.value for s in weight.scores if s.metric == "top1" and s.origin != "measured"]
        top1 = max(stated, default=None)
        weights.append(weight.tag + (f" ({top1:.1%})" if top1 is not None else ""))
    return (
        f"| `{entry.name}` | {entry.summary}{paper} | {_inputs(entry.inputs)} | {entry.parameters / 1e6:.2f} "
        f"| {entry.multiply_adds / 1e9:.2f} | {latency} | {speed} | {', '.join(weights) or '–'} |"
    )


def benchmarks_page() -> str:
    """An overview by subject, then a section per record of `benchmarks/results/`."""
    records = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))
    }
    machines = {machine: chr(ord("A") + i) for i, machine in enumerate(_machines(records.values()))}
    lines = [
        MADE,
        "# Benchmarks",
        "",
        (
            "What was measured, with the command that measures it again (from a clone, in the environment "
            "that `make test` sets up) and the goals that stood before. A goal that is missed says why. "
            "Peers are what one would use instead; `benchmarks/requirements.txt` names them, and a benchmark "
            "that needs one which is not installed leaves it out and says so. `make bench` runs all of it, "
            "which takes hours; `python -m benchmarks NAME` runs one."
        ),
        "",
        (
            "Each record is of one machine, named by a letter here and in full at the record: compare times "
            "within a record, never between letters. These machines are shared and noisy, so read ratios "
            "rather than times. Scores hardly depend on the machine."
        ),
        "",
        *(f"- {letter}: {machine}" for machine, letter in machines.items()),
    ]
    for subject, names in _by_subject(records).items():
        lines += [
            "",
            f"**{subject}**",
            "",
            "| measured | machine | goals met | missed |",
            "|---|---|---:|---:|",
        ]
        lines += [_overview(records[name], machines) for name in names]
    for names in _by_subject(records).values():
        for name in names:
            lines += ["", *_record(name, records[name])]
    return "\n".join(lines) + "\n"


SUBJECTS: dict[str, tuple[str, ...]] = {
    "Speed and memory": (
        "startup", "decode", "cache", "small_files", "large_lists", "train", "inference", "zoo", "gpu",
        "threads", "long_video", "long_video_hour", "activations", "heatmaps", "growth", "mannequin",
        "explain", "events", "keeps_up", "features", "live_visitors", "paired_decode", "paired_growth",
        "paired_inference", "paired_startup", "paired_train",
    ),
    "How well it recognises": (
        "box_pixels", "box_poses", "box_fusion", "few_clips", "labels", "joint", "laboratory", "robustness",
        "precision", "coverage", "probing", "frozen_probes", "long_tail",
    ),
    "When, who and where": (
        "localise", "localise_video", "segments", "spatiotemporal", "people", "objects", "robbery",
    ),
    "What answers rest on": (
        "background", "explained_backgrounds", "explained_sets", "planted", "planted_layers",
    ),
    "Live, damage and extraction": ("live", "alarms", "damaged", "extraction"),
}  # fmt: skip
"""The records by what a reader looks for; those that are nowhere else come last."""


def _by_subject(records: dict[str, Any]) -> dict[str, list[str]]:
    listed = {name for names in SUBJECTS.values() for name in names}
    found = {subject: [name for name in names if name in records] for subject, names in SUBJECTS.items()}
    return {
        **found,
        **({"Others": rest} if (rest := [name for name in records if name not in listed]) else {}),
    }


def _machines(records: Iterable[dict[str, Any]]) -> list[str]:
    """What records were measured on, the most frequent first."""
    return [machine for machine, _ in Counter(_machine(record) for record in records).most_common()]


def _machine(record: dict[str, Any]) -> str:
    """The machine of a record, with the GPU that a note names."""
    machine = re.sub(r"^1 CPU cores", "1 CPU core", record["machine"])
    gpu = next((found[1] for note in record["notes"] if (found := _GPU.match(note))), None)
    return f"{gpu}, {machine}" if gpu else machine


_GPU = re.compile(r"^Measured on (NVIDIA [^,]+)")
_LONG = 30  # rows from which on a table is folded
_MANY = 8  # goals that are met from which on they are


def _overview(record: dict[str, Any], machines: dict[str, str]) -> str:
    """A record as a line of the table of contents."""
    link = re.sub(r"[^\w\- ]", "", record["title"].lower()).replace(" ", "-")
    met, missed = (sum(verdict(goal) == word for goal in record["goals"]) for word in ("met", "missed"))
    goals = f"{met or ''} | {missed or ''}" if met + missed else "none | "
    return f"| [{record['title']}](#{link}) | {machines[_machine(record)]} | {goals} |"


def _record(name: str, record: dict[str, Any]) -> list[str]:
    lines = [f"## {record['title']}", "", f"`{record['command']}` on {_machine(record)}."]
    lines += ["", READING[name]] if name in READING else []
    columns = list(dict.fromkeys(column for row in record["rows"] for column in row))
    table = [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(str(row.get(name, "")) for name in columns) + " |" for row in record["rows"]),
    ]
    lines += ["", *_folded(f"{len(record['rows'])} rows", table, len(record["rows"]) >= _LONG)]
    other = [goal for goal in record["goals"] if verdict(goal) != "met"]
    met = [goal for goal in record["goals"] if verdict(goal) == "met"]
    told = [f"- {goal}{_because(name, goal)}" for goal in other]
    lines += ["", *told] if told else []
    if met:
        lines += ["", *_folded(f"{len(met)} goals met", [f"- {goal}" for goal in met], len(met) >= _MANY)]
    notes = [f"- {note}" for note in record["notes"]]
    return lines + (["", *notes] if notes else [])


def _because(name: str, goal: str) -> str:
    why = why_missed(name, goal)
    return f"{'' if goal.endswith('.') else '.'} Why: {why}" if why else ""


def _folded(summary: str, lines: list[str], is_folded: bool) -> list[str]:
    """Lines that open at a click where they are many."""
    return [f"<details><summary>{summary}</summary>", "", *lines, "", "</details>"] if is_folded else lines


def results_page() -> str:
    """The scores of the studies with their commands."""
    lines = [
        MADE,
        "# Results",
        "",
        (
            "Each score was measured by `python -m benchmarks.studies NAME`, which runs the command given. "
            "Intervals are 95 %, over groups ([how often they hold the truth](benchmarks.md)). Chance is "
            "what always naming the most frequent class scores. Minutes were taken on a machine that often "
            "did other work as well: they are upper bounds. Code is the commit that trained and predicted, "
            "`+` where it had changes. What was said "
            "of every clip lies beside the record in `benchmarks/results/studies`; `python -m "
            "benchmarks.studies --rescore` computes scores and intervals again from it. In the commands, "
            "DATA is the folder of the data; videos lie beside a `labels.csv` of path, label and group."
        ),
        "",
        *_scores(),
        "",
        "| study | code | command |",
        "|---|---|---|",
        *(
            f"| `{name}` | {_code(record)} "
            f"| {' then '.join(f'`{command}`' for command in record['commands'])} |"
            for name, record in _studies()
        ),
    ]
    return "\n".join(lines) + "\n"


def _scores() -> list[str]:
    lines = ["| data and protocol | model | top-1 | chance | goal | minutes |", "|---|---|---|---:|---|---:|"]
    for _, record in _studies():
        top1, goal = record["scores"]["top1"], record["goal"]
        wanted = "–" if goal is None else f"{goal:.0%} {'missed' if _is_missed(record) else 'met'}"
        minutes = "–" if record["minutes"] is None else record["minutes"]
        chance = f"{record['chance']['most_frequent']:.1%}" if "chance" in record else "–"
        score = _percent(top1) + ("" if "commit" in record else " †")
        cells = (record["what"], record["model"], score, chance, wanted, minutes)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    missed = [record["what"] for _, record in _studies() if _is_missed(record)]
    whys = {part: why for part, why in WHY_MISSED["results"].items() if any(part in what for what in missed)}
    lines += ["", *(f"- {part}, why the goal is missed: {why}" for part, why in whys.items())] if whys else []
    if any("commit" not in record for _, record in _studies()):
        lines += ["", EARLIER]
    return lines


def _is_missed(record: dict[str, Any]) -> bool:
    return record["goal"] is not None and record["scores"]["top1"]["value"] < record["goal"]


def _code(record: dict[str, Any]) -> str:
    return f"`{record['commit']}`" if "commit" in record else "–"


def _percent(score: dict[str, Any]) -> str:
    text = f"{100 * score['value']:.1f} %"
    if score["low"] is None:
        return text
    return f"{text} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def _studies() -> list[tuple[str, dict[str, Any]]]:
    """The records of all studies that were run, in the order in which they are listed."""
    paths = [RECORDS / f"{name}.json" for name in STUDIES]
    return [(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in paths if path.exists()]


def fill(page: str, name: str, lines: list[str]) -> str:
    """`page` with `lines` between the marks of `name`."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return "\n".join([before + begin, "", *lines, "", end]) + after


def marked_page(page: str) -> str:
    """A page of `docs/` with the records that it marks by their names, as far as there are."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for name in re.findall(r"<!-- (\w+) -->", text):
        path = RESULTS / f"{name}.json"
        if path.is_file():
            _, _, *lines = _record(name, json.loads(path.read_text(encoding="utf-8")))
            text = fill(text, name, lines)
    return text


_CELL = re.compile(r"^([\d.]+) % (\[.+\])$")
BOX = {
    "basic_rgb.safetensors": "box_pixels",
    "basic_pose.safetensors": "box_poses",
}
"""The record with the scores on real footage of each file of the box."""


def box_scores() -> dict[str, list[dict[str, str | float]]]:
    """What stands on the cards of the weights in the box: scores of their records that have an interval."""
    found: dict[str, list[dict[str, str | float]]] = {}
    for file, name in BOX.items():
        path = RESULTS / f"{name}.json"
        if path.is_file():
            rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
            found[file] = [score for row in rows for score in _box_scores(row)]
    return found


def _box_scores(row: dict[str, Any]) -> list[dict[str, str | float]]:
    """The scores of a row over all clips of a set; the set, the truth and the clips come first."""
    dataset, truth, clips = [str(value) for value in row.values()][:3]
    if not truth.startswith("all"):
        return []
    return [
        {
            "metric": column,
            "value": round(float(cell[1]) / 100, 4),
            "dataset": dataset,
            "protocol": f"{truth}, {clips} clips, 95 % interval {cell[2]}",
            "origin": "measured",
        }
        for column, value in row.items()
        if (cell := _CELL.match(str(value)))
    ]


def recipe_page() -> str:
    """Every setting of a recipe with its default and meaning."""
    lines = [MADE, "# Recipe", "", "Every setting of `kinesphere train`, in YAML or as `section.key=value`."]
    for name, section in Recipe.model_fields.items():
        fields = getattr(section.annotation, "model_fields", None)
        if fields is None:
            lines += ["", f"## {name}", "", " ".join((section.description or "").split())]
            continue
        lines += [
            "",
            f"## {name}",
            "",
            " ".join((section.description or "").split()),
            "",
            "| key | default | meaning |",
            "|---|---|---|",
        ]
        for key, field in fields.items():
            default = "required" if field.is_required() else f"`{_default(field)}`"
            meaning = " ".join((field.description or "").split()).replace("|", "\\|")
            lines.append(f"| `{key}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> object:
    """The default of a setting; of settings within settings, that there are none."""
    default = field.get_default(call_default_factory=True)
    return {} if isinstance(default, BaseModel) else default


def datasets_page(page: str) -> str:
    """The page of data sets with a table of all cards."""
    lines = [
        "| name | data set | content | classes | clips of each part | groups | licence | known overlaps |",
        "|---|---|---|---:|---|---|---|---|",
    ]
    for name in DATASETS:
        entry = DATASETS.get(name).card
        cells = (
            f"`{name}`", entry.title, entry.content, len(entry.classes) or entry.class_count or "–",
            "; ".join(map(str, entry.counts)) or entry.size, entry.groups or "–", entry.licence,
            " ".join(known_overlaps(name)) or "–",
        )  # fmt: skip
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return fill((DOCS / page).read_text(encoding="utf-8"), "datasets", lines)


PAGES = {
    "datasets.md": partial(datasets_page, "datasets.md"),
    "models.md": models_page,
    "benchmarks.md": benchmarks_page,
    "results.md": results_page,
    "recipe.md": recipe_page,
    "explaining.md": partial(marked_page, "explaining.md"),
    "first_answer.md": partial(marked_page, "first_answer.md"),
    "laboratory.md": partial(marked_page, "laboratory.md"),
    "localisation.md": partial(marked_page, "localisation.md"),
}


def main() -> None:
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
        print(DOCS / name)
    scores = json.dumps(box_scores(), indent=1, ensure_ascii=False)
    (FOLDER / SCORES).write_text(f"{scores}\n", encoding="utf-8")
    readme = DOCS.parent / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8"), "results", _scores()), encoding="utf-8")


if __name__ == "__main__":
    main()
