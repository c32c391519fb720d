"""`Provenance`: where a recogniser's weights come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from kinesphere.core.errors import InvalidSetting


@dataclass(frozen=True)
class Provenance:
    """Origin of a set of weights; stored in the checkpoint's header.

    Attributes:
        origin: What made them, for example `"initialised"`, `"imported r3d_18-b3b3357e.pth"`,
            `"trained"`.
        sha256: Digest of the file that was imported, if one was.
        training_data: Fingerprint of the manifest they were trained on, if known.
        scores: Measured results, `name -> value`.
        notes: What a user should know, for example that label names are numbers.
    """

    origin: str
    sha256: str | None = None
    training_data: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        texts = (self.origin, *(t for t in (self.sha256, self.training_data) if t is not None), *self.notes)
        if not all(isinstance(text, str) for text in texts):
            raise InvalidSetting(f"Provenance holds texts; got {texts}.")
        if not all(isinstance(v, int | float) for v in self.scores.values()):
            raise InvalidSetting(f"Provenance scores are numbers; got {self.scores}.")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            InvalidSetting: If a field is unknown, missing or of the wrong form.
        """
        try:
            return cls(**{**plain, "notes": tuple(plain.get("notes", ()))})
        except (TypeError, AttributeError) as error:
            raise InvalidSetting(f"This is not a provenance record: {error}.") from error
