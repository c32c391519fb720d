"""What was written in a recipe or on the command line, as the type of its setting says.

YAML alone would decide before: a label `no` would become False, a folder `2024-11-26` a date.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from kinesphere.core.structured import Written, settled

_TRUTHS = {"yes": True, "on": True, "no": False, "off": False}


def as_typed(value: Any, annotation: Any) -> Any:
    """`value` with each `Written` in it as text, or as what YAML takes it for, whichever the setting takes.

    Args:
        value: Plain values and `Written` ones, nested.
        annotation: Type of the setting, such as `str | None` or a section of a recipe.
    """
    arms = tuple(_arms(annotation))
    if isinstance(value, Written):
        return _of_written(value, arms)
    if isinstance(value, dict):
        section = next((arm for arm in arms if _is_section(arm)), None)
        if section is not None:
            fields = section.model_fields
            return {
                key: as_typed(part, fields[key].annotation) if key in fields else settled(part)
                for key, part in value.items()
            }
        inner = next((get_args(arm)[1] for arm in arms if get_origin(arm) is dict), Any)
        return {key: as_typed(part, inner) for key, part in value.items()}
    if isinstance(value, list | tuple):
        sequences = [get_args(arm) for arm in arms if _is_sequence(arm)]
        types_of = sequences[0] if sequences else (Any, ...)
        last = types_of[0] if types_of[1:] in ((), (...,)) else Any
        own = types_of if types_of[-1] is not ... else ()
        return [as_typed(part, own[i] if i < len(own) else last) for i, part in enumerate(value)]
    return value


def _of_written(written: Written, arms: tuple[Any, ...]) -> Any:
    value = written.value
    kinds = {kind for arm in arms for kind in _kinds(arm)}
    if isinstance(value, dict | list):
        takes = any(_takes_mapping(arm) if isinstance(value, dict) else _is_sequence(arm) for arm in arms)
        return as_typed(value, _union(arms)) if takes or str not in kinds else str(written)
    if not kinds:  # only sections and sequences: what a single value means there is for them to say
        elements = [get_args(arm)[0] for arm in arms if _is_sequence(arm)]
        return _of_written(written, tuple(_arms(elements[0]))) if elements else value
    if bool in kinds and written.lower() in _TRUTHS:
        return _TRUTHS[written.lower()]
    if type(value) in kinds or (type(value) is int and float in kinds):
        return value
    return str(written) if str in kinds else value


def _arms(annotation: Any) -> Iterator[Any]:
    """The alternatives of a type."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _arms(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for arm in get_args(annotation):
            yield from _arms(arm)
    else:
        yield annotation


def _is_section(arm: Any) -> bool:
    return isinstance(arm, type) and issubclass(arm, BaseModel)


def _takes_mapping(arm: Any) -> bool:
    return _is_section(arm) or get_origin(arm) is dict


def _is_sequence(arm: Any) -> bool:
    return get_origin(arm) in (tuple, list) and bool(get_args(arm))


def _kinds(arm: Any) -> Iterator[type]:
    """The types of single values that an alternative takes."""
    if get_origin(arm) is Literal:
        yield from (type(value) for value in get_args(arm))
    elif arm is None or arm is type(None):
        yield type(None)
    elif arm in (str, bool, int, float):
        yield arm


def _union(arms: tuple[Any, ...]) -> Any:
    return Union[arms] if arms else Any  # noqa: UP007 (made of a tuple)
