"""Resumable output: one record per video, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from kinesphere.core.closing import Closing
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import claiming, make_folder, replacing, sweep, unwritable
from kinesphere.core.settings_file import claim_settings
from kinesphere.core.signals import held
from kinesphere.core.structured import parse_json
from kinesphere.core.text import SPELLED, unspelled

Record = dict[str, Any]


class PredictionLog(Closing):
    """A file of records that grows video by video.

    A record is what `Prediction.to_json`, `Timeline.to_json` or `SideBySide.to_json` gives, or
    `{"source", "error"}`. It is
    written whole and at once; a line cut short by a crash is dropped on opening, and so are errors, so
    that their videos are tried again. Beside the file, `<name>.settings.json` keeps what the records
    depend on: with other settings or another model the log refuses to go on.

    Args:
        path: `.jsonl`, one JSON object per line; or `.csv`, one row per video with its labels and
            probabilities side by side (no timelines).
        settings: What the records depend on; plain values.
        top: Number of labels in a CSV row.
        models: Names of the models where several answer; their labels follow each other in a CSV row.

    Raises:
        InvalidSetting: If the suffix is another, or the file was written with other settings or by
            something else.
        InUse: If another process is writing it.
        UnwritableFile: If the place or the disk refuses.
    """

    def __init__(
        self, path: str | Path, settings: Mapping[str, Any], *, top: int = 5, models: Sequence[str] = ()
    ) -> None:
        self.path = Path(path)
        self._top = top
        self._models = tuple(models)
        if self.path.suffix.lower() not in (".jsonl", ".csv"):
            raise InvalidSetting(f"Predictions are written as .jsonl or .csv; got {self.path.name!r}.")
        self._is_csv = self.path.suffix.lower() == ".csv"
        make_folder(self.path.parent)
        with ExitStack() as claim:
            claim.enter_context(
                claiming(self.path.with_name(f".{self.path.name}.lock"), f"The output {self.path}")
            )
            sweep(self.path.parent)
            claim_settings(
                self.path.with_name(f"{self.path.name}.settings.json"), {**settings, "top": top},
                output=self.path, started=self.path.exists(),
            )  # fmt: skip
            self.finished = self._recover()
            try:
                self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            except OSError as error:
                raise unwritable(self.path, error) from error
            self._claim = claim.pop_all()

    def close(self) -> None:
        """Free the file."""
        os.close(self._file)
        self._claim.close()

    def missing(self, sources: Iterable[str]) -> list[str]:
        """Those of `sources` that have no record yet, in their order."""
        return [source for source in sources if source not in self.finished]

    def write(self, record: Record) -> None:
        """Append the record of one video; it is on disk when this returns.

        Raises:
            InvalidSetting: If a timeline is written to a CSV file.
            UnwritableFile: If the disk refuses; what was there stays as it was.
        """
        if self._is_csv and any("timeline" in each for each in (record, *record.get("models", ()))):
            raise InvalidSetting("A CSV row cannot hold a timeline; write to a .jsonl file.")
        line = self._row(record) if self._is_csv else json.dumps(record, ensure_ascii=False) + "\n"
        self._append(line.encode("utf-8", SPELLED))
        self.finished.add(record["source"])

    def _append(self, data: bytes) -> None:
        """Write all of it, or leave the file as it was."""
        with held():
            end = os.fstat(self._file).st_size
            try:
                rest = memoryview(data)
                while rest:  # a full disk may take a part
                    rest = rest[os.write(self._file, rest) :]
                os.fsync(self._file)
            except OSError as error:
                with suppress(OSError):
                    os.ftruncate(self._file, end)
                raise unwritable(self.path, error) from error

    def _recover(self) -> set[str]:
        """Drop a broken last line and errors; the sources that are done."""
        text = self.path.read_bytes().decode("utf-8", "replace") if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        kept, done = self._kept_csv(whole) if self._is_csv else self._kept_json(whole)
        if kept != text or not self.path.exists():
            with replacing(self.path) as scratch:
                scratch.write_bytes(kept.encode())
        return done

    def _kept_json(self, text: str) -> tuple[str, set[str]]:
        kept, done = [], set()
        for line in text.split("\n")[:-1]:
            try:
                record = parse_json(line, self.path.name, InvalidSetting)
                source, failed = record["source"], "error" in record
                hash(source)
            except (InvalidSetting, KeyError, TypeError) as error:
                raise InvalidSetting(
                    f"{self.path} holds a line that is no record ({line[:60]!r}); choose another output."
                ) from error
            if not failed:
                kept.append(line + "\n")
                done.add(source)
        return "".join(kept), done

    def _kept_csv(self, text: str) -> tuple[str, set[str]]:
        try:
            rows = list(csv.reader(io.StringIO(text)))
        except csv.Error as error:
            raise InvalidSetting(f"{self.path} is no table ({error}); choose another output.") from error
        if rows and rows[0] != self._columns():
            raise InvalidSetting(f"{self.path} has other columns than ours; choose another output.")
        good = [row for row in rows[1:] if len(row) == len(self._columns()) and not row[-1]]
        return "".join(map(_csv_line, [self._columns(), *good])), {unspelled(row[0]) for row in good}

    def _columns(self) -> list[str]:
        pairs = [name for i in range(1, self._top + 1) for name in (f"label_{i}", f"probability_{i}")]
        if self._models:
            pairs = [f"{model}: {name}" for model in self._models for name in pairs]
        return ["source", "start_s", "end_s", *pairs, "notes", "error"]

    def _row(self, record: Record) -> str:
        answers = record.get("models", [{}] * len(self._models)) if self._models else [record]
        cells = [cell for answer in answers for cell in self._pairs(answer)]
        spans = [answer["span"] for answer in answers if "span" in answer]
        start, end = spans[0] if spans else ("", "")
        notes = "; ".join(dict.fromkeys(note for answer in answers for note in _notes(answer)))
        return _csv_line([record["source"], start, end, *cells, notes, record.get("error", "")])

    def _pairs(self, answer: Mapping[str, Any]) -> list[Any]:
        """Labels and probabilities of one model, with blanks behind them where it has fewer."""
        top = answer.get("top", [])[: self._top]
        pairs = [cell for each in top for cell in (each["label"], each["probability"])]
        return pairs + [""] * (2 * self._top - len(pairs))


def _notes(answer: Mapping[str, Any]) -> list[str]:
    """The notes on an answer; one more where it is none of what the model knows, which the labels hide."""
    notes = list(answer.get("notes", ()))
    top = answer.get("top", ())
    if "answer" in answer and top and answer["answer"] != top[0]["label"]:
        by = f"{answer['model']}: " if "model" in answer else ""
        notes.append(f"{by}the answer is {answer['answer']!r}")
    return notes


def _csv_line(cells: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
