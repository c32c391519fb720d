"""The study of backgrounds gives the verdict that is true of models whose rule is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kinesphere.apps.html.background import render_background
from kinesphere.clips import ClipSpec, Sampling, Views
from kinesphere.clips.augment.background import elsewhere
from kinesphere.clips.modalities.mask.file import write_masks
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.data import ClipDataset, Draw, Manifest, Sample
from kinesphere.data.background import Backdrop
from kinesphere.evaluate.metrics import Score
from kinesphere.evaluate.paired import Difference
from kinesphere.evaluate.predictions import Predictions
from kinesphere.explain.explaining import Question
from kinesphere.models import create_model
from kinesphere.predict import Opening, Predictor, VideoPredictor
from kinesphere.studies.background import Cell, study_background, verdict
from kinesphere.studies.comparison import ComparedCell
from kinesphere.studies.comparison import verdict as compared
from kinesphere.studies.conditions import CONDITIONS, perturbation
from kinesphere.studies.pictures import condition_strips
from kinesphere.video import VideoWriter

LABELS = LabelSet(("left", "right"))
SPEC = ClipSpec(Sampling.parse("8x1x1"), (32, 32), resize="stretch")
SIZE, FRAMES = (64, 64), 12
GROUND = {"left": (30, 30, 160), "right": (160, 30, 30)}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A white square that moves left on blue ground, or right on red ground, with its masks."""
    root = tmp_path_factory.mktemp("squares")
    for label, colour in GROUND.items():
        for number in range(3):
            path = root / label / f"{number}.mp4"
            path.parent.mkdir(exist_ok=True)
            masks = np.zeros((FRAMES, *SIZE), np.uint8)
            with VideoWriter(path, SIZE, 12) as writer:
                for i in range(FRAMES):
                    step = i if label == "right" else FRAMES - 1 - i
                    masks[i, 20 + 4 * number : 40 + 4 * number, 4 + 2 * step : 20 + 2 * step] = 255
                    frame = np.broadcast_to(np.array(colour, np.uint8), (*SIZE, 3)).copy()
                    frame[masks[i] > 0] = 255
                    writer.write(frame)
            write_masks(path.with_name(path.name + ".mask.npz"), masks, size=SIZE, origin="the truth")
    return root


class Rule(VideoPredictor):
    """Answers by the ground's colour, or by the way that the white square goes."""

    def __init__(self, name: str, by: str, spec: ClipSpec = SPEC) -> None:
        super().__init__(name, Compute("cpu", "fp32", True), Opening())
        self._by, self._specs, self.asked = by, (spec,), 0

    @property
    def labels(self) -> LabelSet:
        return LABELS

    @property
    def specs(self) -> tuple[ClipSpec, ...]:
        return self._specs

    def probabilities(self, inputs: Sequence[Tensor], views: Views = Views()) -> Tensor:  # noqa: B008
        self.asked += 1
        x = inputs[0][:, 0].float()
        if self._by == "ground":
            redness = (x[:, :, 0] - x[:, :, 2]).mean((1, 2, 3))
            lead = redness / 100
        else:
            white = (x.amin(2) > 200).float().sum(2)  # (B, T, W)
            place = (white * torch.arange(white.shape[-1])).sum(-1) / white.sum(-1).clamp(min=1)
            lead = place[:, -1] - place[:, 0]
        return torch.stack([-lead, lead], 1).softmax(-1)

    def digest(self) -> str:
        return self.name


