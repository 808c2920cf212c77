"""`paretobench doctor`: one shortened look at this very machine, and the exit code of an unfit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from paretobench.core.machine import AaRun, CpuUse, HostState, MachineState, RunFigures, TimerState
from paretobench.scenario.systems import LatencyModel

Run = Callable[..., Any]


def machine(steal_pct: float) -> MachineState:
    same = (RunFigures(output_tokens_per_s=10.0, p95_e2e_ms=10.0),) * 2
    return MachineState(
        gpu=None,
        host=HostState(
            cores=2,
            quota_cores=None,
            governors=(),
            frequency_drivers=(),
            memory_bytes=8 << 30,
            available_bytes=6 << 30,
            swap_used_bytes=0,
        ),
        timer=TimerState(resolution_s=1e-7, median_overshoot_s=1e-4, p95_overshoot_s=1e-4),
        cpu_use=CpuUse(other_cores=0.0, steal_pct=steal_pct, swapped_bytes=0),
        aa=AaRun(pairs=(same, same, same), device="cpu", device_name="[Some] CPU", threads=2),
    )


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[MachineState], None]:
    def look(state: MachineState) -> None:
        monkeypatch.setattr(
            "paretobench.targets.inspection.inspect_machine", lambda device, seconds, say: state
        )

    return look


def test_fit_machine_exits_0_with_a_table(run: Run, found: Any) -> None:
    found(machine(steal_pct=0.0))
    result = run("doctor")
    assert result.code == 0
    assert "none used: [Some] CPU measures" in result.out
    assert "Fit to measure." in result.err


def test_unfit_machine_exits_4_and_says_which_thing(run: Run, found: Any) -> None:
    found(machine(steal_pct=30.0))
    result = run("doctor", "--json")
    assert result.code == 4
    assert result.err == "Unfit to measure: CPU steal: 30.0%\n"
    document = json.loads(result.out)
    assert document["fit"] is False
    assert [f["name"] for f in document["findings"] if f["verdict"] == "unfit"] == ["CPU steal"]


@pytest.mark.parametrize("arguments", [("--device", "tpu"), ("--seconds", "0")])
def test_bad_arguments_exit_2(run: Run, arguments: tuple[str, ...]) -> None:
    result = run("doctor", *arguments)
    assert result.code == 2
    assert arguments[0] in result.err


def looked_at(run: Run, *arguments: str) -> dict[str, Any]:
    result = run("doctor", "--device", "cpu", "--seconds", "0.1", "--json", *arguments)
    document: dict[str, Any] = json.loads(result.out)
    assert result.code == (0 if document["fit"] else 4)
    measured = document["machine"]["aa"]
    assert measured["failure"] is None
    assert len(measured["pairs"]) == 3
    assert all(one["output_tokens_per_s"] > 0 for pair in measured["pairs"] for one in pair)
    assert set(document["machine"]["loop_cost_us"]) == {"1", "4", "64"}
    assert "A/A throughput" in {finding["name"] for finding in document["findings"]}
    return document


def test_this_machine_is_looked_at_and_judged(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of its own and the real clock, but a latency model that needs no torch."""
    step = {"base_ms": 0.5}
    monkeypatch.setattr(
        "paretobench.targets.inspection._system",
        lambda device: LatencyModel.model_validate(
            {"kind": "latency_model", "prefill": step, "decode": step}
        ),
    )
    step_s = looked_at(run)["machine"]["aa"]["median_step_s"]
    assert step_s >= 0.5e-3


@pytest.mark.slow
def test_this_machine_is_measured_with_a_model(run: Run) -> None:
    assert looked_at(run)["machine"]["aa"]["device"] == "cpu"
