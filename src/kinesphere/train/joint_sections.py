"""The section of a recipe that trains on several data sets at once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from kinesphere.core.limits import brief
from kinesphere.train.config import DataSection, Positive, Section, as_tuple

SEPARATOR = "/"
"""Between the name of a data set and that of a class, in what all sets of a joint training share."""
_LONGEST_NAME = 200


class SetSection(Section):
    """A data set of a joint training: its source, its weight, and what of it differs from `data`."""

    source: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    """As `data.source`."""
    weight: Positive | None = None
    """Weight of the set: its share of the draws is its weight by the sum of all. Given for one set, it is
    given for all; none draws each sample once an epoch."""
    label_column: str | None = None
    """As `data.label_column`; None takes that. So do all that follow."""
    group_column: str | None = None
    """As `data.group_column`."""
    split_column: str | None = None
    """As `data.split_column`."""
    mirror: tuple[tuple[str, str], ...] | None = None
    """As `data.mirror`."""
    labels: tuple[str, ...] | None = None
    """As `data.labels`."""
    parents: dict[str, str] | None = None
    """As `data.parents`."""
    ordered: bool | None = None
    """As `data.ordered`."""
    tier: str | None = None
    """As `data.tier`."""
    videos: str | None = None
    """As `data.videos`."""
    fps: Positive | None = None
    """As `data.fps`."""
    val: float | str | None = None
    """As `data.val`."""
    test: float | str | None = None
    """As `data.test`."""

    def within(self, data: DataSection) -> DataSection:
        """The section of this set alone, as a training on nothing else would have it.

        Args:
            data: What holds for all sets.
        """
        own = {name: getattr(self, name) for name in SetSection.model_fields if name != "weight"}
        return data.model_copy(update={name: value for name, value in own.items() if value is not None})


class JointSection(Section):
    """Training on several data sets at once: one network with a head for each."""

    sets: dict[str, SetSection] = Field(default_factory=dict)
    """Data sets by name, two or more: `{ut: {source: ut.csv}, street: {source: street.csv}}`. What a set does
    not state is that of `data`, whose `source` then is that of all sets. None trains on `data`."""
    batches: Literal["mixed", "alternating"] = "mixed"
    """Whether a batch holds samples of all sets, or those of one."""

    @model_validator(mode="after")
    def _check_sets(self) -> JointSection:
        if len(self.sets) == 1:
            raise ValueError("joint training needs two data sets or more; one alone is `data`")
        for name in self.sets:
            if not name.strip() or name != name.strip() or not set(name).isdisjoint("/\\|") or name[0] == ".":
                raise ValueError(f"the name of a data set is a folder's and holds no / \\ or |; got {name!r}")
            if not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
                raise ValueError(
                    f"the name of a data set has up to {_LONGEST_NAME} bytes, all shown; got {brief(name)}"
                )
        if len({each.weight is None for each in self.sets.values()}) > 1:
            raise ValueError("give weight for all sets or for none")
        return self