@pytest.mark.slow
def test_the_verdict_is_true_of_models_whose_rule_is_known(videos: Path, tmp_path: Path) -> None:
    models = [Rule("colours", "ground"), Rule("movements", "square")]
    study = study_background(models, Manifest.read(videos), tmp_path / "out")
    colours, movements = study.models
    assert colours.verdict.startswith("The background decides: of people before another class's background")
    assert movements.verdict.startswith("The people decide")
    assert [row.of("as_it_is").accuracy.value for row in study.models] == [1, 1]
    assert colours.of("swapped").as_background.value == 1  # type: ignore[union-attr]
    assert movements.of("swapped").as_background.value == 0  # type: ignore[union-attr]
    assert colours.of("no_people").accuracy.value == 1
    assert movements.of("no_people").accuracy.value < 1
    assert movements.of("people_on_mean").accuracy.value == 1
    assert movements.of("reversed").accuracy.value == 0
    assert (colours.contrasted.value, movements.contrasted.value) == (0, 0.5)
    assert movements.of("swapped").by_class["left"].value == 1
    # White squares on red and on blue ground: the mean lies between the grounds.
    assert study.colour[0] == pytest.approx(study.colour[2], abs=12)
    assert {(label, other) for _, label, _, other in study.pairs} == {("left", "right"), ("right", "left")}


