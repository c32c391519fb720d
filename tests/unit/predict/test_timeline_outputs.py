from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.annotations.timed_files import read_timed
from kinesphere.core.errors import InvalidSetting, UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.files.segments import score_segments
from kinesphere.predict import SegmentRule, TimelineRow, annotation_row, read_timeline
from kinesphere.predict.files.hues import hues
from kinesphere.predict.files.lanes import clock, lanes, shown, ticks
from kinesphere.predict.files.registry import TIMELINE_FILES
from kinesphere.predict.segmentation import Segment, segments
from kinesphere.predict.timeline import Timeline

from .conftest import MakeVideo

HOSTILE = 'a </script><b> & "so" $x_1$'
LABELS = LabelSet(("walk", HOSTILE, "fall"))
TRUTH = TimedLabels.of([TimedLabel("a b", "walk", 0, 2), TimedLabel("a b", HOSTILE, 2, 5)])


def timeline(source: str) -> Timeline:
    rows = [[0.9, 0.1, 0], [0.8, 0.2, 0], [0.1, 0.9, 0], [0.1, 0.7, 0.2], [0.4, 0.3, 0.3]]
    return Timeline(np.array(rows), np.array([(i, i + 1.0) for i in range(5)]), LABELS, source)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet", ".eaf", ".vtt"])
def test_what_is_written_is_scored_as_it_is(tmp_path: Path, suffix: str) -> None:
    answer = timeline("videos/a b.mp4")
    path = answer.write(tmp_path / f"a b{suffix}")
    found = read_timed(path)
    assert [(each.label, each.start_s, each.end_s) for each in found.labels] == [
        ("walk", 0, 2),
        (HOSTILE, 2, 4),
    ]
    scores = score_segments(found, TRUTH).scores
    assert scores["f1@0.5"].value == 1.0
    assert scores["frame_accuracy"].value == pytest.approx(4 / 5)
    # a folder of them, too
    assert {each.video for each in read_timed(tmp_path).labels} == {"a b"}


def test_json_holds_windows_and_segments(tmp_path: Path) -> None:
    answer = timeline("a.mp4")
    rule = SegmentRule(threshold=0.3, min_s=1.5)
    again = read_timeline(answer.write(tmp_path / "t.json", rule))
    np.testing.assert_array_equal(again.probabilities, answer.probabilities)
    assert segments(again, rule) == segments(answer, rule)
    assert '"rule": "threshold 0.3; at least 1.5 s"' in (tmp_path / "t.json").read_text()


def test_nothing_is_written_that_a_file_cannot_hold(tmp_path: Path) -> None:
    rows = [TimelineRow("truth", TRUTH.labels)]
    with pytest.raises(InvalidSetting, match=r"CSV \(.csv\) holds the segments of the timeline alone"):
        timeline("a.mp4").write(tmp_path / "t.csv", rows=rows)
    with pytest.raises(UnknownName, match=r"no kind of timeline file called '.txt'"):
        timeline("a.mp4").write(tmp_path / "t.txt")


def test_rows_of_annotations_are_those_of_the_video() -> None:
    row = annotation_row(TRUTH, "/x/a b.mp4")
    assert row is not None
    assert len(row.segments) == 2
    assert annotation_row(TRUTH, "other.mp4") is None
    assert annotation_row(TimedLabels((), ("other",)), "other.mp4") == TimelineRow("annotation", ())
    unnamed = TimedLabels((TimedLabel("", "walk", 0, 1),), ("",))
    assert annotation_row(unnamed, "any.mp4") == TimelineRow("annotation", unnamed.labels)


def test_pictures_show_every_row(tmp_path: Path) -> None:
    answer, rows = timeline("a.mp4"), [TimelineRow("truth", TRUTH.labels)]
    text = "".join(ET.parse(answer.write(tmp_path / "t.svg", rows=rows)).getroot().itertext())
    assert all(word in text for word in ("truth", "prediction", "walk", "a.mp4", HOSTILE))
    image = cv2.imread(str(answer.write(tmp_path / "t.png", rows=rows)))
    assert image is not None
    assert image.shape[1] == 1320


def test_a_picture_is_made_of_a_video_of_any_name(tmp_path: Path) -> None:
    name = "pay $5 or $\\frac{x}{$_^ \udcff.mp4"
    assert timeline("\u8df3\u821e.mp4").write(tmp_path / "t.png").is_file()  # warnings are errors here
    text = "".join(ET.parse(timeline(name).write(tmp_path / "t.svg")).getroot().itertext())
    assert "pay $5 or $\\frac{x}{$_^ \\udcff.mp4" in text


def test_probabilities_are_shown_over_the_time_that_windows_speak_for() -> None:
    answer = timeline("a.mp4")
    spans = np.array([(0, 2), (1, 3), (2, 4), (6, 8), (6.5, 8.5)])
    seen = shown(Timeline(answer.probabilities, spans, LABELS, "a.mp4"), SegmentRule(), ())
    np.testing.assert_allclose(seen.cells, [(0, 1.5), (1.5, 2.5), (2.5, 4), (6, 7.25), (7.25, 8.5)])
    many = Timeline(np.tile(answer.probabilities, (900, 1)), np.array([(i, i + 1.0) for i in range(4500)]),
                    LABELS, "a.mp4")  # fmt: skip
    seen = shown(many, SegmentRule(), ())
    np.testing.assert_allclose(seen.cells[[0, 1, -1]], [(0, 3), (3, 6), (4497, 4500)])
    assert len(seen.cells) == len(seen.curves["walk"][1])


