from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.localise.people.detector import PeopleDetector
from kinesphere.localise.people.importing import import_people_detector, to_public
from kinesphere.models import create_model
from kinesphere.models.spatiotemporal.box_head import BoxHeadForm, Context


def detector(model: str, context: Context, classes: int = 3) -> PeopleDetector:
    torch.manual_seed(0)
    # Public files have no batch norm behind lateral convolutions.
    arguments: dict[str, Any] = {"lateral_norm": False} if model == "slowfast_tiny" else {}
    body = create_model(model, ["-"], arguments=arguments)
    numbers = {str(number): number for number in range(1, classes + 1)}
    spec: ClipSpec = body.specs[0].with_(size=(64, 96), resize="letterbox", short_side_px=None)
    form = BoxHeadForm(context=context, relation_width=8)
    found = PeopleDetector.around(body, LabelSet(tuple(numbers), multi=True), numbers, form, "dense", spec)
    found.net.eval()
    return found


@pytest.mark.parametrize(
    ("model", "context"), [("slowfast_tiny", "none"), ("slowfast_tiny", "actor"), ("slowonly_tiny", "frame")]
)
def test_a_public_file_becomes_the_same_detector(model: str, context: Context, tmp_path: Path) -> None:
    own = detector(model, context)
    torch.save({"state_dict": to_public(own), "meta": {}}, tmp_path / "ava.pth")
    names = {"1": "walk", "2": "wave", "3": "sit"}
    found = import_people_detector(tmp_path / "ava.pth", model, names, size=(64, 96))
    assert found.numbers == {"walk": 1, "wave": 2, "sit": 3}
    assert (found.net.form.context, found.net.form.stride_px) == (context, own.net.form.stride_px)
    clip = torch.randn(1, own.spec.length, 3, 64, 96)
    rois = torch.tensor([[0, 5.0, 5, 40, 60]])
    with torch.inference_mode():
        torch.testing.assert_close(found.net(clip, rois), own.net(clip, rois))
    again = PeopleDetector.load(found.save(tmp_path / "again.safetensors"))
    with torch.inference_mode():
        torch.testing.assert_close(again.net(clip, rois), own.net(clip, rois))


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    state = to_public(detector("slowonly_tiny", "none"))
    path = tmp_path / "ava.pth"
    torch.save(state | {"roi_head.neck.weight": torch.ones(2)}, path)
    with pytest.raises(InvalidCheckpoint, match=r"1 tensors are none of slowonly_tiny's: roi_head\.neck"):
        import_people_detector(path, "slowonly_tiny")
    torch.save({key: value for key, value in state.items() if "layer4" not in key}, path)
    with pytest.raises(InvalidCheckpoint, match="does not fit slowonly_tiny: "):
        import_people_detector(path, "slowonly_tiny")
    torch.save(state, path)
    with pytest.raises(InvalidSetting, match="No public detector of kine_tiny is known"):
        import_people_detector(path, "kine_tiny")
    with pytest.raises(InvalidSetting, match="names 1 classes that the file does not have, such as 80"):
        import_people_detector(path, "slowonly_tiny", {"80": "work on a computer"})
    with pytest.raises(InvalidSetting, match="names some of the 3 classes alike"):
        import_people_detector(path, "slowonly_tiny", {"1": "2"})
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(InvalidCheckpoint, match="holds no detector of people's actions"):
        import_people_detector(tmp_path / "other.pth", "slowonly_tiny")


def test_the_verb_imports_it(tmp_path: Path) -> None:
    torch.save(to_public(detector("slowonly_tiny", "none")), tmp_path / "ava.pth")
    (tmp_path / "map.pbtxt").write_text("item { name: 'walk' id: 1 }")
    out = tmp_path / "ava.safetensors"
    arguments = ["import", str(tmp_path / "ava.pth"), "--model", "slowonly_tiny", "--out", str(out)]
    done = CliRunner().invoke(app, [*arguments, "--labels", str(tmp_path / "map.pbtxt")])
    assert done.exit_code == 0, done.output
    assert "a detector of 3 actions of people" in done.output
    assert PeopleDetector.load(out).labels.names == ("walk", "2", "3")
