"""The part of `report.md` that says what could not be trusted, and why."""

from __future__ import annotations

from paretobench.analysis.configurations import Configuration
from paretobench.report.manifest import is_simulated, section, systems
from paretobench.report.markdown_conditions import ceiling_caveats
from paretobench.report.markdown_damage import damage_text
from paretobench.report.markdown_engines import engine_caveats
from paretobench.report.markdown_stages import run_label, stage_caveats
from paretobench.report.markdown_table import table
from paretobench.report.markdown_validity import power_cap_caveats, warmup_caveats
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import markdown, plural
from paretobench.report.uncertainty import interval_caveats

_MAX_ROWS = 60
_FOLD_FROM = 12


def trust_lines(report: Report) -> list[str]:
    """Return every caveat, then each trial that is not valid with its reason."""
    damage = damage_text(report)
    caveats = [
        *([f"{damage}; they are named at the top."] if damage else []),
        *_run_caveats(report),
        *_package_caveats(report),
        *_gpu_caveats(report),
        *ceiling_caveats(report),
        *engine_caveats(report),
        *_memory_caveats(report),
        *warmup_caveats(report),
        *power_cap_caveats(report),
        *interval_caveats(report),
        *_statistics_caveats(report),
        *stage_caveats(report),
    ]
    lines = [f"- {caveat}" for caveat in caveats]
    rejected = [p for p in report.points if p.verdict != "valid"]
    if rejected:
        lines += [
            *([""] if lines else []),
            *_folded(
                f"{plural(len(rejected), 'trial')} not valid, and so not on the frontier",
                _rejected_table(report),
                fold=len(rejected) > _FOLD_FROM,
            ),
        ]
    return lines or ["Nothing was found that casts doubt on these figures."]


def _run_caveats(report: Report) -> list[str]:
    caveats = []
    if is_simulated(report.run):
        caveats.append("Simulated: the figures are those of a latency model, not of a device.")
    state = report.run.manifest.get("state")
    trials = report.run.manifest.get("trials") or []
    if state != "complete":
        waiting = sum(t.get("state") != "done" for t in trials)
        note = f", with {plural(waiting, 'trial')} still to measure" if waiting else ""
        caveats.append(
            f"The run is {markdown(str(state or 'in an unknown state'))}{note}: "
            "the frontier may still move. Continue it with `--resume`."
        )
    if not any(systems(report.run).values()):
        caveats.append("The manifest does not say on what system this was measured.")
    return caveats


def _package_caveats(report: Report) -> list[str]:
    package = section(report.run.manifest, "provenance", "package")
    if package.get("git_dirty"):
        return ["The working tree had changes that were not committed: the commit is not the code."]
    return []


def _gpu_caveats(report: Report) -> list[str]:
    caveats = []
    for gpu in section(report.run.manifest, "provenance").get("gpus") or []:
        others = gpu.get("other_processes") or []
        if others:
            named = markdown(", ".join(str(process) for process in others))
            caveats.append(
                f"{plural(len(others), 'other process')} on GPU {gpu.get('index')}: {named}. "
                "Its work competed with what was measured."
            )
    return caveats


def _memory_caveats(report: Report) -> list[str]:
    """Say where requests waited for memory: there `max_batch_size` is not what limits."""
    waited = [c for c in report.configurations if c.figures.get("num_kv_waited")]
    if not waited:
        return []
    worst = max(waited, key=_share_waited)
    label = markdown(configuration_label(worst.settings, report.varied))
    return [
        f"In {plural(len(waited), 'configuration')} requests had to wait for memory for their keys "
        f"and values (`num_kv_waited`), most in {label}: {_share_waited(worst):.0%} of them. There "
        "the memory limits the batch, not `max_batch_size`."
    ]


def _share_waited(configuration: Configuration) -> float:
    figures = configuration.figures
    return (figures.get("num_kv_waited") or 0.0) / (figures.get("num_measured") or 1.0)


def _statistics_caveats(report: Report) -> list[str]:
    caveats = []
    valid = [c for c in report.configurations if c.is_valid]
    low = [c for c in valid if c.low_percentiles]
    if low:
        names = dict.fromkeys(name for c in low for name in c.low_percentiles)
        wanted = [n for n in names if n == report.latency]
        first = f", among them the objective `{report.latency}`" if wanted else ""
        caveats.append(
            f"{len(low)} of {plural(len(valid), 'valid configuration')} have percentiles "
            f"marked low (`~`){first}: fewer than 10 samples lie beyond the percentile, so one "
            "slow request moves it. More `measure.requests` sharpen it."
        )
    return caveats


def _folded(heading: str, lines: list[str], *, fold: bool) -> list[str]:
    if not fold:
        return [f"{heading}:", "", *lines]
    return ["<details>", f"<summary>{heading}</summary>", "", *lines, "", "</details>"]


def _rejected_table(report: Report) -> list[str]:
    rejected = [p for p in report.points if p.verdict != "valid"]
    several = any(c.num_repeats > 1 for c in report.configurations)
    rows = [
        [
            p.settings.trial_id,
            configuration_label(p.settings, report.varied) + run_label(p.settings, several=several),
            p.verdict.replace("_", " "),
            p.reason,
            p.remedy,
        ]
        for p in rejected[:_MAX_ROWS]
    ]
    lines = table(["trial", "configuration", "verdict", "reason", "what to do"], rows, num_left=5)
    if len(rejected) > _MAX_ROWS:
        more = len(rejected) - _MAX_ROWS
        lines += ["", f"and {more} more, all in [points.csv](points.csv)."]
    return lines
