"""From a YAML file and command-line overrides to a validated Scenario."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from paretobench.core.errors import ScenarioError
from paretobench.scenario.messages import explain
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.schema import Scenario

_SOURCES = ("preset", "path", "hub")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line puts in place of the file's values; None leaves the file's."""

    model: str | None = None
    dtype: str | None = None
    device: str | None = None
    max_batch_size: list[int] | None = None
    max_waiting_time_ms: list[float] | None = None
    request_rate: list[float] | None = None
    concurrency: list[int] | None = None
    trace: Path | None = None
    repeats: int | None = None
    seed: int | None = None
    confirm: bool | None = None

    def apply(self, data: dict[str, Any]) -> None:
        """Write the overrides into a scenario's raw data."""
        if self.model is not None:
            for section in _models(data, "--model", _SOURCES):
                for source in _SOURCES:
                    section.pop(source, None)
                section.update(_model_source(self.model))
            data.pop("runner", None)
        for key, given in (("dtype", self.dtype), ("device", self.device)):
            if given is not None:
                for section in _models(data, f"--{key}", (key,)):
                    section[key] = given
        for name, key, value in (
            ("batching", "max_batch_size", self.max_batch_size),
            ("batching", "max_waiting_time_ms", self.max_waiting_time_ms),
            ("measure", "repeats", self.repeats),
            ("measure", "seed", self.seed),
            ("measure", "confirm", self.confirm),
        ):
            if value is not None:
                _section(data, name)[key] = value
        loads: list[dict[str, Any]] = []
        if self.request_rate is not None:
            loads.append({"kind": "poisson", "requests_per_s": self.request_rate})
        if self.concurrency is not None:
            loads.append({"kind": "closed_loop", "concurrency": self.concurrency})
        if loads:
            data["load"] = loads
        if self.trace is not None:
            for section in _trace_sections(data):
                section["path"] = str(self.trace)


def load_scenario(path: Path, overrides: Overrides | None = None) -> Scenario:
    """Return the scenario in a YAML file, with the command line's overrides applied.

    Paths in the file are relative to the file's folder. Raises ScenarioError: one line for each
    fault, with file, key, what was expected and what was found.
    """
    data = _read_yaml(path)
    _resolve_paths(data, path.parent)
    if overrides is not None:
        overrides.apply(data)
    return scenario_from_mapping(data, source=path.name)


def scenario_from_mapping(data: dict[str, Any], *, source: str = "scenario") -> Scenario:
    """Return the scenario that `data` describes. Raises ScenarioError, naming `source`."""
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        raise ScenarioError("\n".join(explain(error, data, source))) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ScenarioError(
            f"{path}: expected a scenario file, found none; `ls scenarios/` lists the examples"
        ) from None
    except UnicodeDecodeError as error:
        raise ScenarioError(
            f"{path}: expected YAML text in UTF-8, found a byte that is not text at {error.start}"
        ) from None
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        data = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: expected YAML, found: {_one_line(error)}") from None
    if not isinstance(data, dict):
        found = "an empty file" if data is None else f"a {type(data).__name__}"
        raise ScenarioError(f"{path}: expected keys such as name, model and load, found {found}")
    return data


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key given twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key_node.value}' is given twice", key_node.start_mark
                )
            if isinstance(key_node.value, str):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def _one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return " ".join(str(error).split())


def _section(data: dict[str, Any], name: str) -> dict[str, Any]:
    section = data.setdefault(name, {})
    if not isinstance(section, dict):
        raise ScenarioError(f"{name} must be a mapping of keys, found {section!r}")
    return section


def _models(data: dict[str, Any], option: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return every model's section, which `option` will write `keys` of.

    Raises ScenarioError where the variants differ in those: then the option says too little.
    """
    if not isinstance(data.get("model"), list):
        return [_section(data, "model")]
    sections = [_section({"model": section}, "model") for section in data["model"]]
    if len({repr([section.get(key) for key in keys]) for section in sections}) > 1:
        raise ScenarioError(
            f"{option}: expected one value to replace, found variants of `model` that differ in "
            f"{' or '.join(keys)}; change them in the file"
        )
    return sections


def _model_source(model: str) -> dict[str, str]:
    if model in PRESETS:
        return {"preset": model}
    if model.startswith((".", "/", "~")) or Path(model).is_dir():
        return {"path": str(Path(model).expanduser().resolve())}
    return {"hub": model} if "/" in model else {"preset": model}


def _trace_sections(data: dict[str, Any]) -> list[dict[str, Any]]:
    load = data.get("load")
    loads = load if isinstance(load, list) else [load]
    workload = data.get("workload")
    lengths = list(workload.values()) if isinstance(workload, dict) else []
    return [s for s in (*loads, *lengths) if isinstance(s, dict) and s.get("kind") == "trace"]


def _resolve_paths(data: dict[str, Any], folder: Path) -> None:
    sections = _trace_sections(data)
    model = data.get("model")
    models = model if isinstance(model, list) else [model]
    for section in (*sections, *(m for m in models if isinstance(m, dict))):
        if isinstance(section.get("path"), str):
            section["path"] = str((folder / Path(section["path"]).expanduser()).resolve())
