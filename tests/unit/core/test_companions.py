from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCORE = """
import numpy as np
from kinesphere.core.errors import KinesphereError
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate import Predictions, Protocol, Environment, report_from_predictions
try:
    table = Predictions(
        LabelSet(("a", "b")), ("0", "1"), ("0", "1"), (None, None), (None, None), np.array([0, 1]), np.eye(2),
        (None, None),
    )
    report_from_predictions(table, Protocol("data"), Environment("m", "0", "0", "cpu", "fp32"))
except KinesphereError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """Environment of a process in which torchvision is installed, and was built for another torch."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    facts = tmp_path / "torchvision-0.1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1\n")
    places = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places)}


@pytest.mark.parametrize("command", [["-c", SCORE], ["-m", "kinesphere", "doctor", "--json"]])
@pytest.mark.slow
def test_a_torchvision_that_does_not_fit_is_named(broken: dict[str, str], command: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, *command], env=broken, capture_output=True, text=True, timeout=120
    )
    assert "torchvision 0.1 cannot be imported beside torch" in ended.stdout, ended.stderr[-800:]
    assert "pip uninstall torchvision" in ended.stdout
    assert "Traceback" not in ended.stderr
