from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidManifest, LabelMismatch, UnsafeFile
from kinesphere.core.labels import LabelSet
from kinesphere.data.groups import with_groups
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.data.sample_table import SampleTable


def table(folder: Path, text: str, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def test_csv_gives_samples_with_every_column(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "path,label,start,end,group,split,id,camera\n"
        "a/1.mp4,wave,0.5,2,anna,train,one,front\n"
        '"b,2.mp4",walk,,,,test,two,\n',
    )
    manifest = Manifest.read(path)
    assert manifest.labels.names == ("walk", "wave")
    assert manifest[0] == Sample(
        "one", tmp_path / "a/1.mp4", ("wave",), (0.5, 2.0), "anna", "train", (("camera", "front"),)
    )
    assert manifest[1] == Sample(
        "two", tmp_path / "b,2.mp4", ("walk",), None, None, "test", (("camera", ""),)
    )


def test_csv_forgives_what_spreadsheets_add(tmp_path: Path) -> None:
    manifest = Manifest.read(table(tmp_path, "\ufeffpath, label\r\na.mp4, wave\r\n\r\n,\r\n\r\n"))
    assert [(s.id, s.labels) for s in manifest] == [("a.mp4", ("wave",))]


def test_any_column_can_be_the_label(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label,flow\na.mp4,wave,free\nb.mp4,walk,bound\n")
    manifest = Manifest.read(path, label_column="flow")
    assert manifest.labels.names == ("bound", "free")
    assert manifest[0].extra == (("label", "wave"),)


def test_any_column_can_be_the_group(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label,group,flow\na.mp4,wave,g,free\nb.mp4,walk,h,bound\n")
    manifest = Manifest.read(path, label_column="flow", group_column="label")
    assert manifest.groups == ("wave", "walk")
    manifest.write(tmp_path / "again.csv", label_column="flow")
    again = Manifest.read(tmp_path / "again.csv", label_column="flow", group_column="label")
    assert again.samples == manifest.samples
    with pytest.raises(InvalidManifest, match=r"no group column 'actor'; columns that could be: .*'flow'"):
        Manifest.read(path, group_column="actor")


def test_several_labels_make_the_set_multi(tmp_path: Path) -> None:
    manifest = Manifest.read(table(tmp_path, "path,label\na.mp4,wave|walk\nb.mp4,walk\nc.mp4,\n"))
    assert manifest.labels == LabelSet(("walk", "wave"), multi=True)
    assert manifest.targets == ((1, 0), (0,), ())


def test_spans_of_one_video_are_told_apart(tmp_path: Path) -> None:
    manifest = Manifest.read(table(tmp_path, "path,label,start,end\na.mp4,x,0,1\na.mp4,x,1,2.25\n"))
    assert [s.id for s in manifest] == ["a.mp4@0.0-1.0", "a.mp4@1.0-2.25"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\nx\n", r"manifest\.csv, row 1: there is no column 'path'; the header reads \['label'\]"),
        ("file;label\na.mp4;x\n", "separated by commas, semicolons or tabs"),
        ("path,path,label\na,b,x\n", r"row 1: columns \['path'\] appear twice"),
        ("path,klass\na.mp4,x\n", r"no label column 'label'; columns that could be: \['klass'\]"),
        ("path,label\na.mp4,x\nb.mp4\n", "row 3: 1 fields under 2 columns"),
        ("path,label\na.mp4,x,y\n", "row 2: 3 fields under 2 columns"),
        ("path,label,id\na.mp4,x,1\n\nb.mp4,x,1\n", "row 4: '1' is already in row 2; ids must be unique"),
        ("path,label\na.mp4,x\na.mp4,y\n", r"row 3: 'a.mp4' is already in row 2; join several labels"),
        ("path,label,start,end\na.mp4,x,1,\n", "row 2: start and end come together; got start '1', end ''"),
        (
            "path,label,start,end\na.mp4,x,ten,twenty\n",
            r"row 2: start and end are seconds such as 12\.5.*'ten'",
        ),
        ("path,label,start,end\na.mp4,x,00:00:01:12,2\n", "'00:00:01:12' is a timecode that counts frames"),
        ("path,label,start,end\na.mp4,x,1:75,2:00\n", "'1:75' is neither"),
        ("path,label,start,end\na.mp4,x,3,2\n", "row 2: a span runs from start to a later end.*got 3 to 2"),
        ("path,label,start,end\na.mp4,x,nan,2\n", "row 2: a span runs from start to a later end"),
        ("path,label,start,end\na.mp4,x,0,inf\n", "row 2: a span runs from start to a later end"),
        ("path,label\n,x\n", "row 2: the path is empty"),
        ("path,label\na\0.mp4,x\n", "row 2: the path is not a file name|not a CSV table"),
        ("path,label\nhttp://host/a.mp4,x\n", "row 2: a manifest lists files, not URLs"),
        ("path,label\na.mp4,x||y\n", "row 2: labels 'x\\|\\|y' are blank or repeated"),
        ("path,label\na.mp4,x|x\n", "row 2: labels 'x\\|x' are blank or repeated"),
        ("path,label\na.mp4,\n", "column 'label' is empty; give every sample a label"),
        ("path,label\na.mp4,\nb.mp4,x\n", "sample 'a.mp4' has 0 labels, but the label set takes exactly one"),
        ("path,label\n", "lists no samples; add a row per clip"),
        ("", "lists no samples"),
        ('path,label\n"a.mp4,x\n', "is not a CSV table in UTF-8"),
    ],
)
def test_csv_mistakes_are_named_with_file_and_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidManifest, match=message):
        Manifest.read(table(tmp_path, text))


def test_samples_without_a_label_are_left_out_if_asked_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(tmp_path, "path,label,grade\na.mp4,x,\nb.mp4,x,good\nc.mp4,y,poor\n")
    with pytest.raises(InvalidManifest, match=r"leave out unlabelled samples \(unlabelled=skip\)"):
        Manifest.read(path, label_column="grade")
    with caplog.at_level("INFO"):
        manifest = Manifest.read(path, label_column="grade", unlabelled="skip")
    assert [sample.labels for sample in manifest] == [("good",), ("poor",)]
    assert "1 of 3 samples have no label in column 'grade' and are left out" in caplog.text
    with pytest.raises(InvalidManifest, match="column 'label' is empty"):
        Manifest.read(table(tmp_path, "path,label\na.mp4,\n"), unlabelled="skip")


def test_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes("path,label\na.mp4,größe\n".encode("latin-1"))
    with pytest.raises(InvalidManifest, match="not a CSV table in UTF-8"):
        Manifest.read(path)


def test_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="neither a manifest file nor a folder"):
        Manifest.read(tmp_path / "absent.csv")


