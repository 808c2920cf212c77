"""What a manifest says, read so that any missing provenance is None and never an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from paretobench.analysis.conditions import Conditions
from paretobench.analysis.operating_points import Goal
from paretobench.analysis.precision import wanted_half_widths
from paretobench.core.errors import RunFolderError
from paretobench.report.text import joined, one_line
from paretobench.results.reader import RunFolder


def section(content: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return the nested mapping under `keys`, empty where any of them is missing or null."""
    for key in keys:
        content = content.get(key) or {}
    return content


def scenario(run: RunFolder) -> Mapping[str, Any]:
    """Return the scenario as the manifest holds it."""
    return section(run.manifest, "scenario")


def throughput_metric(run: RunFolder) -> str:
    """Return the metric across."""
    return str(section(scenario(run), "objectives").get("throughput") or "output_tokens_per_s")


def latency_metric(run: RunFolder) -> str:
    """Return the metric up."""
    return str(section(scenario(run), "objectives").get("latency") or "p95_e2e_ms")


def latency_cap(run: RunFolder) -> float:
    """Return the latency of the hypervolume's reference point, in the unit of the metric up."""
    return float(section(scenario(run), "objectives").get("latency_cap") or 10_000.0)


def wanted_precision(run: RunFolder) -> dict[str, float]:
    """Return the half-width asked of each figure as a share of it; empty where none is."""
    asked = section(scenario(run), "measure", "precision")
    return wanted_half_widths(asked, throughput=throughput_metric(run))


def goals(run: RunFolder) -> list[Goal]:
    """Return the goal of each operating point that the scenario names."""
    return [
        Goal(
            name=name,
            objective=goal.get("maximize") or goal["minimize"],
            maximize=goal.get("maximize") is not None,
            subject_to=dict(goal.get("subject_to") or {}),
        )
        for name, goal in section(scenario(run), "operating_points").items()
    ]


def systems(run: RunFolder) -> dict[str | None, Mapping[str, Any]]:
    """Return the provenance of each variant by its name, of a single system by None."""
    several = section(run.manifest, "provenance", "systems")
    if not several:
        return {None: section(run.manifest, "provenance", "system")}
    return {name: several[name] for name in several}


def system(run: RunFolder) -> Mapping[str, Any]:
    """Return the provenance of what was measured; of several variants, what they share."""
    first, *others = systems(run).values()
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }


def variant_names(run: RunFolder) -> list[str | None]:
    """Return what the scenario calls its systems, in its order; one system may have no name."""
    return [found.get("name") for key in ("model", "runner") for found in _given(run, key)]


def _given(run: RunFolder, key: str) -> list[Mapping[str, Any]]:
    """Return the models or latency models that the scenario gives: none, one or several."""
    found = scenario(run).get(key)
    return found if isinstance(found, list) else [found] if found else []


def is_simulated(run: RunFolder) -> bool:
    """Return whether a latency model stood in for a model."""
    return bool(system(run).get("simulated")) or bool(_given(run, "runner"))


def model_name(run: RunFolder) -> str:
    """Return a short name for the model: the preset, the hub id or the folder's name."""
    sources = [
        PurePosixPath(str(model[key])).name
        for model in _given(run, "model")
        for key in ("preset", "hub", "path")
        if model.get(key)
    ]
    if sources:
        return one_line(joined(dict.fromkeys(sources)), limit=32)
    return "latency model" if is_simulated(run) else one_line(str(run.manifest.get("name") or "?"))


def device_name(run: RunFolder) -> str | None:
    """Return the device's name, or the device, or None where nothing real was measured."""
    name = system(run).get("device_name") or system(run).get("device")
    return one_line(str(name), limit=60) if name else None


def commit(run: RunFolder) -> str | None:
    """Return the commit's first 7 digits, `+dirty` where the tree had changes."""
    package = section(run.manifest, "provenance", "package")
    if not package.get("git_commit"):
        return None
    return (
        f"{one_line(str(package['git_commit']))[:7]}{'+dirty' if package.get('git_dirty') else ''}"
    )


def seed(run: RunFolder) -> int | None:
    """Return the seed of the schedule."""
    value = section(run.manifest, "provenance", "seeds").get("measure")
    if value is None:
        value = section(scenario(run), "measure").get("seed")
    return None if value is None else int(value)


def provenance_line(run: RunFolder) -> str:
    """Return model, device, dtype, commit and seed on one line; what is unknown is left out."""
    model = system(run).get("model")
    digits, seed_used = commit(run), seed(run)
    parts = [
        "SIMULATED" if is_simulated(run) else None,
        one_line(str(model), limit=60) if model else model_name(run),
        device_name(run),
        one_line(str(system(run)["dtype"])) if system(run).get("dtype") else None,
        f"commit {digits}" if digits else None,
        None if seed_used is None else f"seed {seed_used}",
    ]
    return " · ".join(part for part in parts if part)


def conditions(run: RunFolder, variant: str | None) -> Conditions:
    """Return what the manifest says of the machine that a variant was measured on.

    Raises RunFolderError where that section is damaged.
    """
    try:
        return Conditions.from_manifest(run.manifest, variant)
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{run.path / 'manifest.json'}: `conditions` cannot be read ({error}); restore the "
            "file or measure again"
        ) from error


def workload_facts(run: RunFolder) -> list[Mapping[str, Any]]:
    """Return what the manifest records of each workload's real lengths."""
    return list(run.manifest.get("workloads") or [])
