from __future__ import annotations

import pytest

from kinesphere.core.errors import InvalidSetting, UnknownName
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