@pytest.mark.parametrize("path", ["../a.mp4", "x/../../a.mp4", "x/../../x/a.mp4"])
def test_relative_paths_stay_below_the_manifest(tmp_path: Path, path: str) -> None:
    with pytest.raises(UnsafeFile, match=r"row 2: path .* leaves the manifest's folder"):
        Manifest.read(table(tmp_path, f"path,label\n{path},x\n"))


def test_absolute_paths_and_inner_dots_are_taken(tmp_path: Path) -> None:
    manifest = Manifest.read(table(tmp_path, "path,label\n/data/a.mp4,x\nb/../c.mp4,x\n"))
    assert manifest[0].path == Path("/data/a.mp4")
    assert manifest[1].path == tmp_path / "b/../c.mp4"


def test_folder_of_classes(tmp_path: Path) -> None:
    files(
        tmp_path,
        "walk/b.MP4",
        "walk/cam1/c.avi",
        "wave/a.mp4",
        "wave/notes.txt",
        "wave/.hidden",
        ".git/x.mp4",
    )
    manifest = Manifest.read(tmp_path)
    assert [(s.id, s.labels[0], s.split) for s in manifest] == [
        ("walk/b.MP4", "walk", None),
        ("walk/cam1/c.avi", "walk", None),
        ("wave/a.mp4", "wave", None),
    ]
    assert {(each.path, each.reason) for each in manifest.unused} == {
        ("wave/notes.txt", "no video's suffix"),
        ("wave/.hidden", "hidden"),
        (".git", "hidden"),
    }


def test_folder_of_splits_of_classes(tmp_path: Path) -> None:
    files(tmp_path, "train/walk/a.mp4", "train/wave/b.mp4", "validation/walk/c.mp4", "test/wave/d.mp4")
    manifest = Manifest.read(tmp_path)
    assert {s.id: s.split for s in manifest} == {
        "train/walk/a.mp4": "train",
        "train/wave/b.mp4": "train",
        "validation/walk/c.mp4": "val",
        "test/wave/d.mp4": "test",
    }
    assert manifest.labels.names == ("walk", "wave")


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    files(tmp_path, "train/a.mp4", "boat/b.mp4")
    assert Manifest.read(tmp_path).labels.names == ("boat", "train")


@pytest.mark.parametrize("name", ["manifest.csv", "labels.csv"])
def test_a_table_in_the_folder_is_used(tmp_path: Path, name: str) -> None:
    files(tmp_path, "walk/a.mp4")
    table(tmp_path, "path,label\nwalk/a.mp4,run\n", name)
    assert Manifest.read(tmp_path).labels.names == ("run",)


def test_folder_without_classes_is_refused(tmp_path: Path) -> None:
    files(tmp_path, "a.mp4")
    with pytest.raises(InvalidManifest, match=r"no videos in class folders; write DATA/<class>/clip\.mp4"):
        Manifest.read(tmp_path)


