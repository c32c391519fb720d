"""The command line, from raw videos to report, as a user types it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinesphere.apps.cli.main import VERBS
from kinesphere.video import probe

# The fixture of that name: words in; `code`, `out` and `err` out.
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(mannequins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a few steps of training."""
    from kinesphere.apps.html import write_report_html
    from kinesphere.train import Recipe, train

    out = tmp_path_factory.mktemp("runs") / "tiny"
    settings = ["model.name=kine_tiny", "train.epochs=2", "compute.workers=0", f"out={out}"]
    write_report_html(train(Recipe.load(mannequins / "manifest.csv", settings)).folder)
    return out


def test_help_names_every_verb(kinesphere: Command) -> None:
    ended = kinesphere("--help")
    assert ended.code == 0
    assert all(verb in ended.out for verb, _ in VERBS)


def test_a_typo_is_wrong_usage(kinesphere: Command) -> None:
    assert kinesphere("predikt").code == 2


def test_doctor_finds_the_codecs_we_need(kinesphere: Command) -> None:
    ended = kinesphere("doctor", "--json")
    states = {finding["subject"]: finding["state"] for finding in json.loads(ended.out)}
    assert states["decode h264"] == states["encode libx264"] == "ok"
    assert "kinesphere doctor" in kinesphere("doctor").out


def test_models_lists_and_shows_cards(kinesphere: Command) -> None:
    names = {entry["name"] for entry in json.loads(kinesphere("models", "--json").out)}
    assert {"r3d_18", "kine_small", "fc"} <= names
    assert "r3d_tiny" not in names
    card = json.loads(kinesphere("models", "r3d_18", "--json").out)
    assert card["inputs"][0]["sampling"] == "16x1x1"
    assert "download.pytorch.org" in kinesphere("models", "r3d_18").out
    unknown = kinesphere("models", "r3d18")
    assert unknown.code == 2
    assert "did you mean r3d_18" in unknown.err


