"""What a run was measured with, as far as it decides the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from paretobench.core.naming import suggestion
from paretobench.report.manifest import is_simulated, scenario, section, systems
from paretobench.report.text import number, one_line
from paretobench.results.reader import RunFolder

Allowance = Literal["driver", "torch", "model", "runner"]
ALLOWANCES: tuple[Allowance, ...] = ("driver", "torch", "model", "runner")

# a system's provenance: the key, what people call it, what `--allow` has to name (None: nothing)
_OF_SYSTEM: tuple[tuple[str, str, Allowance | None], ...] = (
    ("dtype", "dtype", None),
    ("torch", "torch", "torch"),
    ("cuda", "CUDA of torch", "torch"),
    ("transformers", "transformers", "torch"),
    ("model", "model", "model"),
    ("num_parameters", "parameters", "model"),
    ("quantization", "quantization", "model"),
    ("kind", "runner", "runner"),
    ("backend", "backend", "runner"),
    ("attention_backend", "attention backend", "runner"),
    ("linear_backend", "linear backend", "runner"),
    ("elementwise", "elementwise kernels", "runner"),
    ("engines", "engines", "runner"),
    ("mps", "MPS", "runner"),
    ("fitted_from_hash", "steps fitted from", "runner"),
)
_MODEL_SOURCES = ("preset", "hub", "path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that decides figures; `allowance` is the name that lets it differ, if any."""

    what: str
    value: str
    allowance: Allowance | None


def facts_of(run: RunFolder, variant: str | None) -> dict[str, Fact]:
    """Return what a variant was measured with; what the manifest does not record is left out."""
    system = systems(run).get(variant) or next(iter(systems(run).values()))
    simulated = bool(system.get("simulated")) or is_simulated(run)
    found = [
        Fact(what="schema version", value=str(run.manifest["schema_version"]), allowance=None),
        Fact(what="made by", value="simulation" if simulated else "measurement", allowance=None),
        *_of_system(system),
        *_of_scenario(run, variant),
    ]
    found += _of_steps(run, system, variant) if simulated else _of_device(run, system)
    return {fact.what: fact for fact in found}


def check_allowed(names: list[str]) -> str | None:
    """Return what is wrong with names of what may differ, None where nothing is.

    >>> check_allowed(["torch", "modle"])
    "--allow takes driver, torch, model, runner, found 'modle' (did you mean 'model'?)"
    """
    for name in names:
        if name not in ALLOWANCES:
            known = ", ".join(ALLOWANCES)
            return f"--allow takes {known}, found {name!r}{suggestion(name, ALLOWANCES)}"
    return None


def _of_system(system: Mapping[str, Any]) -> list[Fact]:
    found = [
        Fact(what=what, value=_text(system[key]), allowance=allowance)
        for key, what, allowance in _OF_SYSTEM
        if key in system
    ]
    if "cuda_graphs" in system:  # how many follows from the batch sizes
        graphs = "on" if system["cuda_graphs"] else "off"
        found.append(Fact(what="CUDA graphs", value=graphs, allowance="runner"))
    return found


def _of_scenario(run: RunFolder, variant: str | None) -> list[Fact]:
    """Return where the model came from: a name alone does not tell two checkpoints apart."""
    model = _section_of(run, "model", variant)
    sources = [
        f"{key} {PurePosixPath(str(model[key])).name if key == 'path' else model[key]}"
        for key in _MODEL_SOURCES
        if model.get(key)
    ]
    found = [Fact(what="model source", value=_text(s), allowance="model") for s in sources]
    if model.get("compile") is not None:
        compiles = _text(model["compile"])
        found.append(Fact(what="model.compile", value=compiles, allowance="runner"))
    return found


def _of_device(run: RunFolder, system: Mapping[str, Any]) -> list[Fact]:
    host = section(run.manifest, "provenance", "host")
    gpu = _gpu_of(run, system)
    environment = system.get("environment")
    known: tuple[tuple[str, Any, Allowance | None], ...] = (
        ("device", system.get("device_name") or system.get("device"), None),
        ("host CPU", host.get("cpu"), None),
        ("CPU cores", host.get("cores"), None),
        ("threads", system.get("threads"), None),
        ("environment", None if environment is None else _pairs(environment), None),
        ("GPU power limit", _watts(gpu.get("power_limit_w")), None),
        ("driver", gpu.get("driver"), "driver"),
        ("CUDA of the driver", gpu.get("cuda_driver"), "driver"),
    )
    return [
        Fact(what=what, value=_text(value), allowance=allowance)
        for what, value, allowance in known
        if value is not None
    ]


def _of_steps(run: RunFolder, system: Mapping[str, Any], variant: str | None) -> list[Fact]:
    """Return each time of the steps that a simulation was made with."""
    steps = system.get("step_fit") or _section_of(run, "runner", variant)
    source = "fitted to a run" if system.get("step_fit") else "given by the scenario"
    return [
        Fact(what="step times", value=source, allowance="runner"),
        *(
            Fact(what=f"step time {name}", value=value, allowance="runner")
            for name, value in _times(steps).items()
        ),
    ]


def _times(steps: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in steps.items():
        if isinstance(value, Mapping) and key in ("prefill", "decode"):
            found |= _times(value, f"{key}.")
        elif key.endswith("_ms") or key == "by_batch_size":
            found[f"{prefix}{key}"] = _text(value)
    return found


def _section_of(run: RunFolder, key: str, variant: str | None) -> Mapping[str, Any]:
    """Return what the scenario says of a model or a latency model; of several that of a name."""
    given = scenario(run).get(key)
    of_all = given if isinstance(given, list) else [given] if given else []
    named = [entry for entry in of_all if entry.get("name") == variant]
    return next(iter([*named, *of_all]), {})


def _gpu_of(run: RunFolder, system: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is recorded of the GPU that was measured, nothing where that was none."""
    if not str(system.get("device") or "").startswith("cuda"):
        return {}
    gpus: list[Mapping[str, Any]] = section(run.manifest, "provenance").get("gpus") or []
    own = [gpu for gpu in gpus if gpu.get("uuid") == system.get("gpu_uuid")]
    return own[0] if own else gpus[0] if len(gpus) == 1 else {}


def _watts(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f} W"


def _pairs(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return ", ".join(f"{key}={value[key]}" for key in sorted(value)) or "none"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else number(value)
    if isinstance(value, Mapping | list):
        return one_line(_pairs(value), limit=160)
    return one_line(str(value), limit=160)
