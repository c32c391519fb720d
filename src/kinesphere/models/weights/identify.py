"""Which of a card's public weights a file is: builder arguments, input and names that tensors do not tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models.card import ModelCard, WeightEntry
from kinesphere.models.weights.download import file_name


@dataclass(frozen=True)
class Candidates:
    """The public weights that a file can be.

    Attributes:
        model: Name of the card.
        entries: Entries of its weights; none if the file is not known.
        sha256: SHA-256 of the file; empty for tensors in memory.
        named: Whether the caller said which it is, so that nothing has to speak for it.
    """

    model: str
    entries: tuple[WeightEntry, ...] = ()
    sha256: str = ""
    named: bool = False

    def choose(self, layout: str, classes: int | None) -> WeightEntry | None:
        """The one of a layout whose head has so many classes (any, for a backbone without one).

        Raises:
            InvalidCheckpoint: If several are left that ask for different networks or clips.
        """
        left = [
            entry
            for entry in self.entries
            if self.named or (entry.layout == layout and (entry.in_words or classes in (None, entry.classes)))
        ]
        if any((entry.arguments, entry.spec) != (left[0].arguments, left[0].spec) for entry in left):
            known = ", ".join(f"{self.model}.{entry.tag}" for entry in left)
            raise InvalidCheckpoint(
                f"By its name the file is one of several that need different networks or clips ({known}); "
                "say which one as the model."
            )
        return left[0] if left else None

    def trained_on(self, entry: WeightEntry | None) -> tuple[str, ...]:
        """What the file learnt from, if it is surely the entry's."""
        return () if entry is None or self._differs(entry) else entry.trained_on

    def _differs(self, entry: WeightEntry) -> bool:
        """Whether the file is not the one that was published."""
        return bool(self.sha256) and not self.sha256.startswith((entry.sha256 or "").lower())

    def note(self, entry: WeightEntry) -> str:
        """How the file was read."""
        but = ", though its digest is not the published one" if self._differs(entry) else ""
        return f"read as {self.model}.{entry.tag}{but}"


def identify(card: ModelCard, path: Path, sha256: str, tag: str = "") -> Candidates:
    """The public weights that have this tag; without one this digest, or else this file name.

    Raises:
        UnknownName: If there is a tag and the card does not know it.
    """
    if tag:
        return Candidates(card.name, (card.published(tag),), sha256, named=True)
    of_digest = tuple(e for e in card.weights if e.sha256 and sha256.startswith(e.sha256.lower()))
    of_name = tuple(e for e in card.weights if _is_called(e, path))
    return Candidates(card.name, of_digest or of_name, sha256)


def _is_called(entry: WeightEntry, path: Path) -> bool:
    """Whether a file has an entry's name.

    The hub's files are called alike. Of those that a number of classes does not tell apart, the folder has to
    be called after the repository.
    """
    name = Path(file_name(entry))
    if not entry.in_words:
        return path.name == name.name
    owned = name.parent.name
    folders = (owned, owned.rpartition("--")[2])
    return path.name == name.name and path.absolute().parent.name in folders
