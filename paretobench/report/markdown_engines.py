"""What the report says of engines that shared a device."""

from __future__ import annotations

from paretobench.report.manifest import system
from paretobench.report.model import Report
from paretobench.report.text import markdown


def engine_caveats(report: Report) -> list[str]:
    """Return where an engine had another share of the device than its class was given."""
    found = system(report.run)
    engines = [engine for engine in found.get("engines") or [] if isinstance(engine, dict)]
    caveats = []
    if engines and found.get("mps") is False:
        caveats.append(
            "No MPS daemon ran: the engines of arrangement `separate` took turns on the GPU, each "
            "with all of it while its turn lasted. `device_share` divided the memory alone."
        )
    threads = [engine for engine in engines if engine.get("threads")]
    total = sum(engine["threads"] for engine in threads)
    uneven = [e for e in threads if abs(e["threads"] / total - _asked(e, engines)) > 0.05]
    if uneven:
        named = ", ".join(
            f"{markdown(str(e['class']))} {e['threads']} of {total} threads for "
            f"{_asked(e, engines):.0%}"
            for e in uneven
        )
        caveats.append(f"The CPU's threads do not divide as the classes' shares do: {named}.")
    return caveats


def _asked(engine: dict[str, float], engines: list[dict[str, float]]) -> float:
    """Return an engine's share of what all engines have."""
    return engine["device_share"] / sum(e["device_share"] for e in engines)