class Page(HTMLParser):
    """Opened elements with their attributes, and which were closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "path", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_a_page_has_the_video_beside_it_and_a_button_for_each_segment(tmp_path: Path) -> None:
    answer = timeline(str(tmp_path / "videos" / "a b#1.mp4"))
    rows = [TimelineRow("truth", TRUTH.labels), TimelineRow("person 1", (Segment("walk", 0, 3, 0.5),))]
    text = answer.write(tmp_path / "out" / "page.html", rows=rows).read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.all("video")[0]["src"] == "../videos/a%20b%231.mp4"
    buttons = [each for each in page.all("button") if "segment" in (each.get("class") or "")]
    assert [each["data-start"] for each in buttons] == ["0.000", "2.000", "0.000", "0.000", "2.000"]
    assert buttons[-1]["aria-label"] == f"{HOSTILE}, 0:02.0 to 0:04.0, 80 %"
    assert [each["tabindex"] for each in buttons] == ["0", "-1", "0", "0", "-1"]
    # the table has everybody's segments, by their start
    heads, *cells = [part.split("<td") for part in text.partition("<table>")[2].split("<tr")[1:]]
    assert "Row" in heads[0]
    whose = ["person 1" if "person 1" in row[4] else "prediction" for row in cells]
    assert whose == ["prediction", "person 1", "prediction"]
    assert [each["data-row"] for each in page.all("tr")[1:]] == whose
    # nothing is loaded from anywhere: no address but the video's, and the policy says so
    addresses = {a[key] for _, a in page.found for key in ("src", "href", "srcset", "poster") if key in a}
    assert addresses == {"../videos/a%20b%231.mp4"}
    assert "http://" not in text
    assert "https://" not in text
    policy = next(each["content"] for each in page.all("meta") if "http-equiv" in each)
    assert policy is not None
    assert policy.startswith("default-src 'none'; media-src 'self' file:")
    stream = timeline("rtsp://camera/1").write(tmp_path / "stream.html").read_text(encoding="utf-8")
    assert "cannot be played here" in stream
    assert not Page(stream).all("video")


def test_an_annotated_copy_follows_the_rule(make_video: MakeVideo, tmp_path: Path) -> None:
    answer = timeline(str(make_video()))
    assert answer.write(tmp_path / "copies" / "a.mp4").stat().st_size > 0
    assert {".mp4", ".html", ".svg", ".eaf"} <= set(TIMELINE_FILES)


def test_a_single_window_is_drawn_over_its_length_and_facts_have_no_probability(tmp_path: Path) -> None:
    one = Timeline(np.array([[0.9, 0.1]]), np.array([[0.0, 2.0]]), LabelSet(("walk", "wave")), "a.mp4")
    rows = [TimelineRow("person 1: objects", (Segment("near ball", 0.0, 1.0, 1.0),))]
    text = one.write(tmp_path / "one.html", rows=rows).read_text(encoding="utf-8")
    assert 'd="M0.0 100L0.0 10L500.0 10L1000.0 10L1000.0 100Z"' in text
    assert "windows: 1 ·" in text
    assert text.count("<td>90 %</td>") == 1
    assert "<td>100 %</td>" not in text


def test_colours_are_of_one_label_up_to_two_dozen() -> None:
    chosen = hues(f"label {i}" for i in range(25))
    assert len({*chosen.values()}) == 24
    assert chosen["label 24"] == chosen["label 0"]
    assert chosen["label 12"] == "#96dfd6"


def test_lanes_ticks_and_clocks() -> None:
    spans = [(0, 4), (1, 2), (2, 3), (3.5, 5), (4, 6)]
    assert lanes([TimedLabel("", "a", start, end) for start, end in spans]) == [0, 1, 1, 1, 0]
    assert ticks(0, 61) == [0, 10, 20, 30, 40, 50, 60]
    assert ticks(0, 36_000)[:2] == [0, 3600]
    assert (clock(59.96), clock(3723.4)) == ("1:00.0", "1:02:03.4")


SCRIPT = """<script>
addEventListener("load", () => {
  const log = [];
  const clock = document.querySelector(".clock"), head = document.querySelector(".head");
  const say = () => log.push(`${clock.textContent} ${head.style.left}`);
  document.querySelectorAll(".own .segment")[1].click(); say();
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true })); say();
  document.querySelector("tbody tr").click(); say();
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "n", bubbles: true })); say();
  document.querySelectorAll(".segment")[1].click(); say();
  document.title = `${log.join("|")} ${document.querySelector(".said").textContent}`;
});
</script>"""


@pytest.mark.slow
def test_the_page_in_chromium(tmp_path: Path) -> None:
    """Clicks and keys move the head; the words below the video name the moment."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("chromium is not installed, so that the page's script is not run")
    rows = [TimelineRow("person 1", (Segment("run", 0, 3, 0.5), Segment("jump", 1, 3, 0.5)))]
    path = timeline(str(tmp_path / "a.mp4")).write(tmp_path / "page.html", rows=rows)
    text = path.read_text(encoding="utf-8").replace("</body>", f"{SCRIPT}</body>")
    path.write_text(text, encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom")
    run = subprocess.run(
        [browser, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    title = run.stdout.partition("<title>")[2].partition("</title>")[0]
    moved = "0:02.0 40%|0:01.0 20%|0:00.0 0%|0:02.0 40%|0:01.0 20% "
    # What was clicked comes first, in full.
    said = "person 1: jump, 0:01.0 to 0:03.0, 50 % · prediction: "
    assert title.startswith(moved + said), run.stderr[-500:]
