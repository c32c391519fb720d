"""`kinesphere live`: answers about cameras and streams while they go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import check_file, console, end, print_json_line, say, tinted
from kinesphere.apps.cli.live_options import (
    After,
    AlarmAt,
    AlarmSeconds,
    Before,
    CoolDown,
    EventRules,
    LiveOutputs,
    Mqtt,
    MqttCa,
    MqttClient,
    OpenOutputs,
    Raising,
    Record,
    Recording,
    Sending,
    Serve,
    Show,
    Showing,
    Webhook,
)
from kinesphere.apps.cli.options import Device, PrecisionChoice
from kinesphere.core.errors import InvalidSetting, KinesphereError
from kinesphere.core.signals import Stopped, advise
from kinesphere.core.text import visible, without_password

if TYPE_CHECKING:
    from kinesphere.live import Incident, LiveResult, Watching
    from kinesphere.live.alarms import Alarm

COPIES = (".mp4", ".m4v", ".mov", ".mkv")
PEOPLE = 4
SAME_COMMAND = "The same command watches on."


Source = Annotated[
    str, typer.Argument(help="A camera's number (0), an rtsp://, rtmp://, http:// or udp:// URL, a file.")
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Run folder, fusion, model file, registered name or hub id. Without it, what the recogniser "
        "in the box says of pixels, or of people by pixels and joints.",
        show_default=False,
    ),
]
Rate = Annotated[
    Literal["contract", "source"],
    typer.Option(
        help="Frames that a network that streams is shown: as many per second as it learnt from, or all."
    ),
]
Stride = Annotated[
    float | None,
    typer.Option(help="Seconds between answers about windows; a quarter of the window by default."),
]
Window = Annotated[
    float, typer.Option(help="Seconds over which a model spreads its frames that takes any length.")
]
People = Annotated[
    bool, typer.Option("--people", help="Answer about each person by itself, as far as MediaPipe finds them.")
]
MaxPeople = Annotated[
    int | None, typer.Option(min=1, help="Most people that are followed (4); each costs a pass of the model.")
]
Seconds = Annotated[float | None, typer.Option(help="End after so many seconds.", show_default=False)]
Frozen = Annotated[
    float,
    typer.Option(
        help="Seconds without a new picture after which a source is connected anew; more for slow ones."
    ),
]
Copy = Annotated[
    Path | None,
    typer.Option(help="Write the frames that were answered at, with their answers, to this .mp4 file."),
]
Patient = Annotated[
    bool,
    typer.Option(
        "--as-fast-as-possible", help="Read a file as fast as the model answers, leaving out nothing."
    ),
]
PoseModel = Annotated[str | None, typer.Option(help="What finds poses: lite, full, heavy, or a .task file.")]
Lines = Annotated[
    bool, typer.Option("--json", help="Print a JSON object a line: answers, incidents, a summary.")
]


def live(
    source: Source,
    model: Model = None,
    rate: Rate = "contract",
    stride: Stride = None,
    window: Window = 2.0,
    people: People = False,
    max_people: MaxPeople = None,
    seconds: Seconds = None,
    frozen: Frozen = 2.0,
    top: Annotated[int, typer.Option(min=1, help="Number of labels to show.")] = 3,
    annotated: Copy = None,
    as_fast_as_possible: Patient = False,
    pose_model: PoseModel = None,
    alarm: AlarmAt = None,
    alarm_seconds: AlarmSeconds = 0.5,
    cool_down: CoolDown = 30.0,
    events: EventRules = None,
    mqtt: Mqtt = None,
    mqtt_client: MqttClient = None,
    mqtt_ca: MqttCa = None,
    webhook: Webhook = None,
    record: Record = None,
    before: Before = 5.0,
    after: After = 5.0,
    serve: Serve = None,
    show: Show = False,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    as_json: Lines = False,
) -> None:
    """Recognise what a camera, a stream or a file shows while it goes on; Ctrl-C ends it with a summary."""
    from kinesphere.core.device import Compute
    from kinesphere.live import AnnotatedCopy, LiveSettings, watch
    from kinesphere.predict import Opening, load

    check_file("--annotated", annotated, COPIES)
    settings = LiveSettings(
        rate=rate,
        stride_s=stride,
        window_s=window,
        people=_followed(people, max_people),
        seconds=seconds,
        frozen_s=frozen,
        as_fast_as_possible=as_fast_as_possible,
    )
    outputs = LiveOutputs(
        Raising(alarm or (), alarm_seconds, cool_down, events, people),
        Sending(mqtt, mqtt_client, mqtt_ca, webhook),
        Recording(record, before, after, patient=as_fast_as_possible),
        Showing(serve, show),
    )
    advise(SAME_COMMAND)
    predictor = load(model, compute=Compute.choose(device, precision), opening=Opening(pose_model=pose_model))
    screen = Screen(top, as_json)
    opened = outputs.open(without_password(source), predictor.labels, screen)
    copy = [] if annotated is None else [AnnotatedCopy(annotated, top=top)]
    with _named(annotated), watch(source, predictor, settings, [screen, *opened.observers, *copy]) as answers:
        _run(answers, opened, as_json)
    end(opened.failures)


@contextmanager
def _named(copy: Path | None) -> Iterator[None]:
    """Say in the end where the annotated copy is, also after Ctrl-C."""
    try:
        yield
    finally:
        if copy is not None and copy.is_file():
            say("note", "green", f"The copy with its answers is {copy}", to_stderr=True)


def _followed(people: bool, at_most: int | None) -> int:
    """How many people are told apart; 0 for the whole picture."""
    if at_most is not None and not people:
        raise InvalidSetting("--max-people bounds how many people are followed; add --people.")
    return (PEOPLE if at_most is None else at_most) if people else 0


def _run(watching: Watching, opened: OpenOutputs, as_json: bool) -> None:
    """Watch until the end, and say what came of it, whatever ends it."""
    opened.count_dropped(lambda: watching.summary.dropped)
    for doubt in opened.doubts:
        say("note", "yellow", doubt, to_stderr=True)
    for note in opened.notes:
        say("note", "green", note, to_stderr=True)
    unseen = False
    try:
        for _ in watching:
            if opened.is_over:
                break
    except KinesphereError:
        # Of what never opened there is nothing to sum up, but for programs, which wait for that line.
        unseen = not watching.summary.decoded
        raise
    finally:
        watching.close()
        with suppress(Stopped):
            if as_json or not unseen:
                _conclude(watching, opened, as_json)


def _conclude(watching: Watching, opened: OpenOutputs, as_json: bool) -> None:
    if as_json:
        plain = watching.summary.to_json() | opened.to_json()
        print_json_line(plain)
        return
    for line in [*watching.summary.lines(), *opened.lines()]:
        console().print(line, soft_wrap=True)


class Screen:
    """Shows answers and incidents as they come: as JSON lines, or in one line that changes on a terminal."""

    def __init__(self, top: int, as_json: bool) -> None:
        self._top, self._as_json = top, as_json
        self._console = console()
        self._open = False

    def frame(self, frame: object) -> None:
        """See `FrameObserver`."""

    def result(self, result: LiveResult) -> None:
        """See `FrameObserver`."""
        if self._as_json:
            print_json_line(result.to_json(self._top))
            return
        best = ", ".join(f"{label} {100 * p:.0f} %" for label, p in result.prediction.top(self._top))
        if result.prediction.is_rejected:
            best = f"{result.prediction.answer} ({best})"
        whom = "" if result.person is None else f"person {result.person}: "
        text = f"{result.frame.time_s:9.2f} s  {whom}{best}  ({1000 * result.latency_s:.0f} ms)"
        if self._console.is_terminal:
            # One line that is written over, cut to the terminal's width.
            shown = visible(text, line=True)[: self._console.width - 1]
            self._console.file.write(f"\r\x1b[2K{shown}")
            self._console.file.flush()
            self._open = True
        else:
            self._console.print(text, soft_wrap=True)

    def incident(self, incident: Incident) -> None:
        """See `FrameObserver`."""
        if self._as_json:
            print_json_line(incident.to_json())
            return
        self.close()
        style = "green" if incident.kind == "back" else "yellow"
        self._console.print(
            tinted(f"{incident.time_s:9.2f} s  ", (incident.kind, style), f": {incident.detail}"),
            soft_wrap=True,
        )

    def alarm(self, alarm: Alarm) -> None:
        """See `AlarmReceiver`."""
        if self._as_json:
            print_json_line(alarm.to_json())
            return
        self.close()
        whom = "" if alarm.person is None else f", person {alarm.person}"
        self._console.print(
            tinted(
                f"{alarm.time_s:9.2f} s  ",
                ("alarm", "bold red"),
                f": {alarm.name} {100 * alarm.score:.0f} %{whom}, frame {alarm.number}",
            ),
            soft_wrap=True,
        )

    def close(self) -> None:
        """See `FrameObserver`."""
        if self._open:
            self._console.file.write("\n")
            self._open = False