@pytest.mark.slow
def test_answers_are_kept_and_the_same_call_goes_on(
    videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, again, root, out = Rule("colours", "ground"), Rule("colours", "ground"), tmp_path / "a", tmp_path
    shutil.copytree(videos, root)
    one = study_background([first], Manifest.read(root), out)
    kept = out / "00"
    (kept / "shuffled.parquet").unlink()
    (kept / "reversed.parquet").write_bytes(b"PAR1")
    table = Predictions.read(kept / "frozen.parquet")
    replace(table, ids=("foreign", *table.ids[1:])).write(kept / "frozen.parquet")
    two = study_background([again], Manifest.read(root), out)
    assert two.to_json() == one.to_json()
    assert 0 < again.asked < first.asked / 3
    assert "reversed.parquet is made again" in caplog.text
    assert "frozen.parquet holds answers to other clips" in caplog.text
    assert json.loads((out / "study.json").read_text()) == one.to_json()
    with pytest.raises(InvalidSetting, match=r"was written with other settings \(seed was 0, now 1\)"):
        study_background([first], Manifest.read(root), out, seed=1)
    masks = next(root.rglob("*.mask.npz"))
    write_masks(masks, np.full((FRAMES, *SIZE), 255, np.uint8), size=SIZE, origin="everything")
    with pytest.raises(InvalidSetting, match=r"was written with other settings \(files was"):
        study_background([first], Manifest.read(root), out)


def test_a_span_lends_the_background_of_its_own_time(videos: Path, tmp_path: Path) -> None:
    """A video whose first half is blue and whose second half is red; its parts are clips of both classes."""
    joined = tmp_path / "both.mp4"
    with VideoWriter(joined, SIZE, 12) as writer:
        for label in ("left", "right"):
            for _ in range(FRAMES):
                writer.write(np.broadcast_to(np.array(GROUND[label], np.uint8), (*SIZE, 3)).copy())
    masks = np.zeros((2 * FRAMES, *SIZE), np.uint8)
    write_masks(tmp_path / "elsewhere.mask.npz", masks, size=SIZE, origin="the truth")
    lender = Sample(
        "b", joined, ("right",), span=(1.0, 2.0), sidecars=(("mask", tmp_path / "elsewhere.mask.npz"),)
    )
    own = Manifest.read(videos).where(label="left").select([0])
    dataset = ClipDataset(own, SPEC, train=False, background=Backdrop("replace", lenders=(lender,)))
    (clip,) = dataset.clips(Draw(0))[0]
    corner = clip.data[:, :, 0, 0].float().mean(0)
    assert corner[0] > corner[2] + 60


@pytest.mark.slow
def test_clips_without_masks_are_listed(videos: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(videos)
    lone = next(iter(manifest)).path
    mask = lone.with_name(lone.name + ".mask.npz")
    kept = mask.read_bytes()
    mask.unlink()
    try:
        study = study_background([Rule("colours", "ground")], manifest, tmp_path)
    finally:
        mask.write_bytes(kept)
    assert study.clips == 5
    (left_out,) = study.skipped
    assert left_out.path == str(lone)
    assert "kinesphere extract mask" in left_out.reason


def test_data_that_cannot_be_studied_are_refused(videos: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(videos)
    model = Rule("colours", "ground")
    with pytest.raises(InvalidSetting, match="None of the 6 clips has masks"):
        study_background([model], manifest, tmp_path, extracts=Extracts(tmp_path, manifest.root))
    with pytest.raises(InvalidSetting, match="All videos show the class 'left'; there is no background"):
        study_background([model], manifest.where(label="left"), tmp_path)
    several = replace(manifest, labels=LabelSet(LABELS.names, multi=True))
    with pytest.raises(InvalidSetting, match="clips of several labels have none"):
        study_background([model], several, tmp_path)
    other = Rule("other", "ground")
    other.__class__ = type("Other", (Rule,), {"labels": property(lambda self: LabelSet(("up", "down")))})
    with pytest.raises(InvalidSetting, match="know the same labels"):
        study_background([model, other], manifest, tmp_path)


def test_a_model_of_poses_sees_no_background() -> None:
    pose = replace(
        SPEC, modality="pose", skeleton="coco17", mean=(0.5, 0.5), std=(0.5, 0.5), resize="short_side"
    )
    reach = {condition.name for condition in CONDITIONS if condition.reaches([pose])}
    assert reach == {"frozen", "shuffled", "reversed", "swapped_frozen"}


def test_still_flow_is_none_and_flow_backwards_turns_round() -> None:
    flow = ClipSpec(SPEC.sampling, SPEC.size, modality="flow", mean=(0, 0), std=(20, 20))
    x = torch.arange(8.0).view(1, 1, 4, 2, 1, 1)
    frozen, backwards = (perturbation(order, [flow]) for order in ("frozen", "reversed"))
    assert frozen is not None
    assert backwards is not None
    assert not frozen((x,))[0].any()
    assert torch.equal(backwards((x,))[0], -x.flip(2))
    pixels = perturbation("frozen", [SPEC])
    assert pixels is not None
    assert torch.equal(pixels((x,))[0][0, 0, 3], x[0, 0, 0])


def test_holes_elsewhere_do_not_cover_people() -> None:
    masks = np.zeros((2, 20, 40), np.uint8)
    masks[0, 5:15, 2:10], masks[1, 5:15, 4:12] = 255, 255
    moved = elsewhere(masks)
    assert moved.sum() == masks.sum()
    assert not ((moved > 0) & (masks > 0)).any()


def _cells(whole: float, swapped: float, taken: Score) -> list[Cell]:
    by_name = {condition.name: condition for condition in CONDITIONS}
    return [
        Cell(by_name["as_it_is"], Score(whole), None, {}),
        Cell(by_name["swapped"], Score(swapped), taken, {}),
    ]


@pytest.mark.parametrize(
    ("whole", "swapped", "taken", "says"),
    [
        (0.9, 0.3, Score(0.5, 0.4, 0.6), "The background decides"),
        (0.9, 0.8, Score(0.05, 0.01, 0.09), "The people decide"),
        (0.9, 0.75, Score(0.2, 0.15, 0.25), "Both count"),
        (0.9, 0.6, Score(0.05, 0.01, 0.09), "Both count"),
        (0.5, 0.5, Score(0.45), "Both count"),
        (0.1, 0.1, Score(0.05, 0.01, 0.09), "Neither is shown to decide"),
        (0.1, 0.1, Score(0.7, 0.6, 0.8), "The background decides"),
    ],
)
def test_the_verdict_follows_from_the_numbers(whole: float, swapped: float, taken: Score, says: str) -> None:
    assert verdict(_cells(whole, swapped, taken), 10).startswith(says)


@pytest.mark.slow
def test_a_cured_twin_is_held_against_its_model_clip_by_clip(videos: Path, tmp_path: Path) -> None:
    models = [Rule("colours", "ground"), Rule("movements", "square"), Rule("colours again", "ground")]
    study = study_background(models, Manifest.read(videos), tmp_path)
    cured, same = study.comparisons
    assert (cured.model, cured.against) == ("movements", "colours")
    assert cured.of("swapped").accuracy.value == 1
    assert cured.of("swapped").as_background.value == -1  # type: ignore[union-attr]
    assert cured.of("as_it_is").accuracy.value == 0
    assert cured.of("as_it_is").as_background is None
    assert cured.verdict.startswith("movements leans less on the background than colours: before another")
    assert same.verdict.startswith("No difference between colours again and colours is shown")
    assert study.to_json()["comparisons"][0]["verdict"] == cured.verdict
    page = render_background(study, [], data="squares")
    assert "movements less colours" in page
    assert "movements leans less on the background than colours" in page


@pytest.mark.parametrize(
    ("taken", "swapped", "says"),
    [
        (Difference(-0.3, -0.4, -0.2), Difference(0.2, 0.1, 0.3), "b leans less on the background than a"),
        (Difference(-0.3, -0.4, -0.2), Difference(0, -0.1, 0.1), "b leans less on the background than a"),
        (Difference(-0.3, -0.4, -0.2), Difference(-0.2, -0.3, -0.1), "b answers worse than a"),
        (Difference(0.2, 0.1, 0.3), Difference(-0.2, -0.3, -0.1), "b leans more on the background than a"),
        (Difference(-0.1, -0.3, 0.1), Difference(0.2, 0.1, 0.3), "No difference between b and a is shown"),
        (Difference(-0.1), Difference(0.2), "No difference between b and a is shown"),
    ],
)
def test_the_verdict_on_two_models_follows_from_the_numbers(
    taken: Difference, swapped: Difference, says: str
) -> None:
    by_name = {condition.name: condition for condition in CONDITIONS}
    cells = [
        ComparedCell(by_name["as_it_is"], Difference(0.0), None),
        ComparedCell(by_name["swapped"], swapped, taken),
    ]
    assert compared(("a", "b"), cells).startswith(says)


@pytest.mark.slow
def test_attribution_is_held_against_the_people(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of networks of pixels; what is explained once is kept."""
    manifest = Manifest.read(videos)
    torch.manual_seed(0)
    network = Predictor(create_model("fc_tiny", LABELS), Compute("cpu", "fp32", True), name="network")
    question = Question("gradient_x_input")
    study = study_background([network, network], manifest, tmp_path, attribution=question)
    share = study.models[0].on_people
    assert share is not None
    assert (share.method, len(share.clips), share.left_out) == ("gradient_x_input", 6, ())
    assert 0.02 < share.area.value < 0.2
    assert 0 < share.energy.value < 1
    assert study.comparisons[0].on_people == Difference(0.0, 0.0, 0.0)
    assert study.to_json()["models"][0]["on_people"]["energy"]["value"] == share.energy.value
    assert share.line() in render_background(study, [], data="squares")
    monkeypatch.setattr("kinesphere.studies.people.explain", None)
    again = study_background([network, network], manifest, tmp_path, attribution=question)
    assert again.to_json() == study.to_json()
    clip = manifest[0].id
    for damaged in ([1], {clip: {"energy": 0.5}}, {clip: {"reason": 5}}):
        (tmp_path / "00" / "attribution_gradient_x_input.json").write_text(json.dumps(damaged))
        with pytest.raises(InvalidSetting, match="holds no figures of clips; remove it"):
            study_background([network, network], manifest, tmp_path, attribution=question)
    with pytest.raises(InvalidSetting, match="attention"):
        study_background([network], manifest, tmp_path / "b", attribution=Question("attention_rollout"))


@pytest.mark.slow
def test_the_page_shows_numbers_and_pictures(videos: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(videos)
    study = study_background([Rule("colours", "ground")], manifest, tmp_path)
    strips = condition_strips(manifest, study, Extracts(None, manifest.root))
    assert [len(frames) for _, frames in strips] == [6] * len(CONDITIONS)
    page = render_background(study, strips, data="squares")
    assert "The background decides" in page
    assert page.count("data:image/jpeg") == 6 * len(CONDITIONS)
    assert "people before the background of another class" in page
