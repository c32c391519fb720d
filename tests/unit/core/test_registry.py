from __future__ import annotations

import sys
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from kinesphere.core import registry
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


def test_nearest_forgives_case_and_separators() -> None:
    assert nearest("Batch Size", ["batch_size", "epochs"]) == ["batch_size"]
    assert nearest("qqq", ["batch_size"]) == []


@pytest.mark.parametrize(
    ("code", "value", "cause"),
    [
        ("", "fruit_stand.gone", "ModuleNotFoundError: No module named 'fruit_stand.gone'"),
        ("import no_such_thing", "fruit_stand", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("", "fruit_stand:pear", "AttributeError: module 'fruit_stand' has no attribute 'pear'"),
        ("1 / 0", "fruit_stand", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(0)", "fruit_stand", "SystemExit: 0"),  # would end any command as done
    ],
)
def test_a_package_that_breaks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, value: str, cause: str
) -> None:
    (tmp_path / "fruit_stand").mkdir()
    (tmp_path / "fruit_stand" / "__init__.py").write_text(code)
    about = tmp_path / "fruit_stand-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fruit-stand\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[kinesphere.fruits]\npear = {value}\n")
    entries = PathDistribution(about).entry_points
    monkeypatch.setattr(registry, "entry_points", lambda group: entries.select(group=group))
    monkeypatch.syspath_prepend(tmp_path)
    fruits: Registry[int] = Registry("fruit", group="kinesphere.fruits")
    try:
        with pytest.raises(BrokenPackage) as caught:
            fruits.get("pear")
    finally:
        sys.modules.pop("fruit_stand", None)
    assert str(caught.value) == (
        f'The installed package fruit-stand cannot be loaded: its entry point pear = "{value}" in the group '
        f"kinesphere.fruits fails with {cause}. Correct or update the package, or "
        "`pip uninstall fruit-stand`."
    )
