"""What cells of a study are tested on besides their own test: changed clips, other data, unlabelled ones."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from kinesphere.train.config import Section

Strength = Annotated[float, Field(gt=0, le=1)]

_LONGEST_NAME = 200
_LATER = ("where", "twins", "window_s", "stride_s", "measured")


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _check_name(name: str) -> str:
    if not name.strip() or "/" in name or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"a name is some text without slashes, of up to {_LONGEST_NAME} bytes")
    return name


Seconds = Annotated[float, Field(gt=0, le=86400)]
Labels = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class EvaluationSection(Section):
    """One condition that every cell is tested under, on the test clips of its own or on other data."""

    name: Annotated[str, AfterValidator(_check_name)]
    """Name in the report."""
    data: str | None = None
    """Manifest or folder of other data; None is the cell's own test clips."""
    split: str | None = None
    """Split of these data; None is all of them."""
    where: dict[str, Labels] = Field(default_factory=dict)
    """Only clips whose columns hold one of these values."""
    twins: bool = False
    """Whether these data are the cell's own test once more with something changed, clip by clip with the same
    ids: then the change is paired."""
    label_column: str = "label"
    """Column of their labels; of unlabelled data the column by which answers are counted."""
    group_column: str = "group"
    """Column of their groups."""
    unlabelled: bool = False
    """Whether they have no labels: then answers are counted by what `label_column` or class folders hold."""
    window_s: Seconds | None = None
    """Of unlabelled data: length of the windows that they are cut into, about that of the clips which a model
    learnt from; None asks about each as a whole."""
    stride_s: Seconds | None = None
    """Seconds between the starts of windows; None is half of their length."""
    measured: str | None = None
    """Of unlabelled data: a column that lists what is known to be shown, joined by `|`, to be told beside the
    expectations."""
    noise: Strength | None = None
    """Standard deviation of noise that is added: of pixels as a fraction of white, of joints as a fraction of
    the people's height."""
    compression: Annotated[int, Field(ge=1, le=100)] | None = None
    """JPEG quality that frames are compressed to."""
    every: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Only every so many frames of a clip is seen anew and stands still in between: a lower frame rate."""
    speed: Annotated[float, Field(ge=0.1, le=10)] | None = None
    """Factor of the speed within the clip, about its middle."""
    order: Literal["as filmed", "frozen", "shuffled", "reversed"] = "as filmed"
    """What becomes of the order of frames."""
    expect: dict[str, Labels] = Field(default_factory=dict)
    """Of unlabelled data: for a value of `label_column`, labels that should be answered there oftener than
    elsewhere."""
    factor: str | None = None
    """A column whose values may have an effect on the answers, which is tested."""

    @model_validator(mode="after")
    def _check_unlabelled(self) -> EvaluationSection:
        if self.unlabelled and self.data is None:
            raise ValueError("unlabelled data have to be named in data")
        if (self.expect or self.measured or self.window_s) and not self.unlabelled:
            raise ValueError("expect, measured and window_s are for data that are unlabelled: true")
        if self.twins and (self.unlabelled or self.data is None):
            raise ValueError("twins are data with labels, which have to be named in data")
        if self.stride_s is not None and not self.stride_s <= (self.window_s or 0):
            raise ValueError("stride_s is at most window_s, which has to be given")
        return self

    def asked(self) -> dict[str, Any]:
        """What is noted beside kept answers, later settings where they are used: older answers stay."""
        plain = self.model_dump(mode="json")
        for name in _LATER:
            if plain[name] == type(self).model_fields[name].get_default(call_default_factory=True):
                del plain[name]
        return plain

    @property
    def changes(self) -> bool:
        """Whether clips are changed before the model sees them."""
        return self.order != "as filmed" or any(
            each is not None for each in (self.noise, self.compression, self.every, self.speed)
        )
