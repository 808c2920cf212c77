"""Every key of a scenario as Markdown tables, from the JSON schema alone.

A section a definition, headed by where it stands in the file; a row a key: type, default, bounds,
unit, what it means. Nothing here names a key of the schema but the units that no suffix tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cells import code_cell

Schema = Mapping[str, Any]

SUFFIXES = {"requests_per_s": "requests/s", "_ms": "ms", "_s": "s", "_tokens": "tokens"}
# the unit where the key itself does not say it
UNITS = {
    "max_batch_size": "requests",
    "initial_batch_size": "requests",
    "step": "requests",
    "increase": "requests",
    "min_queue_depth": "requests",
    "concurrency": "clients",
    "per_slot": "requests",
    "minimum": "requests",
    "requests": "requests",
    "warmup": "requests",
    "repeats": "runs",
    "max_repeats": "runs",
    "max_prefill_tokens_per_step": "tokens",
    "value": "tokens",
    "low": "tokens",
    "high": "tokens",
    "mean": "tokens",
    "cap": "tokens",
    "threads": "threads",
    "by_batch_size": "ms",
}
KEYED_BY = {"subject_to": "metric", "by_batch_size": "batch size"}  # others by names
SHARES_OF_AN_SLA = ("Threshold.low", "Threshold.high")  # the names of lengths, but factors here
BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}


def scenario_reference(schema: Schema) -> str:
    """Return the Markdown of what `Scenario.model_json_schema()` gives."""
    places = _places(schema)
    called = {name: _kind(schema["$defs"][name]) or there[0] for name, there in places.items()}
    sections = [_section("The file", "Scenario", schema, ["the file"], called)]
    for name, there in places.items():
        part = schema["$defs"][name]
        kind = f", kind `{_kind(part)}`" if _kind(part) else ""
        sections.append(_section(f"`{there[0]}`{kind}", name, part, there, called))
    return "\n\n".join(sections)


def keys_of(schema: Schema) -> set[tuple[str, str]]:
    """Return `(definition, key)` of every key that a scenario may hold."""
    definitions = {"Scenario": schema, **schema["$defs"]}
    return {(name, key) for name, part in definitions.items() for key in part["properties"]}


def type_text(part: Schema, called: Mapping[str, str]) -> str:
    """Return what a value may be, in words; definitions are linked by what they are called.

    >>> type_text({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {})
    'whole number'
    >>> text = {"type": "string"}
    >>> type_text({"anyOf": [text, {"type": "array", "items": text}]}, {})
    'text, or a list'
    >>> type_text({"enum": ["auto", True], "type": "string"}, {})
    '`auto`, `true`'
    """
    if "$ref" in part:
        name = _name(part)
        return f"[`{called[name]}`](#{_anchor(name)})"
    if "const" in part:
        return _code(part["const"])
    if "enum" in part:
        return ", ".join(_code(value) for value in part["enum"])
    for union in ("anyOf", "oneOf"):
        if union in part:
            return _union_text(part[union], called)
    if part.get("type") == "array":
        return f"list of {type_text(part['items'], called)}"
    if part.get("type") == "object":
        inner = part.get("additionalProperties") or next(iter(part["patternProperties"].values()))
        return f"by name: {type_text(inner, called)}"
    words = {"integer": "whole number", "boolean": "`true`, `false`", "string": "text"}
    return words.get(part["type"], str(part["type"]))


def _union_text(members: list[Schema], called: Mapping[str, str]) -> str:
    told = [m for m in members if m.get("type") != "null"]
    lists = [m for m in told if m.get("type") == "array" and m.get("items") in told]
    texts = [type_text(m, called) for m in told if m not in lists]
    return ", ".join(dict.fromkeys(texts)) + (", or a list" if lists else "")


def _section(
    title: str, name: str, part: Schema, there: list[str], called: Mapping[str, str]
) -> str:
    lines = [f"## {title} {{#{_anchor(name)}}}", ""]
    lines += [" ".join(part.get("description", "").split()), ""]
    if len(there) > 1:
        lines += [f"Also at {', '.join(f'`{place}`' for place in there[1:])}.", ""]
    lines += ["| key | what it means | type | default | bounds | unit |", "|" + " --- |" * 6]
    required = part.get("required", ())
    for key, value in part["properties"].items():
        default = "required" if key in required else default_text(value.get("default"))
        cells = (
            f"`{key}`",
            " ".join(value.get("description", "").split()),
            type_text(value, called).replace("by name:", f"by {KEYED_BY.get(key, 'name')}:"),
            default,
            bounds_text(value) or "—",
            unit_of(name, key, value) or "—",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def default_text(value: Any) -> str:
    """Return a default as the file would spell it; a list of one is that one.

    >>> default_text(["static"]), default_text(None), default_text({"per_slot": 6})
    ('`static`', '—', '`{per_slot: 6}`')
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or value in ("", {}):
        return "—"
    if isinstance(value, dict):
        given = {k: v for k, v in value.items() if v is not None}
        inner = ", ".join(f"{k}: {_plain(v)}" for k, v in given.items())
        return f"`{{{inner}}}`" if given and len(inner) <= 40 else "see there"
    return _code(value)


def bounds_text(part: Schema) -> str:
    """Return the limits of a value, those of a list's members among them.

    >>> bounds_text({"anyOf": [{"minimum": 0, "type": "number"}, {"type": "null"}]})
    '≥ 0'
    """
    found: dict[str, None] = {}
    for inner in _walk(part):
        limits = [f"{sign} {inner[key]:,}" for key, sign in BOUNDS.items() if key in inner]
        if limits:
            found[" and ".join(limits)] = None
        if "pattern" in inner:
            found[f"matches {code_cell(inner['pattern'])}"] = None
        if inner.get("minItems", 0) > 1:
            found[f"at least {inner['minItems']}"] = None
    return "; ".join(found)


def unit_of(definition: str, key: str, part: Schema) -> str:
    """Return the unit of a number; nothing where it has none or is no number.

    >>> unit_of("Batching", "max_waiting_time_ms", {"type": "number"})
    'ms'
    >>> unit_of("Workload", "prompt_tokens", {"type": "object"})
    ''
    """
    if not any(p.get("type") in ("integer", "number") for p in _walk(part)):
        return ""
    if f"{definition}.{key}" in SHARES_OF_AN_SLA:
        return ""
    if key in UNITS:
        return UNITS[key]
    return next((unit for end, unit in SUFFIXES.items() if key.endswith(end)), "")


def _walk(part: Schema) -> Iterator[Schema]:
    """Yield a value's schema and those of its alternatives and members, definitions left out."""
    yield part
    for union in ("anyOf", "oneOf"):
        for member in part.get(union, ()):
            yield from _walk(member)
    if isinstance(part.get("items"), dict):
        yield from _walk(part["items"])
    if isinstance(part.get("additionalProperties"), dict):
        yield from _walk(part["additionalProperties"])


def _places(schema: Schema) -> dict[str, list[str]]:
    """Return where each definition stands in the file, the shortest place first, in file order."""
    found: dict[str, list[str]] = {}
    waiting: list[tuple[str, Schema]] = [("", schema)]
    while waiting:
        place, part = waiting.pop(0)
        for key, value in part["properties"].items():
            for name, inside in _references(value):
                there = f"{place}.{key}{inside}".lstrip(".")
                known = found.setdefault(name, [])
                if there not in known:
                    known.append(there)
                    waiting.append((there, schema["$defs"][name]))
    return dict(sorted(found.items(), key=lambda item: _order(schema, item[1][0])))


def _order(schema: Schema, place: str) -> tuple[int, str]:
    return list(schema["properties"]).index(place.split(".")[0]), place


def _references(part: Schema) -> Iterator[tuple[str, str]]:
    """Yield `(definition, .<name> where it stands under names)` of what a value may be."""
    for inner in _walk(part):
        if "$ref" in inner:
            named = part.get("type") == "object"
            yield _name(inner), ".<name>" if named else ""
        for pattern in inner.get("patternProperties", {}).values():
            yield _name(pattern), ".<name>"


def _kind(part: Schema) -> str | None:
    return part["properties"].get("kind", {}).get("const")  # type: ignore[no-any-return]


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[1]


def _anchor(name: str) -> str:
    return name.lower()


def _code(value: Any) -> str:
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
