"""The example of docs/adding_a_modality.md, installed as a package of its own, is used by every room.

It runs in a process that never saw it before, as an installed package would be found.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kinesphere.video import VideoWriter

ROOT = Path(__file__).resolve().parents[2]
MODALITY, MODEL = re.findall(
    r"^```python\n(.*?)^```",
    (ROOT / "docs" / "adding_a_modality.md").read_text(encoding="utf-8"),
    re.M | re.S,
)
[ENTRY_POINTS] = re.findall(
    r"^```toml\n(.*?)^```", (ROOT / "docs" / "adding_a_modality.md").read_text(encoding="utf-8"), re.M | re.S
)

USE = """
import json, sys
from pathlib import Path
from rich.console import Console
from kinesphere.apps.cli.main import app
from kinesphere.data import Manifest, check
from kinesphere.predict import load
from kinesphere.train import Recipe
from kinesphere.train.run import train
from typer.testing import CliRunner

data = Path(sys.argv[1])
recipe = Recipe.build({
    "data": {"source": str(data), "val": 0.0, "test": 0.5, "cache": str(data.parent / "cache")},
    "model": {"name": "accel_tiny"}, "clip": {"accel": {"sampling": "uniform5"}},
    "augment": {"preset": "light", "speed_jitter": 0.1, "mixup": 0.2, "cutmix": 1.0},
    "train": {"epochs": 8, "batch_size": 4, "checkpoint_minutes": None}, "optimizer": {"lr": 0.05},
    "compute": {"device": "cpu", "precision": "fp32", "workers": 0}, "log": {"tensorboard": False},
    "out": str(data.parent / "run"),
})
run = train(recipe, console=Console(quiet=True))
predictor = load(str(run.folder))
videos = sorted(data.rglob("*.mp4"))
manifest = Manifest.read(data)
said = {
    "top1": run.report.scores["top1"].value,
    "sampling": str(predictor.specs[0].sampling),
    "predicted": [predictor.predict(str(video)).top(1)[0][0] for video in videos],
    "windows": len(predictor.timeline(str(videos[0]), window_s=0.5, stride_s=0.25).spans),
    "cached": len(list((data.parent / "cache").rglob("*"))),
    "checked": check(manifest, predictor.specs, workers=1).lacking,
}
evaluated = CliRunner().invoke(app, ["evaluate", str(run.folder), str(data), "--json"])
said["evaluated"] = json.loads(evaluated.stdout)["scores"]["top1"]["value"]
videos[0].with_name(videos[0].name + ".accel.csv").unlink()
found = check(manifest, predictor.specs, workers=1)
said["lacking"] = [found.lacking, *(p.message for p in found.problems if "accelerations" in p.kind)]
try:
    predictor.predict(str(videos[0]))
except Exception as error:
    said["refused"] = str(error)
print(json.dumps(said))
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages with the example in it."""
    package = tmp_path / "site" / "kinesphere_accel"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "modality.py").write_text(MODALITY, encoding="utf-8")
    (package / "model.py").write_text(MODEL, encoding="utf-8")
    about = package.with_name("kinesphere_accel-1.0.dist-info")
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: kinesphere-accel\nVersion: 1.0\n")
    sections = ENTRY_POINTS.replace('[project.entry-points."', "[").replace('"]', "]").replace('"', "")
    (about / "entry_points.txt").write_text(sections)
    return package.parent


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six videos of noise in each of two classes, which their accelerations alone tell apart."""
    rng = np.random.default_rng(0)
    for label, level in (("still", 0.0), ("shaken", 12.0)):
        for i in range(6):
            path = tmp_path / "data" / label / f"{i}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            with VideoWriter(path, (32, 32), 8) as writer:
                for frame in rng.integers(0, 255, (8, 32, 32, 3), dtype=np.uint8):
                    writer.write(frame)
            rows = np.column_stack([np.arange(0, 1, 0.05), level + rng.normal(size=(20, 3))])
            np.savetxt(path.with_name(path.name + ".accel.csv"), rows, delimiter=",")
    return tmp_path / "data"


@pytest.mark.slow
def test_a_modality_of_another_package_goes_all_the_way(site: Path, data: Path) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", USE, str(data)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["top1"] == said["evaluated"] == 1.0
    assert said["predicted"] == ["shaken"] * 6 + ["still"] * 6
    assert said["sampling"] == "uniform5"
    assert said["windows"] == 3
    assert said["cached"] > 0
    assert said["checked"] == 0
    assert said["lacking"][0] == 1
    assert "1 of 12 samples have no file of accelerations" in said["lacking"][1]
    assert "accel.csv" in said["refused"]