def test_labels_can_be_given(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\na.mp4,wave\nb.mp4,wink\n")
    manifest = Manifest.read(path, labels=LabelSet(("wave", "walk")))
    assert manifest.counts() == {"wave": 1, "walk": 0, "wink": 1}
    with pytest.raises(LabelMismatch, match="'wink' is not among the 2 labels"):
        _ = manifest.targets


def test_where_selects_and_refuses_nothing(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label,group,split\na.mp4,x,g,train\nb.mp4,x,h,test\nc.mp4,y,g,test\n")
    manifest = Manifest.read(path)
    assert [s.id for s in manifest.where(split="test")] == ["b.mp4", "c.mp4"]
    assert [s.id for s in manifest.where(split="test", group="g")] == ["c.mp4"]
    assert [s.id for s in manifest.where(label="x")] == ["a.mp4", "b.mp4"]
    assert manifest.where(split="train").labels == manifest.labels
    assert manifest.splits == ("train", "test")
    assert manifest.groups == ("g", "h")
    with pytest.raises(InvalidManifest, match=r"No sample has split 'val'\. Splits: \['train', 'test'\]"):
        manifest.where(split="val")


def test_ids_are_unique_and_samples_not_none(tmp_path: Path) -> None:
    sample = Sample("a", tmp_path / "a.mp4", ("x",))
    with pytest.raises(InvalidManifest, match=r"ids must be unique; 1 are not, among them \['a'\]"):
        Manifest((sample, sample), LabelSet(("x",)), tmp_path)
    with pytest.raises(InvalidManifest, match="needs at least one sample"):
        Manifest((), LabelSet(("x",)), tmp_path)


def test_labels_with_bars_are_refused_wherever_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match=r"label 'x\|y' may not hold '\|', which joins labels"):
        Sample("a", tmp_path / "a.mp4", ("x|y",))
    files(tmp_path, "a|b/1.mp4", "c/2.mp4")
    with pytest.raises(InvalidManifest, match=r"label 'a\|b' may not hold '\|'.*give the class another name"):
        Manifest.read(tmp_path)


TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0|", exclude_categories=("C", "Z")), min_size=1
)
SAMPLES = st.lists(
    st.builds(
        lambda id_, name, labels, start, length, group: Sample(
            id_,
            Path("/") / f"{name.replace('/', '_')}.mp4",
            tuple(labels),
            (start, start + length) if length else None,
            group,
            extra=(("camera", id_), ("note", "")),
        ),
        TEXT,
        TEXT,
        st.lists(TEXT, min_size=1, max_size=3, unique=True),
        st.floats(0, 1e5),
        st.one_of(st.none(), st.floats(0.01, 1e5)),
        st.one_of(st.none(), TEXT),
    ),
    min_size=1,
    max_size=5,
    # Samples of one file are a group, which then stands in the table.
    unique_by=(lambda sample: sample.id, lambda sample: sample.path),
)


@given(samples=SAMPLES, suffix=st.sampled_from(["csv", "parquet"]))
@example(samples=[Sample("0", Path("/P00_cam.mp4"), ("0",))], suffix="csv")
def test_writing_and_reading_gives_the_same_samples(
    samples: list[Sample], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("round") / f"manifest.{suffix}"
    labels = LabelSet.from_labels(name for s in samples for name in s.labels)
    Manifest(tuple(samples), labels, path.parent).write(path)
    # A name such as P00_cam tells the group of a sample that has none.
    grouped, _ = with_groups(SampleTable.of(samples), str)
    assert Manifest.read(path).samples == tuple(grouped)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_written_paths_move_with_the_folder(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    Manifest((Sample("a", old / "v/a.mp4", ("x",)),), LabelSet(("x",)), old).write(old / "m.csv")
    old.rename(new)
    assert Manifest.read(new / "m.csv")[0].path == new / "v/a.mp4"


def test_broken_parquet_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "PAR1 not really", "m.parquet")
    with pytest.raises(InvalidManifest, match="not a readable Parquet table"):
        Manifest.read(path)


def test_parquet_cells_may_be_typed(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "path": ["a.mp4", "b.mp4"],
        "label": [["x", "y"], ["x"]],
        "start": [0.5, None],
        "end": [2.0, None],
        "group": [7, None],
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    manifest = Manifest.read(tmp_path / "m.parquet")
    assert manifest[0].labels == ("x", "y")
    assert manifest[0].span == (0.5, 2.0)
    assert [s.group for s in manifest] == ["7", None]


def test_fingerprint_follows_content_not_order_or_place(tmp_path: Path) -> None:
    files(tmp_path / "one", "x/a.mp4", "y/b.mp4")
    files(tmp_path / "two", "x/a.mp4", "y/b.mp4")
    first, second = Manifest.read(tmp_path / "one"), Manifest.read(tmp_path / "two")
    assert first.fingerprint() == second.fingerprint() == first.select([1, 0]).fingerprint()
    (tmp_path / "two/x/a.mp4").write_bytes(b"longer than before")
    assert first.fingerprint() != second.fingerprint()
    assert first.fingerprint() != first.select([0]).fingerprint()
