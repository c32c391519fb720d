"""What the options of `kinesphere live` open, and what they refuse."""

from __future__ import annotations

import pytest
from alarm_makers import LABELS, Listener, live_result

from kinesphere.apps.cli.live_options import LiveOutputs, Raising, Recording, Sending, Showing
from kinesphere.core.errors import InvalidSetting, LabelMismatch


def opened(raising=Raising(), sending=Sending(), recording=Recording(), showing=Showing()):  # noqa: B008
    screen = Listener()
    return LiveOutputs(raising, sending, recording, showing).open("camera", LABELS, screen), screen


def test_without_options_nothing_is_opened():
    outputs, _ = opened()
    assert (outputs.observers, outputs.lines(), outputs.to_json(), outputs.failures) == ([], [], {}, 0)
    assert not outputs.is_over


def test_alarms_reach_the_screen_the_recorder_and_the_page(tmp_path):
    outputs, screen = opened(
        Raising(["fall=0.7", "wave"], seconds=0), recording=Recording(tmp_path), showing=Showing("0")
    )
    assert outputs.notes == [f"The page is at {outputs.state.front_ends[0].url}"]
    outputs.count_dropped(lambda: 5)
    result = live_result(3, 0.12, 0.75)
    for observer in outputs.observers:
        observer.frame(result.frame)
        observer.result(result)
    assert outputs.state.snapshot().alarms[0].name == "fall"
    assert outputs.state.snapshot().dropped == 5
    for observer in outputs.observers:
        observer.close()
    assert [alarm.name for alarm in screen.alarms] == ["fall"]
    assert outputs.lines() == [
        "alarms: 1, and 0 held back by the cool-down",
        f"clips in {tmp_path}: 1, 1 incomplete, 0 failed, 0 frames missed",
    ]


def test_files_that_are_read_as_fast_as_possible_wait_for_the_recorder(tmp_path):
    outputs, _ = opened(Raising(["fall"]), recording=Recording(tmp_path, patient=True))
    assert outputs.recorder.settings.patient
    for observer in outputs.observers:
        observer.close()


def test_an_event_that_is_found_at_the_end_is_recorded_and_shown(tmp_path):
    """That nothing followed is known only then."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "rules: {left: {parts: {a: {label: fall}}, within_s: 9, "
        "absent: [{label: wave, after: a, within_s: 100}]}}"
    )
    outputs, screen = opened(
        Raising(events=rules), recording=Recording(tmp_path / "clips"), showing=Showing("0")
    )
    for number in range(50):
        result = live_result(number, number / 25)
        for observer in outputs.observers:
            observer.frame(result.frame)
            observer.result(result)
    assert not screen.alarms
    for observer in outputs.observers:
        observer.close()
    assert [alarm.name for alarm in screen.alarms] == ["left"]
    assert outputs.recorder.counts.clips == 1
    assert outputs.state.snapshot().alarms[0].number == 49


def test_options_that_make_no_sense_are_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for options, kind, message in (
        ({"raising": Raising(["fal"])}, LabelMismatch, "In --alarm: label 'fal' .* Did you mean 'fall'"),
        ({"raising": Raising(["fall=high"])}, InvalidSetting, "as in 'fall=0.8'; got 'fall=high'"),
        ({"raising": Raising(["=0.5"])}, InvalidSetting, "as in 'fall=0.8'; got '=0.5'"),
        (
            {"recording": Recording(tmp_path)},
            InvalidSetting,
            "--record waits for alarms, but nothing raises one",
        ),
        ({"sending": Sending("mqtt://broker")}, InvalidSetting, "--mqtt waits for alarms"),
        ({"sending": Sending(webhook="http://a/")}, InvalidSetting, "--webhook waits for alarms"),
        (
            {"raising": Raising(["fall"]), "recording": Recording(file)},
            InvalidSetting,
            "--record names a folder",
        ),
        ({"showing": Showing("here")}, InvalidSetting, r"\[HOST:\]PORT"),
    ):
        with pytest.raises(kind, match=message):
            opened(**options)


def test_a_page_for_others_without_a_token_is_warned_of(monkeypatch):
    monkeypatch.delenv("KINESPHERE_LIVE_TOKEN", raising=False)
    outputs, _ = opened(showing=Showing("0.0.0.0:0"))
    outputs.state.close()
    assert (
        outputs.notes[1]
        == "Whoever reaches this machine can look; set KINESPHERE_LIVE_TOKEN to ask for a token."
    )


def test_rules_of_events_raise_alarms_of_their_own(tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: {down: {parts: {a: {label: fall}}}}")
    outputs, screen = opened(Raising(events=rules))
    for at in (0, 1):
        outputs.observers[0].result(live_result(25 * at, at, 0.75))
    for observer in outputs.observers:
        observer.close()
    assert [alarm.name for alarm in screen.alarms] == ["down"]
    rules.write_text("rules: {down: {parts: {a: {label: fal}}}}")
    with pytest.raises(
        LabelMismatch, match=r"'fal' \(did you mean 'fall'.*, which is not among .* the model"
    ):
        opened(Raising(events=rules))
