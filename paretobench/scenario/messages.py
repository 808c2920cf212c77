"""Validation faults as one readable line each: file, key, expected, found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

_WORDING = (
    ("Input should be", "must be"),
    ("greater than or equal to", "≥"),
    ("less than or equal to", "≤"),
    ("greater than", ">"),
    ("less than", "<"),
    ("Field required", "is missing"),
    ("List should have at least 1 item after validation, not 0", "must not be an empty list"),
    ("String should match pattern", "must match"),
)


def explain(error: ValidationError, data: Any, source: str) -> Iterator[str]:
    """Yield one line for each fault, such as `chat.yaml: load.0.kind must be 'poisson', found 3`.

    `data` is what was validated: it tells real keys from the validator's own labels.
    """
    told: set[str] = set()
    for fault in error.errors(include_url=False):
        key = key_path(fault["loc"], data, missing=fault["type"] == "missing")
        line = f"{source}: {_say(key, fault['type'], fault['msg'], fault['input'])}"
        if line not in told:
            told.add(line)
            yield line


def key_path(location: Sequence[str | int], data: Any, *, missing: bool = False) -> str:
    """Return the dotted path of a fault as the file spells it.

    The validator's labels (which member of a union it tried) are left out; the last part is kept
    where a key is `missing`, for then the file cannot spell it.

    >>> key_path(("load", 0, "poisson", "requests_per_s", 0), {"load": {"requests_per_s": -1}})
    'load.requests_per_s'
    """
    parts: list[str] = []
    here: Any = data
    for depth, part in enumerate(location):
        is_last = depth == len(location) - 1
        if _holds(here, part):
            parts.append(str(part))
            here = here[part]
        elif is_last and missing:
            parts.append(str(part))
    return ".".join(parts)


def _holds(container: Any, part: str | int) -> bool:
    if isinstance(container, list):
        return isinstance(part, int) and part < len(container)
    return isinstance(container, dict) and part in container


def _say(key: str, kind: str, message: str, found: Any) -> str:
    message = re.sub(r"a valid dictionary or instance of \w+", "a mapping of keys", message)
    for pydantic_words, ours in _WORDING:
        message = message.replace(pydantic_words, ours)
    if kind == "unknown_key":
        return f"{message} in {key}" if key else message
    if kind == "union_tag_invalid":
        choices = message.rpartition("expected tags: ")[2]
        return f"{key}.kind must be one of {choices}, found {_kind_of(found)!r}"
    if kind == "union_tag_not_found":
        return f"{key} must have a kind, found {_short(found)}"
    if kind == "literal_error" and message == "must be 'auto' or 'quick'":
        message = "must be a number, 'auto' or 'quick'"
    if kind in ("missing", "no_time", "no_goal", "repeated") or ", found " in message:
        return f"{key} {message}" if key else message
    if key:
        return f"{key} {message}, found {_short(found)}"
    # of the whole file: one that must hold together names its keys itself
    return f"the scenario {message}, found {_keys(found)}" if message[:4] == "must" else message


def _keys(found: Any) -> str:
    return ", ".join(map(str, found)) if isinstance(found, dict) else _short(found)


def _kind_of(found: Any) -> Any:
    return found.get("kind") if isinstance(found, dict) else found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
