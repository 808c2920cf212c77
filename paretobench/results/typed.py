"""A record from JSON, its values of the types that its fields are declared to have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

R = TypeVar("R")


def typed(kind: Callable[..., R], values: Mapping[str, Any]) -> R:
    """Return the record of these values; a whole number may stand for a float.

    `kind` is a dataclass of texts, numbers and booleans, each of which may be optional. Raises
    ValueError where a value is of another type or no finite number, TypeError where one is missing.

    >>> from paretobench.core.values import Window
    >>> typed(Window, {"start_s": 0, "end_s": "x"})
    Traceback (most recent call last):
        ...
    ValueError: end_s: 'x'
    """
    record = kind(**values)
    for name, allowed in _types(kind).items():
        value = getattr(record, name)
        if type(value) not in allowed or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"{name}: {value!r}")
    return record


@cache
def _types(kind: Callable[..., Any]) -> dict[str, frozenset[type[Any]]]:
    """Return the types of a field's values by its name."""
    hints = get_type_hints(kind)
    found = {name: set(get_args(hint) or (hint,)) for name, hint in hints.items()}
    return {name: frozenset(t | {int} if float in t else t) for name, t in found.items()}
