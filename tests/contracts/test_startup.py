"""What is answered without torch is answered without loading it; what a verb needs is loaded at once."""

from __future__ import annotations

import gc
import subprocess
import sys

from kinesphere.apps.cli.main import LOADED, VERBS, loading
from kinesphere.core.loading import begin_loading

_SCRIPT = """
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from kinesphere.apps.cli import main

for words in {commands}:
    sys.argv = ["kinesphere", *words]
    with suppress(SystemExit), redirect_stdout(StringIO()) as shown:
        main.run()
    assert shown.getvalue(), words
    found = sorted({heavy} & sys.modules.keys())
    assert not found, (words, found)
"""
_HEAVY = {"torch", "numpy", "av", "cv2", "pyarrow", "lightning", "torchmetrics", "rich.progress", "yaml"}


def test_help_loads_nothing_heavy() -> None:
    groups = (["data", "convert"], ["extract", "flow"], ["study", "background"], ["score", "detections"])
    # The help of these two names members of registries.
    verbs = [[name] for name, _ in VERBS if name not in ("render", "import-skeletons")]
    commands = [["--help"], ["--version"], *([*words, "--help"] for words in (*verbs, *groups))]
    script = _SCRIPT.format(commands=commands, heavy=_HEAVY)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_runs_are_listed_without_what_trains_them() -> None:
    script = "import sys, kinesphere.train.run_list; assert 'lightning' not in sys.modules"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_every_verb_says_what_it_loads() -> None:
    assert LOADED.keys() == {name for name, _ in VERBS} | {"data", "extract", "study", "score"}


def test_a_verb_is_entered_when_it_is_loaded() -> None:
    entered = []
    begin_loading()
    try:
        loading(lambda name: entered.append((name, gc.isenabled())), "colorsys")("x")
    finally:
        gc.unfreeze()
        gc.enable()
    assert entered == [("x", True)]
    assert "colorsys" in sys.modules
