"""The part of `report.md` that says what was measured, on what, and how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from paretobench import __version__
from paretobench.core.points import Settings
from paretobench.report.manifest import (
    commit,
    is_simulated,
    model_name,
    scenario,
    section,
    system,
    systems,
)
from paretobench.report.markdown_conditions import condition_facts
from paretobench.report.markdown_loads import load_lines, workload_lines
from paretobench.report.markdown_stages import confirmation_text
from paretobench.report.markdown_table import table
from paretobench.report.model import Report
from paretobench.report.settings_text import policy_label
from paretobench.report.text import MISSING, markdown, number, plural, wait_label

_GIB = 2**30
_APART = (
    "model",
    "device",
    "dtype",
    "quantization",
    "backend",
    "attention_backend",
    "linear_backend",
    "elementwise",
    "cuda_graphs",
    "threads",
)


def measured_lines(report: Report) -> list[str]:
    """Return the system, the workloads, the loads and how much was measured."""
    run = report.run
    facts = [
        ("System", _system_text(report)),
        *_variants(report),
        ("Precision and attention", _listed(system(run), "dtype", "attention_backend")),
        ("Software", _software(report)),
        ("Host", _host(report)),
        *(("GPU", line) for line in _gpus(report)),
        ("Threads", _threads(report)),
        *condition_facts(report),
        ("Swept", _swept(report)),
        ("Trials", _trials(report)),
        ("Replay of", _replay_of(report)),
        ("Measured again", confirmation_text(report)),
        ("Seeds", _listed(section(run.manifest, "provenance", "seeds"), "measure", "model")),
        ("When", _when(report)),
    ]
    rows = [[name, value] for name, value in facts if value]
    description = str(scenario(run).get("description") or "").strip()
    lines = [markdown(description), ""] if description else []
    lines += table(["what", "found"], rows, num_left=2)
    return [*lines, *workload_lines(report), *load_lines(report)]


def reproduce_lines(report: Report) -> list[str]:
    """Return the commands that measure the same again, beside this folder."""
    run = report.run
    name = run.path.resolve().name
    folder, again = shlex.quote(name), shlex.quote(f"{name}-again")
    verb = "simulate" if is_simulated(run) else "sweep"
    fitted_from = system(run).get("fitted_from")
    steps = f" --steps-from {shlex.quote(str(fitted_from))}" if fitted_from else ""
    digits = commit(run)
    measure = [
        'python -c \'import json, sys; json.dump(json.load(open(sys.argv[1]))["scenario"], '
        f"sys.stdout)' {folder}/manifest.json > scenario.yaml",
        f"paretobench {verb} scenario.yaml{steps} --output-dir {again}",
    ]
    if section(run.manifest, "like"):  # its trials are not those that its scenario plans
        measure = [f"paretobench {verb} --like {folder}{steps} --output-dir {again}"]
    return [
        f"With paretobench {markdown(str(run.manifest.get('paretobench_version') or __version__))}"
        f"{f' at commit {markdown(digits)}' if digits else ''}, from the folder above this one. "
        "The manifest holds the scenario with every value settled "
        f"(hash `{markdown(str(run.manifest.get('scenario_hash') or MISSING))}`):",
        "",
        "```sh",
        *measure,
        "```",
    ]


def _system_text(report: Report) -> str:
    found = system(report.run)
    name = str(found.get("model") or model_name(report.run))
    device = ", ".join(str(found[k]) for k in ("device_name", "device") if found.get(k))
    simulated = "simulated in virtual time with a latency model, not measured: "
    return (
        f"{simulated if is_simulated(report.run) else ''}{name}{f' on {device}' if device else ''}"
    )


def _variants(report: Report) -> list[tuple[str, str]]:
    """Return what sets each variant apart from the others."""
    shared, found = system(report.run), systems(report.run)
    return [
        (
            f"Variant {name}",
            ", ".join(
                f"{k} {found[name][k]}" for k in _APART if k not in shared and found[name].get(k)
            ),
        )
        for name in report.variants
        if name in found
    ]


def _software(report: Report) -> str:
    package = section(report.run.manifest, "provenance", "package")
    version = package.get("version") or report.run.manifest.get("paretobench_version")
    parts = [f"paretobench {version or __version__}"]
    digits = commit(report.run)
    if digits:
        parts[0] += f" (commit {digits})"
    parts += [
        f"{name} {system(report.run)[name]}"
        for name in ("torch", "cuda", "transformers")
        if system(report.run).get(name)
    ]
    python = section(report.run.manifest, "provenance", "host").get("python")
    return ", ".join([*parts, f"Python {python}"] if python else parts)


def _host(report: Report) -> str:
    host = section(report.run.manifest, "provenance", "host")
    memory = host.get("memory_bytes")
    parts = [
        str(host["cpu"]) if host.get("cpu") else None,
        f"{host['cores']} cores" if host.get("cores") else None,
        f"{number(memory / _GIB)} GiB" if memory else None,
        str(host["os"]) if host.get("os") else None,
    ]
    return ", ".join(part for part in parts if part)


def _replay_of(report: Report) -> str:
    """Return whose loads and schedules were replayed; empty where it was nobody's."""
    like = section(report.run.manifest, "like")
    if not like:
        return ""
    schedules = "fresh schedules" if like.get("fresh_schedules") else "schedules"
    which = f"scenario {like.get('scenario_hash')}, begun {like.get('created_at')}"
    its = "its loads, with" if like.get("fresh_schedules") else "its loads and"
    return f"the run {like.get('name')} ({which}): {its} {schedules}"


