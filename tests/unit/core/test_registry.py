from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from kinesphere.core import registry, signals
from kinesphere.core.errors import BrokenPackage, InvalidSetting, UnknownName
from kinesphere.core.registry import Registry, nearest


def test_members_are_found_by_name_and_listed_sorted() -> None:
    fruits: Registry[int] = Registry("fruit")
    fruits.add("pear", 2)

    @fruits.register("apple")
    def apple() -> int:
        return 1

    assert list(fruits) == ["apple", "pear"]
    assert fruits.get("pear") == 2
    assert "apple" in fruits
    assert len(fruits) == 2


def test_unknown_name_suggests_the_nearest() -> None:
    models: Registry[int] = Registry("model")
    models.add("r3d_18", 1)
    with pytest.raises(UnknownName, match="There is no model called 'r3d-18'; did you mean r3d_18"):
        models.get("r3d-18")


def test_unknown_name_without_a_likeness_lists_all() -> None:
    models: Registry[int] = Registry("model")
    models.add("c3d", 1)
    with pytest.raises(UnknownName, match="known: c3d"):
        models.get("zzzzzzzz")


def test_unlisted_members_are_found_but_not_named() -> None:
    sizes: Registry[int] = Registry("size", listed=lambda size: size > 1)
    sizes.add("small", 2)
    sizes.add("tiny", 1)
    assert sizes.get("tiny") == 1
    with pytest.raises(UnknownName, match=r"no size called 'tinny'; known: small\.$"):
        sizes.get("tinny")


def test_a_name_is_registered_once() -> None:
    models: Registry[int] = Registry("model")
    models.add("c3d", 1)
    with pytest.raises(InvalidSetting, match="'c3d' is registered twice"):
        models.add("c3d", 2)


def test_members_are_of_the_type_that_is_held() -> None:
    sizes: Registry[int] = Registry("size", int)
    sizes.add("one", 1)
    with pytest.raises(InvalidSetting, match=r"The size 'two' must be of type int; got 2\.5 \(float\)\."):
        sizes.add("two", 2.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="must be of type int; got the class bool"):
        sizes.add("two", bool)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match=r"The size 'one' must be of type str or float; got 1 \(int\)"):
        sizes.holding((str, float))


def test_nearest_forgives_case_and_separators() -> None:
    assert nearest("Batch Size", ["batch_size", "epochs"]) == ["batch_size"]
    assert nearest("qqq", ["batch_size"]) == []


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Registry[int]]]:
    """Installs a package of this code with this entry point; the registry that it should add to."""
    fruits: Registry[int] = Registry("fruit", int, group="kinesphere.fruits")

    def write(code: str, value: str) -> Registry[int]:
        (tmp_path / "fruit_stand").mkdir()
        (tmp_path / "fruit_stand" / "__init__.py").write_text(code)
        about = tmp_path / "fruit_stand-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fruit-stand\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[kinesphere.fruits]\npear = {value}\n")
        entries = PathDistribution(about).entry_points
        monkeypatch.setattr(registry, "entry_points", lambda group: entries.select(group=group))
        monkeypatch.setattr(registry, "FRUITS", fruits, raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        return fruits

    yield write
    sys.modules.pop("fruit_stand", None)


@pytest.mark.parametrize(
    ("code", "value", "cause"),
    [
        ("", "fruit_stand.gone", "ModuleNotFoundError: No module named 'fruit_stand.gone'"),
        ("import no_such_thing", "fruit_stand", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("", "fruit_stand:pear", "AttributeError: module 'fruit_stand' has no attribute 'pear'"),
        ("1 / 0", "fruit_stand", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(0)", "fruit_stand", "SystemExit: 0"),  # would end any command as done
        (
            "from kinesphere.core.registry import FRUITS; FRUITS.add('pear', 'green')",
            "fruit_stand",
            "InvalidSetting: The fruit 'pear' must be of type int; got 'green' (str).",
        ),
    ],
)
def test_a_package_that_breaks_is_named(
    install: Callable[[str, str], Registry[int]], code: str, value: str, cause: str
) -> None:
    fruits = install(code, value)
    with pytest.raises(BrokenPackage) as caught:
        fruits.get("pear")
    assert str(caught.value) == (
        f'The installed package fruit-stand cannot be loaded: its entry point pear = "{value}" in the group '
        f"kinesphere.fruits fails with {cause.rstrip('.')}. Correct or update the package, or "
        "`pip uninstall fruit-stand`."
    )


def test_a_signal_tells_which_package_is_being_imported(
    install: Callable[[str, str], Registry[int]], capfd: pytest.CaptureFixture[str]
) -> None:
    fruits = install("import signal; signal.raise_signal(signal.SIGINT)", "fruit_stand")

    def look() -> None:
        len(fruits)
        signals.raise_if_stopped()

    with pytest.raises(KeyboardInterrupt), signals.stoppable():
        look()
    assert "Interrupted. It was importing the installed package fruit-stand (entry point pear" in (
        capfd.readouterr().err
    )
