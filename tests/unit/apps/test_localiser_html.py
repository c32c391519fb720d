"""The page of a detector's run: what it says, that it loads nothing but videos, and its timelines."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.apps.html import write_localiser_html
from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate.files.detection_errors import errors_of
from kinesphere.evaluate.files.detections import hold, score_detections
from kinesphere.evaluate.metrics.detected_videos import operating_point, video_scores

HOSTILE = '</script><script>alert("x")</script>'
VIDEOS = tuple(f"v{i}" for i in range(8))


class Page(HTMLParser):
    """All elements with their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((name, {key: value or "" for key, value in attributes}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str, class_: str = "") -> list[dict[str, str]]:
        return [
            own
            for tag, own in self.found
            if tag == name and (not class_ or class_ in own.get("class", "").split())
        ]


def labels() -> tuple[TimedLabels, TimedLabels]:
    """Eight videos of an action each; the first ones are found, the last one has a wrong label as well."""
    true = tuple(TimedLabel(video, HOSTILE if i % 2 else "kick", 2, 6) for i, video in enumerate(VIDEOS))
    given = [Detection(each.video, each.label, 2, 6.5, score=0.9) for each in true[:6]]
    given += [Detection("v7", "kick", 2, 6, score=0.8), Detection("v6", "kick", 30, 31, score=0.1)]
    durations = dict.fromkeys(VIDEOS, 20.0)
    return TimedLabels(tuple(given), VIDEOS), TimedLabels(true, VIDEOS, durations)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    found, truth = labels()
    folder = tmp_path / "run"
    folder.mkdir()
    write_activitynet(found, folder / "detections.json")
    write_activitynet(truth, folder / "truth.json")
    scores = score_detections(found, truth, "thumos14")
    (tmp_path / "v0.mp4").write_bytes(b"no video, but there")
    report: dict[str, Any] = {
        "detector": "temporalmaxer", "classes": ["kick", HOSTILE],
        "features": {"origin": "r3d windows", "stride_s": 0.25}, **scores.to_json(),
        "videos": {video: str(tmp_path / f"{video}.mp4") for video in VIDEOS},
        "videos_trained_on": [], "skipped": [{"path": "w.mp4", "reason": "there is no video of this name"}],
        "baseline": score_detections(TimedLabels(found.labels[:2], VIDEOS), truth, "thumos14").to_json(),
    }  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "metrics.csv").write_text("epoch,train_loss,lr\n1,2.5,0.01\n2,1.5,0.001\n")
    return folder


def test_which_score_detections_should_have_by_hand() -> None:
    errors = errors_of(hold(*labels()), "thumos14")
    point = operating_point(errors)
    # Six of six are right from 0.9 on: 2 · 6 / (6 + 8); below that only wrong ones come.
    assert (point.score, point.f1, point.tiou) == (0.9, pytest.approx(12 / 14), 0.5)
    scores = video_scores(errors, point)
    assert [(each.instances, each.detections, each.right) for each in scores] == [(1, 1, 1)] * 6 + [
        (1, 0, 0)
    ] * 2
    assert [each.f1 for each in scores] == [1.0] * 6 + [0.0] * 2
    nothing = errors_of(hold(TimedLabels((), VIDEOS), labels()[1]), "thumos14")
    assert operating_point(nothing).f1 == 0
    assert nothing.missed.all()


def test_the_page_says_what_was_measured_and_how(run: Path) -> None:
    path = write_localiser_html(run, title="my detector")
    page = Page(path.read_text(encoding="utf-8"))
    for words in (
        "my detector", "mAP over tIoU 0.3 to 0.7, 95 % interval", "8 videos with 8 instances",
        "The baseline, a linear classifier of the same rows", "1 videos took no part",
        "there is no video of this name", "r3d windows, every 0.25 s", "videos: all of the annotations",
        "THUMOS14, mAP over tIoU 0.3 to 0.7", "wrong label", "XS: 1", "Detections of a score of 0.9 or more",
        HOSTILE,
    ):  # fmt: skip
        assert words in page.text, words
    assert len(page.all("polyline")) == 2  # loss and learning rate
    assert "alert" not in "".join(text for _, own in page.found for text in own if text.startswith("on"))
    assert not [own for own in page.all("script") if "src" in own]
    policy = next(own["content"] for own in page.all("meta") if "http-equiv" in own)
    assert "default-src 'none'" in policy
    assert "media-src 'self' file:" in policy
    sources = {own[key] for _, own in page.found for key in ("src", "href") if key in own}
    assert {each for each in sources if not each.startswith("#")} == {"../v0.mp4"}


def test_timelines_have_what_happens_and_what_was_found(run: Path) -> None:
    page = Page(write_localiser_html(run).read_text(encoding="utf-8"))
    assert len(page.all("div", class_="player")) == len(VIDEOS)
    assert [own["preload"] for own in page.all("video")] == ["metadata"]  # the one that is there, and open
    assert page.text.count("so nothing plays; the timeline stays usable") == len(VIDEOS) - 1
    said = [own["title"] for own in page.all("button", class_="segment")]
    assert said.count("kick, 0:02.0 to 0:06.5, score 0.90") == 3
    assert said.count("kick, 0:02.0 to 0:06.0, not found") == 1
    assert not [each for each in said if "0.10" in each]  # below the threshold
    opened = [own["id"] for own in page.all("details", class_="film") if "open" in own]
    assert opened == [f"video-{i}" for i in (6, 7, 0, 5, 4, 3)]  # the worst, then the best
    links = {own["href"] for own in page.all("a") if own["href"].startswith("#video-")}
    assert links == {f"#{own['id']}" for own in page.all("details", class_="film")}


def test_a_folder_that_holds_no_report_of_a_detector_is_refused(run: Path) -> None:
    (run / "report.json").write_text('{"scores": {}}')
    with pytest.raises(InvalidSetting, match=r"no report of a detector: it lacks intervals, per_class"):
        write_localiser_html(run)


SCRIPT = """<script>
addEventListener("load", () => {
  const [first, second] = document.querySelectorAll(".player"), log = [];
  const clock = (each) => each.querySelector(".clock").textContent;
  const say = () => log.push(`${clock(first)} ${clock(second)}`);
  second.querySelector(".segment").click(); say();
  second.querySelector(".lanes").dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true })); say();
  document.title = `${log.join("|")} ${second.querySelector(".said").textContent}`;
});
</script>"""


@pytest.mark.slow
def test_players_of_one_page_in_chromium(run: Path) -> None:
    """A click and a key move the head of their own player."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("chromium is not installed, so that the page's script is not run")
    path = write_localiser_html(run)
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", f"{SCRIPT}</body>"), encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom")
    done = subprocess.run(
        [browser, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    assert title.startswith("0:00.0 0:02.0|0:00.0 0:03.0 "), done.stderr[-500:]
    assert "annotation: " in title
