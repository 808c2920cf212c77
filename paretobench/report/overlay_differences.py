"""In what the runs of an overlay differ beside what was measured, as far as manifests tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paretobench.report.manifest import (
    commit,
    device_name,
    is_simulated,
    model_name,
    scenario,
    section,
    seed,
    systems,
)
from paretobench.report.model import Report
from paretobench.report.overlay import Overlay
from paretobench.report.text import MISSING, joined, one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A fact, and what it is in each run, in their order; `—` where a manifest does not say."""

    what: str
    values: tuple[str, ...]


def _of_systems(key: str) -> Callable[[Report], str | None]:
    """Return a reader of a key of the provenance, of several variants all that they have."""

    def read(report: Report) -> str | None:
        found = [s.get(key) for s in systems(report.run).values()]
        return _listed([value for value in found if value is not None])

    return read


def _listed(values: list[Any]) -> str | None:
    return joined(list(dict.fromkeys(one_line(str(v)) for v in values))) if values else None


def _model(report: Report) -> str | None:
    return _of_systems("model")(report) or model_name(report.run)


def _driver(report: Report) -> str | None:
    gpus = section(report.run.manifest, "provenance").get("gpus") or []
    return _listed([gpu["driver"] for gpu in gpus if gpu.get("driver")])


def _version(report: Report) -> str | None:
    version = report.run.manifest.get("paretobench_version")
    digits = commit(report.run)
    return " ".join(str(part) for part in (version, digits and f"({digits})") if part) or None


def _step_times(report: Report) -> str | None:
    """Return the step times of a latency model, those that are not 0."""
    given = scenario(report.run).get("runner") or []
    said = []
    for runner in given if isinstance(given, list) else [given]:
        parts = {key: runner.get(key) for key in ("prefill", "decode", "mixed_saving_ms")}
        flat = {
            f"{part} {key}".strip(): value
            for part, found in parts.items()
            for key, value in (found.items() if isinstance(found, Mapping) else [("", found)])
        }
        said.append(", ".join(f"{name} {value}" for name, value in flat.items() if value))
    return _listed(said)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


_FACTS: Mapping[str, Callable[[Report], str | None]] = {
    "measured or simulated": lambda r: "simulated" if is_simulated(r.run) else "measured",
    "device": lambda r: device_name(r.run) or _of_systems("device_name")(r),
    "GPU driver": _driver,
    "model": _model,
    "step times": _step_times,
    "dtype": _of_systems("dtype"),
    "quantization": _of_systems("quantization"),
    "back end": _of_systems("backend"),
    "attention": _of_systems("attention_backend"),
    "threads": _of_systems("threads"),
    "torch": _of_systems("torch"),
    "CUDA": _of_systems("cuda"),
    "transformers": _of_systems("transformers"),
    "workload": lambda r: "; ".join(r.workloads) or None,
    "policy": lambda r: _listed(sorted({c.settings.policy for c in r.configurations})),
    "loads": lambda r: _listed(sorted({c.settings.load for c in r.configurations})),
    "seed": lambda r: _text(seed(r.run)),
    "paretobench": _version,
}
# what may move a curve by itself, and is said beside the picture
_SAID = (
    "measured or simulated", "device", "GPU driver", "model", "step times", "dtype",
    "quantization", "back end", "attention", "threads", "torch", "CUDA", "transformers", "workload",
    "policy", "loads",
)  # fmt: skip


def differences(overlay: Overlay) -> list[Difference]:
    """Return the facts that are not the same in all runs, those of the system first."""
    found = [
        Difference(what=what, values=tuple(read(r) or MISSING for r in overlay.reports))
        for what, read in _FACTS.items()
    ]
    return [difference for difference in found if len(set(difference.values)) > 1]


def differing(overlay: Overlay) -> list[str]:
    """Return what differs and may move a curve, by name: `["device", "loads"]`."""
    return [d.what for d in differences(overlay) if d.what in _SAID]