def _gpus(report: Report) -> list[str]:
    gpus = section(report.run.manifest, "provenance").get("gpus") or []
    lines = []
    for gpu in gpus:
        memory = gpu.get("memory_bytes")
        parts = [
            f"{gpu.get('index', MISSING)}: {gpu.get('name') or MISSING}",
            f"{number(memory / _GIB)} GiB" if memory else None,
            f"driver {gpu['driver']}" if gpu.get("driver") else None,
        ]
        lines.append(", ".join(part for part in parts if part))
    return lines


def _threads(report: Report) -> str:
    found = system(report.run)
    parts = [str(found["threads"])] if found.get("threads") else []
    environment = section(found, "environment")
    parts += [f"{name}={value}" for name, value in sorted(environment.items())]
    return ", ".join(parts)


def _swept(report: Report) -> str:
    settings = [c.settings for c in report.configurations]
    if not settings:
        return ""
    one = [s for s in settings if not s.class_batching]
    parts = [
        f"policy {', '.join(dict.fromkeys(map(policy_label, settings)))}",
        _values("max batch size", {s.max_batch_size for s in one}, str),
        _values("max waiting time", {s.max_waiting_time_ms for s in one}, wait_label),
    ]
    if report.class_names:
        parts += _classes_swept([s for s in settings if s.class_batching])
        parts.append(_values("arrangement", {s.arrangement for s in settings}, str))
        mixes = {s.mix_classes for s in settings if s.arrangement != "separate"}
        parts.append(_values("batches of several classes", mixes, lambda m: "yes" if m else "no"))
    with_priorities = [s for s in settings if s.arrangement == "priority"]
    if with_priorities:
        aging = {s.aging_ms or 0.0 for s in with_priorities}
        parts.append(_values("aging", aging, lambda ms: wait_label(ms) if ms else "none"))
    preempting = [s for s in with_priorities if s.policy == "continuous"]
    parts.append(_values("preemption", {s.preemption or "none" for s in preempting}, str))
    return "; ".join(part for part in parts if part)


def _values(name: str, values: Collection[Any], said: Callable[[Any], str]) -> str:
    return f"{name} {', '.join(map(said, sorted(values)))}" if values else ""


def _classes_swept(settings: Sequence[Settings]) -> list[str]:
    """Return each class's own limits, in the words of a label."""
    found: dict[str, dict[str, None]] = {}
    for s in settings:
        for name, own in s.class_limits().items():
            limits = f"{own['max_batch_size']} / {wait_label(own['max_waiting_time_ms'])}"
            found.setdefault(name, {})[limits] = None
    return [f"class {name} {', '.join(sorted(limits))}" for name, limits in found.items()]


def _trials(report: Report) -> str:
    if not report.points:
        return "none"
    verdicts = ", ".join(f"{n} {v.replace('_', ' ')}" for v, n in report.verdicts.items())
    measured = [p.figures.get("num_measured") for p in report.points]
    requests = sum(int(m) for m in measured if m is not None)
    repeats = sorted({c.num_repeats for c in report.configurations})
    said = plural(repeats[-1], "repeat")
    if len(repeats) > 1:
        said = f"{repeats[0]} to {said}"
    return (
        f"{plural(len(report.points), 'trial')} of "
        f"{plural(len(report.configurations), 'configuration')} ({verdicts}); "
        f"{said} each; {plural(requests, 'request')} measured"
    )


def _when(report: Report) -> str:
    begun, ended = report.run.manifest.get("created_at"), report.run.manifest.get("finished_at")
    return " to ".join(str(moment) for moment in (begun, ended) if moment)


def _listed(content: Mapping[str, Any], *keys: str) -> str:
    return ", ".join(f"{k} {content[k]}" for k in keys if content.get(k) is not None)
