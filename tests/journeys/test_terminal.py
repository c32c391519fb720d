"""Names and labels that hold what a terminal obeys: it is shown, never sent."""

from __future__ import annotations

import io
import json
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from kinesphere.apps.cli.console import indented, prepare_streams, print_json_line, tinted
from kinesphere.apps.cli.screen import PlainConsole
from kinesphere.core.errors import KinesphereWarning
from kinesphere.core.text import visible

HOSTILE = "a\x1b[2J\x1b]0;title\x07[red]b\x9b31m\nrefused  other\r\u202egnp.mp4"
"""Clears the screen, sets a title, is red, says a line of ours, and reads backwards."""


def obeyed(text: str) -> list[str]:
    """Characters that a terminal would obey, line breaks apart."""
    return [each for each in text if each != "\n" and unicodedata.category(each) in ("Cc", "Zl", "Zp")]


@given(st.text())
def test_what_is_visible_holds_nothing_that_is_obeyed(text: str) -> None:
    assert set(obeyed(visible(text))) <= {"\t"}
    assert not obeyed(visible(text, line=True))
    assert "\n" not in visible(text, line=True)
    assert json.loads(visible(json.dumps(text, ensure_ascii=False), json=True)) == text


def test_a_screen_with_colours_sends_its_own_and_no_others() -> None:
    sent = io.StringIO()
    screen = PlainConsole(
        file=sent, force_terminal=True, color_system="standard", width=200, highlight=False, markup=False
    )
    table = Table("name")
    table.add_row(Text(HOSTILE))
    screen.print(tinted((HOSTILE, "red")), soft_wrap=True)
    screen.print(HOSTILE, soft_wrap=True)
    screen.print(table)
    own = sent.getvalue().replace("\x1b[31m", "").replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert not obeyed(own)
    named, printed, *_ = own.splitlines()
    assert named == printed == visible(HOSTILE, line=True)
    assert r"a\x1b[2J\x1b]0;title\x07[red]b\x9b31m\nrefused" in named


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "NAME"],
        ["predict", "NAME", "--window", "1", "--json"],
        ["check", "FOLDER"],
        ["events", "NAME", "NAME"],
        ["live", "NAME"],
        ["extract", "pose", "FOLDER"],
        ["explain", "NAME", "--out", "FOLDER"],
        ["evaluate", "NAME", "FOLDER"],
        ["search", "NAME", "--in", "FOLDER"],
        ["models", "NAME"],
        ["train", "FOLDER", "data.labels=[NAME]"],
        ["score", "segments", "NAME", "--truth", "NAME"],
        ["--NAME"],
        ["NAME"],
        ["predict", "--NAME"],
        ["data", "NAME"],
    ],
    ids=lambda words: " ".join(words),
)
def test_names_of_files_reach_no_terminal(
    kinesphere: Callable[..., tuple[int, str, str]], tmp_path: Path, words: list[str]
) -> None:
    folder = tmp_path / "data" / HOSTILE
    folder.mkdir(parents=True)
    (folder / HOSTILE).write_bytes(b"no video")
    named = [
        word.replace("NAME", str(folder / HOSTILE)).replace("FOLDER", str(folder.parent)) for word in words
    ]
    code, out, err = kinesphere(*named)
    assert code in (1, 2)
    assert not obeyed(out + err)
    assert not any(line.startswith("refused  other") for line in (out + err).splitlines())


def test_warnings_and_json_are_spelled(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: heard.append(str(message)))
    prepare_streams()
    warnings.showwarning(KinesphereWarning(HOSTILE), KinesphereWarning, "file.py", 1)
    warnings.showwarning(UserWarning(HOSTILE), UserWarning, "file.py", 1)
    assert heard == [visible(HOSTILE)]
    print_json_line({"label": HOSTILE})
    out, err = capsys.readouterr()
    assert not obeyed(out + err)
    assert json.loads(out) == {"label": HOSTILE}
    assert indented("a\nrefused  b") == "a\n    refused  b"
