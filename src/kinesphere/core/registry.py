"""Named things that users pick: models, modalities, losses, datasets, importers."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from threading import RLock
from typing import Generic, TypeVar

from kinesphere.core.errors import BrokenPackage, InvalidSetting, UnknownName
from kinesphere.core.limits import brief
from kinesphere.core.signals import advising

T = TypeVar("T")
Types = type | tuple[type, ...]


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most like `name`, best first (case and separators are forgiven)."""

    def fold(text: str) -> str:
        # The field writes `stgcn++` where names of code are `stgcnpp`.
        return text.lower().replace("-", "_").replace(" ", "_").replace("+", "p")

    by_folded = {fold(candidate): candidate for candidate in known}
    return [by_folded[hit] for hit in difflib.get_close_matches(fold(name), by_folded, count, 0.5)]


class Registry(Generic[T]):
    """Maps names to objects of one kind and finds the modules that define them by itself.

    Args:
        kind: Singular noun for messages, for example `"model"`.
        holds: Type, or types, of its members; see `holding` for one that is defined further up.
        package: Package, or packages and modules, whose modules register members on import; imported at
            first use.
        group: Entry-point group through which other distributions add members.
        listed: Which members messages name as known; None for all.
    """

    def __init__(
        self,
        kind: str,
        holds: Types = object,
        package: str | tuple[str, ...] | None = None,
        group: str | None = None,
        listed: Callable[[T], bool] | None = None,
    ) -> None:
        self.kind = kind
        self.holds = holds
        self._packages = (package,) if isinstance(package, str) else package or ()
        self._group = group
        self._listed = listed
        self._members: dict[str, T] = {}
        self._discovered = package is None and group is None
        self._lock = RLock()  # of many threads that ask at once, one looks and the others wait
        self._looking = False

    def add(self, name: str, member: T) -> T:
        """Register `member` under `name`.

        Raises:
            InvalidSetting: If the name is taken by something else, or `member` is of another type.
        """
        if name in self._members:
            raise InvalidSetting(f"The {self.kind} name {name!r} is registered twice; choose another.")
        self._check(name, member)
        self._members[name] = member
        return member

    def holding(self, types: Types) -> Registry[T]:
        """This registry, from here on for members of these types; for a room that defines what it holds.

        Raises:
            InvalidSetting: If a member is of another type.
        """
        self.holds = types
        for name, member in self._members.items():
            self._check(name, member)
        return self

    def _check(self, name: str, member: object) -> None:
        wanted: tuple[type, ...] = self.holds if isinstance(self.holds, tuple) else (self.holds,)
        if isinstance(member, wanted):
            return
        if isinstance(member, type):
            got = f"the class {member.__name__}"
        else:
            got = f"{brief(member)} ({type(member).__name__})"
        raise InvalidSetting(
            f"The {self.kind} {name!r} must be of type {' or '.join(each.__name__ for each in wanted)}; got "
            f"{got}."
        )

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of `add`."""
        return lambda member: self.add(name, member)

    def get(self, name: str) -> T:
        """The member called `name`.

        Raises:
            UnknownName: If there is none; the message lists the nearest names.
        """
        self._discover()
        try:
            return self._members[name]
        except KeyError:
            known = [other for other in self if self._listed is None or self._listed(self._members[other])]
            close = nearest(name, known)
            hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(known)}."
            raise UnknownName(f"There is no {self.kind} called {name!r}; {hint}") from None

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(sorted(self._members))

    def __len__(self) -> int:
        self._discover()
        return len(self._members)

    def _discover(self) -> None:
        if self._discovered:
            return
        with self._lock:
            if self._discovered or self._looking:  # what is being imported may ask, too
                return
            self._looking = True
            try:
                for name in self._packages:
                    package = importlib.import_module(name)
                    for module in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{name}."):
                        importlib.import_module(module.name)
                for entry in entry_points(group=self._group) if self._group else ():
                    self._load(entry)
                self._discovered = True
            finally:
                self._looking = False

    def _load(self, entry: EntryPoint) -> None:
        before = dict(self._members)
        package = entry.dist.name if entry.dist is not None else entry.module
        point = f'entry point {entry.name} = "{entry.value}" in the group {self._group}'
        hint = f"If that hangs, `pip uninstall {package}`."
        try:
            with advising(f"It was importing the installed package {package} ({point}). {hint}"):
                entry.load()
        except (Exception, SystemExit) as error:  # of another package: anything
            self._members = before  # asked again, its import would find the names of this one taken
            reason = f"{type(error).__name__}: {str(error).rstrip('.')}"
            raise BrokenPackage(
                f"The installed package {package} cannot be loaded: its {point} fails with {reason}. "
                f"Correct or update the package, or `pip uninstall {package}`."
            ) from error
