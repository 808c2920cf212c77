"""Several systems in one scenario: a list of them, or lists inside one, each with a name."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$"
# of a model given as one mapping, these may be lists: every combination is a variant
SWEPT_MODEL_KEYS = (
    "preset",
    "dtype",
    "attention",
    "backend",
    "compile",
    "cuda_graphs",
    "quantization",
    "threads",
)
_SOURCES = ("preset", "path", "hub")

S = TypeVar("S", bound=BaseModel)


def combinations(section: Any) -> Any:
    """Return the mappings that one with lists stands for; one that stands alone, as it is.

    >>> combinations({"preset": "nano", "dtype": ["float32", "bfloat16"]})
    [{'preset': 'nano', 'dtype': 'float32'}, {'preset': 'nano', 'dtype': 'bfloat16'}]
    """
    if isinstance(section, list):
        return section[0] if len(section) == 1 else section
    if not isinstance(section, dict):
        return section
    lists = {key: section[key] for key in SWEPT_MODEL_KEYS if _is_swept(section.get(key))}
    if not lists:
        return section
    products = itertools.product(*lists.values())
    return combinations(
        [{**section, **dict(zip(lists, values, strict=True))} for values in products]
    )


def named(systems: list[S]) -> list[S]:
    """Return the systems, each with a `name`: its own, or one made of what sets it apart.

    Raises PydanticCustomError where two are the same or have one name.
    """
    contents = [system.model_dump(mode="json", exclude={"name"}) for system in systems]
    for (i, one), (j, other) in itertools.combinations(enumerate(contents), 2):
        if one == other:
            raise PydanticCustomError(
                "repeated",
                "must not list the same variant twice: entries {i} and {j} differ in nothing",
                {"i": i + 1, "j": j + 1},
            )
    made = _labels(contents)
    names = [getattr(s, "name", None) or label for s, label in zip(systems, made, strict=True)]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise PydanticCustomError(
            "repeated",
            "must give every variant a name of its own, found {count} called '{name}'",
            {"name": name, "count": count},
        )
    return [s.model_copy(update={"name": n}) for s, n in zip(systems, names, strict=True)]


def _is_swept(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _labels(contents: Sequence[Mapping[str, Any]]) -> list[str]:
    flat = [dict(_flattened(content)) for content in contents]
    differing = [key for key in flat[0] if len({repr(f.get(key)) for f in flat}) > 1]
    if set(differing) & set(_SOURCES):
        differing = ["source", *(key for key in differing if key not in _SOURCES)]
    for content in flat:
        content["source"] = _source(content)
    labels = [" ".join(filter(None, (_word(k, f.get(k)) for k in differing))) for f in flat]
    return [label or content["source"] for label, content in zip(labels, flat, strict=True)]


def _flattened(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for key, value in content.items():
        inner = isinstance(value, Mapping)
        items += _flattened(value, f"{prefix}{key} ") if inner else [(f"{prefix}{key}", value)]
    return items


def _source(content: Mapping[str, Any]) -> str:
    found = next((str(content[key]) for key in _SOURCES if content.get(key)), "base")
    return PurePosixPath(found).name


def _word(key: str, value: Any) -> str:
    """Return a value as a name says it; nothing for one that the program chooses."""
    if value is None or value == "auto":
        return ""
    if key in ("compile", "cuda_graphs"):
        what = {"compile": "compiled", "cuda_graphs": "graphs"}[key]
        return what if value else f"no {what}" if key == "cuda_graphs" else f"not {what}"
    if key == "threads":
        return f"{value} thread{'' if value == 1 else 's'}"
    return str(value) if isinstance(value, str) else f"{key} {value:g}"