def test_check_lists_what_is_unreadable(kinesphere: Command, mannequins: Path, tmp_path: Path) -> None:
    good = json.loads(kinesphere("check", mannequins, "--json").out)
    assert good["clips"] == 24
    assert good["unreadable"] == []
    data = tmp_path / "data"
    shutil.copytree(mannequins, data)
    broken = sorted((data / "videos").glob("*.mp4"))[0]
    broken.write_bytes(b"not a video at all")
    ended = kinesphere("check", data, "--json")
    assert ended.code == 1
    assert [entry["path"] for entry in json.loads(ended.out)["unreadable"]] == [str(broken)]
    table = kinesphere("check", data, "--preview", tmp_path / "sheet.png")
    assert broken.name in table.out
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_train_writes_a_run_with_its_report(kinesphere: Command, mannequins: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", mannequins / "manifest.csv", "model.name=kine_tiny", "train.epochs=1", f"out={out}"]
    ended = kinesphere(*words, "compute.workers=0", "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert result["report"]["clips"] == 6
    for name in ("recipe.yaml", "model.safetensors", "metrics.csv", "report.json", "report.html"):
        assert (out / name).is_file(), name
    again = kinesphere(*words)
    assert again.code == 2
    assert "already holds a run" in again.err
    assert kinesphere("train", out, "--resume").code == 0


def test_a_wrong_setting_is_named_with_the_nearest(kinesphere: Command, mannequins: Path) -> None:
    ended = kinesphere("train", mannequins, "optimizer.learning_rat=1")
    assert ended.code == 2
    assert "there is no setting 'optimizer.learning_rat'" in ended.err


@pytest.mark.slow
def test_folds_in_one_command(kinesphere: Command, mannequins: Path, tmp_path: Path) -> None:
    out = tmp_path / "cv"
    words = ["train", mannequins, "model.name=kine_tiny", "train.epochs=1", "compute.workers=0", f"out={out}"]
    ended = kinesphere(*words, "--folds", "3", "--json")
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)["report"]
    assert report["clips"] == 24
    assert len(report["folds"]) == 3
    assert (out / "report.html").is_file()
    wrong = kinesphere(*words, "--folds", "one")
    assert wrong.code == 2
    assert "`group` or a number of at least 2" in wrong.err


def test_evaluate_prints_the_report(
    kinesphere: Command, trained: Path, mannequins: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scored"
    ended = kinesphere("evaluate", trained, mannequins, "--split", "test", "--views", "2x3", "--json")
    report = json.loads(ended.out)
    assert set(report["scores"]["top1"]) == {"value", "low", "high"}
    assert report["clips"] == 6
    assert report["skipped"] == []
    table = kinesphere("evaluate", trained, mannequins, "--split", "test", "--out", out)
    assert "top-1" in table.out
    assert (out / "report.html").is_file()


def test_evaluate_counts_what_it_skips(
    kinesphere: Command, trained: Path, mannequins: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(mannequins, data)
    broken = sorted((data / "videos").glob("test_*.mp4"))[0]
    broken.write_bytes(b"")
    ended = kinesphere("evaluate", trained, data, "--split", "test", "--json")
    assert ended.code == 1
    report = json.loads(ended.out)
    assert report["clips"] == 5
    assert report["skipped"][0]["path"] == str(broken)


def test_predict_one_object_a_video(kinesphere: Command, trained: Path, mannequins: Path) -> None:
    video = sorted((mannequins / "videos").glob("test_*.mp4"))[0]
    ended = kinesphere("predict", video, "--model", trained, "--json", "--top", 2)
    said = json.loads(ended.out)
    assert said["source"] == str(video)
    assert len(said["top"]) == 2
    assert "%" in kinesphere("predict", video, "--model", trained).out


def test_predict_a_folder_goes_on_where_it_stopped(
    kinesphere: Command, trained: Path, mannequins: Path, tmp_path: Path
) -> None:
    folder, log = tmp_path / "videos", tmp_path / "said.jsonl"
    folder.mkdir()
    for video in sorted((mannequins / "videos").glob("test_*.mp4"))[:2]:
        shutil.copy(video, folder)
    (folder / "broken.mp4").write_bytes(b"nothing")
    first = kinesphere("predict", folder, "--model", trained, "--out", log)
    assert first.code == 1
    assert "broken.mp4" in first.out
    assert len(log.read_text().splitlines()) == 3
    second = kinesphere("predict", folder, "--model", trained, "--out", log, "--json")
    assert [json.loads(line)["source"] for line in second.out.splitlines()] == [str(folder / "broken.mp4")]
    other = kinesphere("predict", folder, "--model", trained, "--out", log, "--views", "2x1")
    assert other.code == 2
    assert "was written with other settings" in other.err


def test_predict_writes_timelines_segments_and_annotated_copies(
    kinesphere: Command, trained: Path, mannequins: Path, tmp_path: Path
) -> None:
    video = sorted((mannequins / "videos").glob("test_*.mp4"))[0]
    words = ["predict", video, "--model", trained, "--window", 1, "--stride", 0.5, "--threshold", 0]
    said = json.loads(kinesphere(*words, "--json").out)
    assert [window["span"] for window in said["timeline"]] == [[0.0, 1.0], [0.5, 1.5], [1.0, 2.0]]
    ended = kinesphere(*words, "--segments", tmp_path / "s.vtt", "--annotate", tmp_path / "copies")
    assert ended.code == 0, ended.err
    assert (tmp_path / "s.vtt").read_text().startswith("WEBVTT")
    assert probe(tmp_path / "copies" / video.name).frame_count == 16


def test_predict_refuses_what_cannot_work(kinesphere: Command, trained: Path, mannequins: Path) -> None:
    videos = mannequins / "videos"
    alone = kinesphere("predict", videos, "--model", trained, "--stride", 1)
    assert alone.code == 2
    assert "give --window as well" in alone.err
    crowded = kinesphere("predict", videos, "--model", trained, "--annotate", "one.mp4")
    assert crowded.code == 2
    assert "but there are 24 videos; name a folder" in crowded.err


def test_import_writes_our_format(kinesphere: Command, tmp_path: Path) -> None:
    import torch

    from kinesphere.models import create_model, load_model

    source = create_model("r3d_tiny", ("clap", "wave"))
    torch.save(source.net.state_dict(), tmp_path / "theirs.pth")
    (tmp_path / "names.txt").write_text("clap\nwave\n")
    out = tmp_path / "ours.safetensors"
    words = ["import", tmp_path / "theirs.pth", "--model", "r3d_tiny", "--out"]
    ended = kinesphere(*words, out, "--labels", tmp_path / "names.txt", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["classes"] == 2
    assert load_model(out).labels.names == ("clap", "wave")
    wrong = kinesphere(*words, tmp_path / "ours.pth")
    assert wrong.code == 2
    assert "--out names a .safetensors file" in wrong.err
    deeper = kinesphere("import", tmp_path / "theirs.pth", "--model", "r3d_18", "--out", out)
    assert deeper.code == 2
    assert deeper.err.startswith("InvalidCheckpoint: These weights are no r3d_18")


def test_import_sets_arguments_of_the_network(kinesphere: Command, tmp_path: Path) -> None:
    import torch

    from kinesphere.models import create_model, load_model
    from kinesphere.models.registry import MODELS

    ours = create_model("posec3d_tiny", ("clap", "wave")).net.state_dict()
    torch.save(MODELS.get("posec3d_tiny").key_maps[0].to_theirs(ours).state, tmp_path / "theirs.pth")
    out = tmp_path / "ours.safetensors"
    words = ["import", tmp_path / "theirs.pth", "--model", "posec3d_tiny", "--out", out, "--set"]
    ended = kinesphere(*words, "draw=limbs")
    assert ended.code == 0, ended.err
    assert "label names are numbers" in ended.out
    assert load_model(out).arguments["draw"] == "limbs"
    for wrong in ("draw", "=limbs", "draw={a: 1}"):
        assert "Cannot read --set" in kinesphere(*words, wrong).err
    assert "has no argument 'drow'" in kinesphere(*words, "drow=limbs").err


def test_import_takes_backbones_of_images(kinesphere: Command, tmp_path: Path) -> None:
    import torch

    from kinesphere.models import create_model, load_model
    from kinesphere.models.registry import MODELS

    ours = create_model("i3d_resnet_tiny", ("clap", "wave")).net.state_dict()
    flat = {k: v.mean(2) if v.dim() == 5 else v for k, v in ours.items() if not k.startswith("fc.")}
    image = next(m for m in MODELS.get("i3d_resnet_tiny").key_maps if m.backbone_only)
    torch.save(image.to_theirs(flat).state, tmp_path / "image.pth")
    (tmp_path / "names.txt").write_text("sit\nstand\nfall\n")
    out = tmp_path / "ours.safetensors"
    words = ["import", tmp_path / "image.pth", "--model", "i3d_resnet_tiny", "--out", out]
    assert "--backbone --labels" in kinesphere(*words).err
    assert "add --backbone" in kinesphere(*words, "--inflation", "centre").err
    assert "give those to learn with --labels" in kinesphere(*words, "--backbone").err
    words += ["--backbone", "--labels", tmp_path / "names.txt", "--inflation", "centre", "--json"]
    ended = kinesphere(*words)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["fresh"] == ["fc.bias", "fc.weight"]
    assert "kernels inflated over time: centre" in json.loads(ended.out)["notes"]
    assert load_model(out).labels.names == ("sit", "stand", "fall")


@pytest.mark.slow
def test_import_joins_two_streams(kinesphere: Command, tmp_path: Path) -> None:
    import torch

    from kinesphere.models import create_model, load_model
    from kinesphere.models.registry import MODELS

    files = []
    for name in ("i3d_inception", "i3d_inception_flow"):
        with torch.device("meta"):
            ours = create_model(name, ("clap", "wave")).net.state_dict()
        zeros = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in ours.items()}
        files.append(tmp_path / f"{name}.pt")
        torch.save(MODELS.get(name).key_maps[0].to_theirs(zeros).state, files[-1])
    out = tmp_path / "ours.safetensors"
    words = ["--model", "two_stream_i3d", "--out", out]
    ended = kinesphere("import", *files, *words)
    assert ended.code == 0, ended.err
    assert load_model(out).card.name == "two_stream_i3d"
    assert "flow: imported i3d_inception_flow.pt" in ended.out
    assert (
        "from two files, first the pixels', then the flow's; got 1"
        in kinesphere("import", files[0], *words).err
    )
    words[1] = "i3d_inception"
    assert "i3d_inception is read from one file; got 2" in kinesphere("import", *files, *words).err


def test_cards_show_one_of_their_weights(kinesphere: Command) -> None:
    shown = kinesphere("models", "ir_csn_152.k400_scratch").out
    assert "400 classes of kinetics400 (named); mmaction2 layout" in shown
    assert "learnt from Kinetics-400" in shown
    assert "(Apache-2.0)" in shown
    assert "ir_csn_152.k400_ig65m" not in shown
    assert max(map(len, shown.splitlines())) > 120  # an address is one piece
    (entry,) = json.loads(kinesphere("models", "r3d_18.k400", "--json").out)["weights"]
    assert (entry["licence"], entry["trained_on"]) == ("BSD-3-Clause", ["unknown", "kinetics400"])
    assert "has no weights 'k40'; public ones: k400" in kinesphere("models", "r3d_18.k40").err
    fixed = kinesphere("models", "two_stream").out
    assert "std 20, 20; size fixed" in fixed
    assert "reads      no foreign checkpoints" in fixed
    assert "torchvision (images)" in kinesphere("models", "tsm_resnet50").out


def test_check_says_what_the_weights_have_met(kinesphere: Command, tmp_path: Path) -> None:
    rows = [f"{n}.mp4,A{n:03d}" for n in range(1, 61)]  # as NTU RGB+D numbers its actions; no file is needed
    (tmp_path / "m.csv").write_text("\n".join(("path,label", *rows)))
    for tag, said in (("ntu120_pyskl", True), ("ntu60_pyskl", False)):
        ended = kinesphere("check", tmp_path / "m.csv", "--model", f"stgcnpp.{tag}", "--json")
        kinds = [problem["kind"] for problem in json.loads(ended.out)["problems"]]
        assert ("pre-training" in kinds) == said
    assert "has no weights 'ntu'" in kinesphere("check", tmp_path / "m.csv", "--model", "stgcnpp.ntu").err


@pytest.mark.slow
def test_demo_does_the_whole_job(kinesphere: Command, tmp_path: Path) -> None:
    words = ("demo", "compute.precision=bf16", "--out", tmp_path, "--clips-per-class", 10, "--epochs", 1)
    ended = kinesphere(*words, "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert result["report"]["provenance"]["precision"] == "bf16"
    assert Path(result["html"]).is_file()
    assert set(result["reversed_pairs"]) == {"in_order", "shuffled"}
    assert result["report"]["clips"] == 20
    assert (tmp_path / "predicted.mp4").is_file()
    assert (tmp_path / "preview.png").is_file()


def test_demo_refuses_settings_of_its_data_before_it_makes_any(kinesphere: Command, tmp_path: Path) -> None:
    for override in ("data.source=elsewhere", "out=elsewhere"):
        ended = kinesphere("demo", override, "--out", tmp_path)
        assert ended.code == 2
        assert "The demo makes its own data" in ended.err
    assert not list(tmp_path.iterdir())
