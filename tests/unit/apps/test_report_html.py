from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.apps.html import (
    Example,
    choose_examples,
    read_curves,
    render_report,
    with_frames,
    write_report_html,
)
from kinesphere.apps.html.charts import Series, line_chart, nice_ticks, shortened
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.markup import Html, join, tag
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate import Environment, Predictions, Protocol, Report, report_from_predictions
from kinesphere.explain.render.strips import Strips
from kinesphere.video import VideoWriter

ATTACK = "<script>alert('x')</script>\"&"
VOID = {"br", "circle", "img", "line", "meta", "path", "polyline", "rect"}


class Page(HTMLParser):
    """Checks that elements nest, and collects what they are and say."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        self.sources += [value or "" for key, value in attributes if key in ("src", "href")]
        if name not in VOID:
            self.stack.append(name)

    def handle_endtag(self, name: str) -> None:
        if name not in VOID:
            assert self.stack.pop() == name

    def handle_data(self, data: str) -> None:
        self.text += data


def predictions(k: int = 4, n: int = 60, *, multi: bool = False, names: tuple[str, ...] = ()) -> Predictions:
    generator = np.random.default_rng(k)
    targets = (generator.random((n, k)) < 0.3).astype(np.int64) if multi else generator.integers(k, size=n)
    logits = generator.normal(size=(n, k)) + 2 * (targets if multi else np.eye(k)[targets])
    p = 1 / (1 + np.exp(-logits)) if multi else np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Predictions(
        LabelSet(names or tuple(f"move {i}" for i in range(k)), multi=multi),
        tuple(map(str, range(n))),
        tuple(f"/data/{i}.mp4" for i in range(n)),
        (None,) * n,
        tuple(f"performer {i % 6}" for i in range(n)),
        targets,
        p,
        (None,) * n,
    )


def report(table: Predictions) -> Report:
    protocol = Protocol("toy", "abc123", "test", "2x3", ("16x4x1",))
    return report_from_predictions(table, protocol, Environment("r3d_18", "0.1.0", "2.13.0", "cpu", "bf16"))


@pytest.mark.parametrize(
    ("k", "multi"), [(2, False), (4, False), (24, False), (60, False), (400, False), (5, True)]
)
def test_page_is_well_formed_light_and_needs_no_network(k: int, multi: bool) -> None:
    text = render_report(report(predictions(k, max(60, 2 * k), multi=multi)))
    page = Page(text)
    assert not page.stack
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src &#x27;none&#x27;" in text
    assert len(text) < 1_000_000
    assert "svg" in page.tags


def test_page_leads_with_the_score_and_its_protocol() -> None:
    made = report(predictions())
    text = Page(render_report(made, title="first run")).text
    assert made.line() in text
    assert "first run" in text
    assert "Brackets are 95 % intervals over 6 groups" in text
    assert "2x3 (clips × crops), probabilities averaged" in text
    assert "Skipped" not in text


def test_no_text_from_outside_becomes_markup() -> None:
    table = replace(
        predictions(names=(ATTACK, "b", "c", "d")),
        folds=tuple(f"{ATTACK}{i % 2}" for i in range(60)),
        skipped=(Skipped(ATTACK, ATTACK),),
        damaged=(Skipped(ATTACK, ATTACK),),
    )
    made = report_from_predictions(
        table, Protocol(ATTACK, ATTACK, ATTACK, ATTACK, (ATTACK,)), Environment(*[ATTACK] * 6)
    )
    example = Example("wrong", ATTACK, (0.0, 1.0), ATTACK, ATTACK, 0.9, 0.1, problem=ATTACK)
    text = render_report(made, examples=[example], title=ATTACK)
    assert "<script>alert" not in text
    page = Page(text)
    assert not page.stack
    assert page.tags.count("script") == 1
    assert page.text.count("<script>alert('x')") > 10


def test_labels_of_a_large_matrix_cannot_leave_their_attribute() -> None:
    names = tuple(f"{ATTACK} {i}" for i in range(30))
    text = render_report(report(predictions(30, names=names)))
    assert "<script>alert" not in text
    assert not Page(text).stack


def test_curves_are_drawn_from_what_a_run_wrote(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,lr,train_loss,val_loss,val_top1\n1,10,0.1,2.5,,0.2\n2,20,0.1,nan,1.5,0.4\n")
    curves = read_curves(path)
    assert curves["train_loss"] == ((1.0, 2.5),)
    assert curves["val_loss"] == ((2.0, 1.5),)
    text = render_report(report(predictions()), curves=curves)
    assert "epoch 2: validation 40 %" in text
    assert "Learning rate" in text
    assert not Page(text).stack
    assert "Learning rate" not in render_report(report(predictions()), curves={})


def test_damaged_curves_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,lr\n1,fast\n")
    with pytest.raises(InvalidSetting, match=r"Cannot read training curves from .*could not convert string"):
        read_curves(tmp_path / "metrics.csv")


def test_skipped_damaged_and_folds_have_their_place() -> None:
    table = replace(
        predictions(),
        folds=tuple("ab"[i % 2] for i in range(60)),
        skipped=tuple(Skipped(f"bad{i}.mp4", "no frame") for i in range(250)),
        damaged=(Skipped("half.mp4", "2 packets damaged"),),
    )
    text = Page(render_report(report(table))).text
    assert "250 of 310 clips could not be scored" in text
    assert "and 50 more, listed in report.json" in text
    assert "1 clip is damaged and was scored" in text
    assert "by a model that had not seen its fold" in text


def test_classes_that_do_not_occur_come_last() -> None:
    table = predictions()
    table = replace(table, targets=np.minimum(table.targets, 2))
    text = Page(render_report(report(table))).text
    assert "1 of the 4 classes do not occur here" in text


def test_examples_are_the_surest_answers_of_different_classes() -> None:
    table = predictions(n=200)
    picks = choose_examples(table, 4)
    assert [each.kind for each in picks] == ["right"] * 4 + ["wrong"] * 4
    assert len({each.truth for each in picks[:4]}) == 4
    for each in picks:
        assert (each.truth == each.answer) == (each.kind == "right")
        assert each.probability >= each.truth_probability
    wrong = [p for p in picks if p.kind == "wrong"]
    misses = table.probabilities.argmax(1) != table.targets
    assert max(each.probability for each in wrong) == pytest.approx(table.probabilities[misses].max())


def test_examples_of_a_multi_label_set_name_all_true_labels() -> None:
    table = predictions(multi=True)
    for each in choose_examples(table):
        if each.kind == "right":
            assert each.answer in each.truth.split(", ")
        else:
            assert each.answer not in each.truth.split(", ")


def test_of_clips_without_a_label_no_answer_is_the_right_one() -> None:
    table = predictions(multi=True)
    p = np.full_like(table.probabilities, 0.2)
    p[1, 2] = 0.9
    bare = replace(table, targets=np.zeros_like(table.targets), probabilities=p)
    right, *_ = (each for each in choose_examples(bare) if each.kind == "right")
    assert (right.truth, right.answer) == ("none", "none")
    wrong = [each for each in choose_examples(bare) if each.kind == "wrong"]
    assert [(each.truth, each.answer, each.probability) for each in wrong] == [("none", "move 2", 0.9)]


def test_frames_of_an_example(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", (48, 96), 10) as writer:
        for i in range(20):
            writer.write(np.full((48, 96, 3), 10 * i, np.uint8))
    example = Example("right", str(tmp_path / "clip.mp4"), (0.5, 1.5), "a", "a", 0.9, 0.9)
    shown = with_frames(example)
    assert len(shown.frames) == 6
    assert all(frame.startswith(b"\xff\xd8") for frame in shown.frames)
    gone = with_frames(replace(example, path=str(tmp_path / "gone.mp4")))
    assert gone.frames == ()
    assert "does not exist" in gone.problem
    text = render_report(report(predictions()), examples=[shown, gone])
    assert text.count("data:image/jpeg") == 6
    assert "No frames: " in text


def test_run_folder_becomes_a_page(tmp_path: Path) -> None:
    table = predictions()
    report(table).write(tmp_path / "report.json")
    assert write_report_html(tmp_path).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "Examples" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    table.write(tmp_path / "predictions.parquet")
    (tmp_path / "metrics.csv").write_text("epoch,train_loss\n1,2.5\n")
    text = write_report_html(tmp_path, title="mine").read_text(encoding="utf-8")
    assert "Examples" in text
    assert "Training" in text
    with pytest.raises(InvalidSetting, match="Cannot read a report"):
        write_report_html(tmp_path / "nowhere")


@given(st.text(), st.text())
def test_markup_escapes_texts_and_values(text: str, value: str) -> None:
    made = tag("p", text, title=value)
    inner = made.removeprefix("<p").removesuffix("</p>")
    assert "<" not in inner
    assert inner.count('"') - join(text).count('"') == 2


def test_markup_knows_void_elements_flags_and_numbers() -> None:
    assert tag("img", alt="") == '<img alt=""/>'
    assert tag("details", open=True, hidden=False, class_=None) == "<details open></details>"
    assert tag("rect", x=1.50001, width=3) == '<rect x="1.5" width="3"/>'
    assert join("a<", Html("<b>"), None, ["c", ["d"]]) == "a&lt;<b>cd"


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_cover_the_range_with_few_round_numbers(low: float, extent: float) -> None:
    high = low + extent
    ticks = nice_ticks(low, high)
    step = ticks[1] - ticks[0]
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low + 1e-6 * step + 1e-9
    assert ticks[-1] >= high - 1e-6 * step - 1e-9


@pytest.mark.parametrize("values", [(1.0691, 1.0843), (0.99991, 1.00004), (0.001, 0.00099), (2.0, 1.0)])
def test_no_two_ticks_of_an_axis_are_written_alike(values: tuple[float, float]) -> None:
    series = [Series("training", tuple(enumerate(values, 1)))]
    drawn = line_chart(series, title="Loss", show=lambda value: f"{value:.3g}")
    ticks = re.findall(r'class="tick end">([^<]+)<', drawn)
    assert len(set(ticks)) == len(ticks) > 1
    shown = [float(tick) for tick in ticks]
    assert min(shown) <= min(values)
    assert max(shown) >= max(values)


def test_long_names_are_cut() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("a very long name", 10) == "a very lo…"
    assert re.fullmatch(r".{1,10}", shortened("a" * 99, 10))


def test_the_page_shows_heat_below_the_frames() -> None:
    heats = (Strips((b"heat",), "hop, by x"), Strips((), "none. It is not finite."))
    example = Example(
        "right", "a.mp4", None, "hop", "hop", 0.9, 0.9, (b"frame",), heats=heats, agreement="x and y: none."
    )
    page = Page(render_report(report(predictions()), examples=[example]))
    assert "Heat: hop, by x" in page.text
    assert "Heat: none. It is not finite." in page.text
    assert "x and y: none." in page.text
    assert page.tags.count("img") == 2
