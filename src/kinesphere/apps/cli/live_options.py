"""Options of `kinesphere live` about alarms, clips and front ends, and what they open."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinesphere.apps.cli.console import check_results
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.apps.live.state import LiveState
    from kinesphere.apps.live.window import LiveWindow
    from kinesphere.core.labels import LabelSet
    from kinesphere.live.alarms import AlarmReceiver, AlarmRule, Alarms
    from kinesphere.live.delivery import Delivery
    from kinesphere.live.observer import FrameObserver
    from kinesphere.live.recorder import Recorder
    from kinesphere.predict.events import Rules

Serve = Annotated[
    str | None,
    typer.Option(
        metavar="[HOST:]PORT", help="Serve a page and a WebSocket of answers there.", show_default=False
    ),
]
Show = Annotated[bool, typer.Option("--show", help="Show frames and answers in a window.")]
AlarmAt = Annotated[
    list[str] | None,
    typer.Option(
        "--alarm", metavar="LABEL[=0.8]", help="Class and probability that raise an alarm; may be repeated."
    ),
]
AlarmSeconds = Annotated[
    float, typer.Option(help="Seconds in a row for which a class has that probability before an alarm.")
]
CoolDown = Annotated[float, typer.Option(help="Shortest time between two alarms of a class, in seconds.")]
Mqtt = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Send alarms to mqtt[s]://[USER@]HOST[:PORT][/TOPIC]; password: $KINESPHERE_MQTT_PASSWORD.",
        show_default=False,
    ),
]
MqttClient = Annotated[
    str | None, typer.Option(metavar="NAME", help="Name that the broker knows this client by.")
]
MqttCa = Annotated[
    Path | None, typer.Option(metavar="FILE", help="PEM file to check the broker of mqtts:// with.")
]
Webhook = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Post alarms to this http[s]:// URL; bearer token: $KINESPHERE_WEBHOOK_TOKEN.",
        show_default=False,
    ),
]
Record = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Record a video of each alarm.", show_default=False)
]
Before = Annotated[float, typer.Option(help="Seconds before an alarm that its video holds.")]
After = Annotated[float, typer.Option(help="Seconds after it.")]


EventRules = Annotated[
    Path | None,
    typer.Option(
        "--events", metavar="FILE", help="YAML rules of events that raise an alarm.", show_default=False
    ),
]


@dataclass(frozen=True)
class Raising:
    """What raises an alarm, as `--alarm`, `--alarm-seconds`, `--cool-down` and `--events` say.

    Attributes:
        people: Whether people are told apart.
    """

    alarm: Sequence[str] = ()
    seconds: float = 0.5
    cool_down: float = 30.0
    events: Path | None = None
    people: bool = False


@dataclass(frozen=True)
class Sending:
    """Where alarms are sent, as the options `--mqtt`, `--mqtt-client`, `--mqtt-ca` and `--webhook` say."""

    mqtt: str | None = None
    mqtt_client: str | None = None
    mqtt_ca: Path | None = None
    webhook: str | None = None


@dataclass(frozen=True)
class Recording:
    """Whether alarms are recorded, as the options `--record`, `--before` and `--after` say.

    Attributes:
        patient: Let the source wait for the recorder, as a file can.
    """

    record: Path | None = None
    before: float = 5.0
    after: float = 5.0
    patient: bool = False


@dataclass(frozen=True)
class Showing:
    """Where answers are shown besides the terminal, as the options `--serve` and `--show` say."""

    serve: str | None = None
    show: bool = False


@dataclass(frozen=True)
class LiveOutputs:
    """Where answers and alarms go besides the terminal."""

    raising: Raising
    sending: Sending
    recording: Recording
    showing: Showing

    def open(self, source: str, labels: LabelSet, screen: AlarmReceiver) -> OpenOutputs:
        """Connect, listen and make folders as asked.

        Args:
            source: Name to show and to tell with alarms; without passwords.
            labels: Of the model.
            screen: Where alarms are printed.

        Raises:
            KinesphereError: If an option cannot work.
        """
        from kinesphere.live.alarms import Alarms
        from kinesphere.live.events import LiveEvents

        rules, (of_events, doubts) = self._rules(labels), self._rules_of_events(labels)
        if not rules and of_events is None:
            self._refuse_without_alarms()
        check_results("--record", self.recording.record)
        deliveries, recorder = self._deliveries(), self._recorder()
        opened = OpenOutputs(deliveries=deliveries, recorder=recorder, doubts=doubts)
        receivers: list[AlarmReceiver] = [screen]
        if recorder is not None:
            opened.observers.append(recorder)
            receivers.append(recorder)
        if self.showing.serve is not None or self.showing.show:
            self._open_front_ends(opened, source)
            assert opened.state is not None
            receivers.append(opened.state)
        if rules or of_events is not None:
            told = [*receivers, *deliveries]
            cool_down_s = self.raising.cool_down
            opened.alarms = Alarms(rules, told, event_cool_down_s=cool_down_s, source=source)
            if of_events is not None:
                # First, since it may find events while it is closed, which are recorded and shown as others.
                opened.observers.insert(0, LiveEvents(of_events, opened.alarms))
            opened.observers.append(opened.alarms)
        return opened

    def _rules_of_events(self, labels: LabelSet) -> tuple[Rules | None, list[str]]:
        """The rules of events, and why they may find nothing."""
        from kinesphere.predict.events import Rules, check_rules

        if self.raising.events is None:
            return None, []
        rules = Rules.load(self.raising.events)
        return rules, check_rules(rules, labels, "the model", people=self.raising.people)

    def _rules(self, labels: LabelSet) -> list[AlarmRule]:
        from kinesphere.live.alarms import AlarmRule

        rules = []
        for text in self.raising.alarm:
            label, raise_at = _label_and_probability(text)
            labels.index(label, "In --alarm")
            rules.append(
                AlarmRule(label, raise_at, seconds=self.raising.seconds, cool_down_s=self.raising.cool_down)
            )
        return rules

    def _refuse_without_alarms(self) -> None:
        for option, value in (
            ("--mqtt", self.sending.mqtt),
            ("--webhook", self.sending.webhook),
            ("--record", self.recording.record),
        ):
            if value is not None:
                raise InvalidSetting(
                    f"{option} waits for alarms, but nothing raises one; add --alarm LABEL=0.8 or --events."
                )

    def _deliveries(self) -> list[Delivery]:
        from kinesphere.live.delivery import Channel, Delivery
        from kinesphere.live.mqtt import MqttChannel, MqttSettings
        from kinesphere.live.webhook import WebhookChannel

        channels: list[Channel] = []
        if self.sending.mqtt is not None:
            channels.append(
                MqttChannel(
                    MqttSettings.from_url(
                        self.sending.mqtt, client_id=self.sending.mqtt_client, ca_file=self.sending.mqtt_ca
                    )
                )
            )
        if self.sending.webhook is not None:
            channels.append(WebhookChannel(self.sending.webhook))
        return [Delivery(channel) for channel in channels]

    def _recorder(self) -> Recorder | None:
        from kinesphere.live.recorder import Recorder, RecorderSettings

        if self.recording.record is None:
            return None
        return Recorder(
            RecorderSettings(
                self.recording.record,
                before_s=self.recording.before,
                after_s=self.recording.after,
                patient=self.recording.patient,
            )
        )

    def _open_front_ends(self, opened: OpenOutputs, source: str) -> None:
        from kinesphere.apps.live.server import LiveServer, ServerSettings
        from kinesphere.apps.live.state import LiveState
        from kinesphere.apps.live.window import LiveWindow

        opened.state = LiveState(source, deliveries=opened.deliveries, recorder=opened.recorder)
        opened.observers.append(opened.state)
        if self.showing.serve is not None:
            settings = ServerSettings.parse(self.showing.serve)
            server = LiveServer(opened.state, settings)
            opened.notes.append(f"The page is at {server.url}")
            if not settings.is_local and settings.token is None:
                opened.notes.append(
                    "Whoever reaches this machine can look; set KINESPHERE_LIVE_TOKEN to ask for a token."
                )
        if self.showing.show:
            opened.window = LiveWindow(opened.state)


@dataclass
class OpenOutputs:
    """What `LiveOutputs` has opened; `watch` closes it by its observers."""

    deliveries: list[Delivery] = field(default_factory=list)
    recorder: Recorder | None = None
    observers: list[FrameObserver] = field(default_factory=list)
    alarms: Alarms | None = None
    state: LiveState | None = None
    window: LiveWindow | None = None
    notes: list[str] = field(default_factory=list)
    """What to say at the start."""
    doubts: list[str] = field(default_factory=list)
    """Why rules of events may find nothing."""

    def count_dropped(self, dropped: Callable[[], int]) -> None:
        """Let the front ends show the number of dropped frames."""
        if self.state is not None:
            self.state.dropped = dropped

    @property
    def is_over(self) -> bool:
        """Whether the user has closed the window."""
        return self.window is not None and self.window.is_closed

    @property
    def failures(self) -> int:
        """Alarms that did not arrive and clips that were lost."""
        counts = [delivery.counts for delivery in self.deliveries]
        undelivered = sum(each.waiting + each.lost + each.refused for each in counts)
        return undelivered + (self.recorder.counts.failed if self.recorder is not None else 0)

    def lines(self) -> list[str]:
        """What came of it, in words."""
        lines = []
        if self.alarms is not None:
            lines.append(
                f"alarms: {self.alarms.raised}, and {self.alarms.held_back} held back by the cool-down"
            )
        for delivery in self.deliveries:
            counts = delivery.counts
            lines.append(
                f"{delivery.channel.name}: {counts.delivered} delivered, {counts.waiting} not, "
                f"{counts.lost} lost, {counts.refused} refused{_because(counts.problem)}"
            )
        if self.recorder is not None:
            kept = self.recorder.counts
            lines.append(
                f"clips in {self.recorder.settings.folder}: {kept.clips}, {kept.incomplete} incomplete, "
                f"{kept.failed} failed, {kept.missed} frames missed{_because(kept.problem)}"
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """The shape that scripts rely on: one object `outputs`; nothing if none was asked for."""
        from kinesphere.apps.live.state import output_counts

        plain = output_counts(self.deliveries, self.recorder)
        if self.alarms is None:
            return {}
        plain["alarms"] = {"raised": self.alarms.raised, "held_back": self.alarms.held_back}
        return {"outputs": plain}


def _because(problem: str) -> str:
    return f" ({problem})" if problem else ""


def _label_and_probability(text: str) -> tuple[str, float]:
    """Parts of `LABEL` or `LABEL=0.8`; a label may hold signs of equality."""
    label, equals, number = text.rpartition("=")
    if not equals:
        return text, 0.8
    try:
        probability = float(number)
    except ValueError:
        probability = math.nan
    if not label or math.isnan(probability):
        raise InvalidSetting(f"--alarm takes a class and a probability, as in 'fall=0.8'; got {text!r}.")
    return label, probability
