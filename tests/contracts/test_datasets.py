"""Every data set against its card: what its own example becomes; a data set is added by one file."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinesphere.apps.cli.main import app
from kinesphere.core.errors import InvalidAnnotation, InvalidManifest, InvalidSetting, UnknownName
from kinesphere.core.registry import Registry
from kinesphere.data import Manifest
from kinesphere.data.catalogue import DATASETS, datasets_of
from kinesphere.datasets import import_skeletons
from kinesphere.synthetic.clips import plan_clips
from kinesphere.synthetic.mocap import render_motions
from kinesphere.synthetic.settings import MannequinSettings

Install = Callable[[Registry[Any], str, str], None]
SKELETONS = datasets_of("skeletons", "motion capture")
LISTED = tuple(name for name in DATASETS if DATASETS.get(name).entries is not None)


def example(name: str, folder: Path) -> Path:
    folder.mkdir()
    return DATASETS.get(name).write_example(folder)


@pytest.mark.parametrize("name", DATASETS)
def test_examples_become_what_the_card_says(name: str, tmp_path: Path) -> None:
    card = DATASETS.get(name).card
    assert all((card.title, card.size, card.licence, card.source, card.layout))
    source = example(name, tmp_path / "set")
    has_table = source.is_file() or any(source.glob("manifest.csv"))
    if DATASETS.get(name).entries is not None or (card.content == "videos" and not has_table):
        run("datasets", name, str(source), "--out", str(source / "manifest.csv"))
        manifest = Manifest.read(source)
    elif card.content == "videos":
        manifest = Manifest.read(source)
        assert tuple(DATASETS.get(name).read(source)) == manifest.samples
    else:
        done = import_skeletons(name, source, tmp_path / "out")
        assert done.failures == 0
        assert done.samples > 1
        manifest = Manifest.read(done.manifest)
        if card.protocols:
            assert done.protocols == card.protocols
    labels = {label for sample in manifest for label in sample.labels}
    assert len(labels) > 1
    assert labels <= set(card.classes) or not card.classes
    assert set(manifest.splits) == set(card.splits)
    assert all((sample.group is not None) == bool(card.groups) for sample in manifest)
    columns = {column for sample in manifest for column, _ in sample.extra}
    assert columns >= {*card.columns, *card.protocols}


@pytest.mark.parametrize("name", LISTED)
def test_what_of_a_listed_set_is_there_is_told(name: str, tmp_path: Path) -> None:
    """A video that is gone and one under another name are reported, and the clips of all others are read."""
    source = example(name, tmp_path / "set")
    dataset = DATASETS.get(name)
    whole = dataset.inventory(source, probe=True)
    assert whole.present == whole.listed > 2
    assert whole.failures == 0
    assert not whole.renamed
    assert not whole.extra
    assert sum(len(sample.labels) for sample in whole.samples) == sum(whole.classes.values())
    assert whole.parts == whole.present_parts
    assert not dataset.card.protocols or tuple(whole.parts) == dataset.card.protocols
    gone, renamed, *_ = dict.fromkeys(sample.path for sample in whole.samples)
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    frames = renamed.is_dir()  # whose numbers have no other form: they are found wherever they lie
    moved = renamed.rename(source / (renamed.name if frames else f"{renamed.stem.upper()}.mkv"))
    (source / "holiday.mp4").write_bytes(b"")
    part = dataset.inventory(source)
    assert (part.listed, part.present) == (whole.listed, whole.listed - 1)
    assert len(part.missing) == 1
    assert Path(part.missing[0]).name.startswith(gone.stem)
    assert [found for _, found in part.renamed] == ([] if frames else [moved.name])
    assert [each.path for each in part.extra] == ["holiday.mp4"]
    kept = {sample.id for sample in whole.samples if sample.path != gone}
    assert {sample.id for sample in part.samples} == kept
    assert part.classes == whole.classes


@pytest.mark.parametrize("name", SKELETONS)
def test_broken_files_are_counted_or_refused(name: str, tmp_path: Path) -> None:
    source = example(name, tmp_path / "set")
    files = sorted(path for path in [source, *source.rglob("*")] if path.is_file())
    files[-1].write_bytes(b"\x00 no such file")
    if len(files) == 1:
        with pytest.raises(InvalidAnnotation, match=files[0].name):
            import_skeletons(name, source, tmp_path / "out")
        return
    done = import_skeletons(name, source, tmp_path / "out")
    assert done.failures >= 1
    assert any(files[-1].stem in each.path for each in done.skipped if each.is_failure)


def test_a_broken_set_of_videos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("nothing\n")
    with pytest.raises(InvalidManifest):
        tuple(DATASETS.get("synthetic").read(tmp_path))
    with pytest.raises(InvalidSetting, match="holds videos, no skeletons; train on its folder as it is"):
        import_skeletons("synthetic", tmp_path, tmp_path / "out")
    with pytest.raises(InvalidSetting, match=r"play motion capture, not synthetic .*; train on it as"):
        render_motions("synthetic", tmp_path, tmp_path / "out")


def test_cards_of_generated_sets_count_what_is_planned() -> None:
    planned = Counter(plan.split for plan in plan_clips(MannequinSettings()))
    assert {count.split: count.number for count in DATASETS.get("synthetic").card.counts} == planned
    assert [count.number for count in DATASETS.get("laboratory").card.counts] == [3_900]


def test_unknown_sets_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no data set called 'utkinec'; did you mean utkinect"):
        DATASETS.get("utkinec")


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        app(list(words))
    assert ended.value.code == 0


def test_cards_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    run("datasets", "--json")
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert list(listed) == list(DATASETS)
    run("datasets", "ntu", "--json")
    assert json.loads(capsys.readouterr().out) == listed["ntu"]
    run("datasets", "bandai_namco")
    assert "CC BY-NC 4.0" in capsys.readouterr().out
    run("datasets")
    assert "msr_action3d" in capsys.readouterr().out


def test_a_data_set_is_one_file(tmp_path: Path, install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    """A module of another distribution is all that a set takes, up to the command line."""
    install(
        DATASETS,
        "kinesphere.datasets",
        """
        from kinesphere.annotations.formats.ntu import read_ntu, write_example
        from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard, Labelled, Recording
        from kinesphere.data.sample import Sample

        CARD = DatasetCard("Toy", "skeletons", "two", "none", "nowhere", "LABEL.skeleton", ("hop", "step"))

        def read(folder):
            for path in sorted(folder.glob("*.skeleton")):
                yield Recording(path.stem, read_ntu(path), (Labelled(path.stem),))
            for path in sorted(folder.glob("*.pose.npz")):  # made before
                yield Sample(path.name, path, ("step",))

        def example(folder):
            for label in CARD.classes:
                write_example(folder / f"{label}.skeleton")
            return folder

        DATASETS.add("toy", Dataset(CARD, read, example))
        """,
    )
    source = example("toy", tmp_path / "set")
    run("import-skeletons", "toy", str(source), "--out", str(tmp_path / "out"), "--json")
    told = json.loads(capsys.readouterr().out)
    assert list(Manifest.read(told["manifest"]).labels) == ["hop", "step"]
    run("datasets", "toy")
    assert "Toy" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        app(["import-skeletons", "--help"])
    assert "pyskl, toy, utkinect" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "out" / "poses" / "hop.pose.npz").rename(source / "made.pose.npz")
    assert import_skeletons("toy", source, tmp_path / "again").samples == 3
