"""A folder as the documentation's commands expect it, and a device that costs nothing.

The commands run in this process, word for word. Stand-ins: the worker process serves in virtual
time, the device's rates are fixed, figures are laid out and not rendered, scenarios keep their
names and keys but measure few requests, and run folders are tiny runs of such scenarios.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from paretobench.cli import main
from paretobench.core.ceilings import Ceiling
from paretobench.core.machine import AaRun, CpuUse, HostState, MachineState, RunFigures, TimerState
from paretobench.core.step_times import StepTimes
from paretobench.core.values import Trace, Trial
from paretobench.scenario.loader import scenario_from_mapping
from paretobench.scenario.presets import PRESETS
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.measured import worker_target
from paretobench.targets.simulated import SimulatedTarget
from paretobench.targets.worker_target import WorkerTarget

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "docs"))  # the generators, which MkDocs loads by path

TIMES = StepTimes(
    prefill_base_s=1e-3, prefill_per_token_s=1e-5, decode_base_s=2e-3, decode_per_sequence_s=1e-4
)
SYSTEM = {
    "device": "cpu",
    "device_name": "Some CPU",
    "threads": 2,
    "torch": "2",
    "dtype": "float32",
}
GOAL = {"maximize": "output_tokens_per_s", "subject_to": {"p95_e2e_ms": 60_000}}
RUNS = {  # that commands read, and the scenario of each
    "results/chat": "chat",
    "results/chat/verify/chat": "chat",
    "results/certified_chat": "chat",
    "results/chat-int8": "chat",
    "results/quickstart": "chat",
    "results/base": "ci",
    "results/change": "ci",
    "baseline": "ci",
    "candidate": "ci",
}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a known device in the place of this one."""
    stand_in(monkeypatch)


def stand_in(patch: pytest.MonkeyPatch) -> None:
    def measure(target: WorkerTarget, trial: Trial) -> Trace:
        return SimulatedTarget(TIMES).measure(trial)

    def loop_cost_s(
        target: WorkerTarget, batch_sizes: Sequence[int], *, policy: str
    ) -> Mapping[int, float]:
        return dict.fromkeys(batch_sizes, 1e-5)

    def rendered(png_name: str, _figure: object) -> dict[str, bytes]:
        return {png_name: b"PNG", png_name.replace(".png", ".svg"): b"SVG"}

    patch.setattr("paretobench.report.figures.rendered", rendered)
    patch.setattr(WorkerTarget, "open", lambda target: None)
    patch.setattr(WorkerTarget, "close", lambda target: None)
    patch.setattr(
        WorkerTarget, "describe", lambda target: {**SYSTEM, "kind": "torch", "model": "nano"}
    )
    patch.setattr(WorkerTarget, "measure", measure)
    patch.setattr(WorkerTarget, "loop_cost_s", loop_cost_s)
    patch.setattr("paretobench.targets.limits.DeviceBench", KnownBench)
    patch.setattr(
        "paretobench.targets.inspection.inspect_machine", lambda *_, **__: quiet_machine()
    )


class KnownBench:
    cases = ("read_bandwidth", "float32", "bfloat16")

    def __init__(self, settings: Any) -> None:
        self.system = SYSTEM

    def __enter__(self) -> KnownBench:
        return self

    def __exit__(self, *_: object) -> None: ...

    def measure(self, case: str, seconds: float) -> Ceiling:
        is_read = case == "read_bandwidth"
        return Ceiling(
            quantity="read_bandwidth" if is_read else "matmul",
            dtype="float32" if is_read else case,
            method="linear",
            shape="2×2×2",
            unit="B/s" if is_read else "FLOP/s",
            per_s=4e10 if is_read else 4e11,
            best_per_s=4e10 if is_read else 4e11,
            repeats=5,
            note="",
        )


def quiet_machine() -> MachineState:
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
        cpu_use=CpuUse(other_cores=0.0, steal_pct=0.0, swapped_bytes=0),
        aa=AaRun(pairs=(same, same, same), device="cpu", device_name="Some CPU", threads=2),
    )


def small(scenario: dict[str, Any]) -> dict[str, Any]:
    """Return a scenario that is done at once: its keys and goals, two sizes, few requests."""
    sizes = scenario["batching"]["max_batch_size"]
    if isinstance(sizes, list):
        scenario["batching"]["max_batch_size"] = sorted({min(sizes), sizes[len(sizes) // 2]})
    waits = scenario["batching"].get("max_waiting_time_ms")
    if isinstance(waits, list):
        scenario["batching"]["max_waiting_time_ms"] = waits[:1]
    scenario["load"] = {"kind": "closed_loop"}
    scenario["measure"] = {"requests": 120, "warmup": "quick", "seed": 0, "confirm": False}
    return scenario


class Silent:
    def pilot_started(self) -> None: ...

    def trial_started(self, trial: Any) -> None: ...

    def trial_done(self, trial: Any, point: Any, duration_s: float) -> None: ...


def measure_small(path: Path, folder: Path) -> None:
    """Write the run of a scenario, with the goal that the documentation calls chat; no report."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    scenario = scenario_from_mapping(content | {"operating_points": {"chat": GOAL}})
    trials = plan_trials(scenario)
    ((_, system),) = scenario.variants
    target = worker_target(scenario, system, trials)
    Sweep(scenario, trials, target, Silent()).run(folder, resume=False)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every scenario, small, every run that commands read, a checkpoint."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "scenarios").mkdir()
    for path in (ROOT / "scenarios").glob("*.yaml"):
        content = small(yaml.safe_load(path.read_text(encoding="utf-8")))
        (folder / "scenarios" / path.name).write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        for name in dict.fromkeys(RUNS.values()):
            measure_small(folder / "scenarios" / f"{name}.yaml", folder / name)
    for place, name in RUNS.items():
        shutil.copytree(folder / name, folder / place)
    for name in ("quickstart", "certified_chat", "certified_chat_verify"):
        committed = Path("results") / "cpu-2core-epyc" / name
        without_raw = shutil.ignore_patterns("trials")
        shutil.copytree(ROOT / committed, folder / committed, ignore=without_raw)
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "config.json").write_text(json.dumps(PRESETS["nano"]))
    save_file({"weight": np.zeros(1)}, folder / "checkpoint" / "model.safetensors")
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def run(
    prepared: Path,
    tmp_path: Path,
    device: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[[Sequence[str]], Result]:
    """Return what runs a command line in a copy of the prepared folder."""
    folder = tmp_path / "checkout"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)

    def call(words: Sequence[str]) -> Result:
        _as_before(words)
        monkeypatch.setattr(sys, "argv", list(words))
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        code = caught.value.code
        return Result(code=code if isinstance(code, int) else 0, out=said.out, err=said.err)

    return call


def _as_before(words: Sequence[str]) -> None:
    """Leave a sweep what it finds: no folder of its own yet, and under --like a run like it."""
    if words[1] != "sweep" or "--resume" in words:
        return
    options = dict(itertools.pairwise(words))
    scenario = Path(words[2]).stem
    shutil.rmtree(options.get("--output-dir", f"results/{scenario}"), ignore_errors=True)
    if "--like" in options:
        shutil.rmtree(options["--like"])
        shutil.copytree(scenario, options["--like"])
