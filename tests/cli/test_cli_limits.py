"""`paretobench limits`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from paretobench.cli.limits_model import limits_of
from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.scenario.loader import scenario_from_mapping
from paretobench.scenario.presets import PRESETS
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.limits import DeviceBench
from paretobench.targets.messages import OpenDevice
from paretobench.targets.serve import step_times
from paretobench.targets.simulated import SimulatedTarget
from paretobench.targets.worker import Worker

Run = Callable[..., Any]
SYSTEM = {"device": "cpu", "device_name": "Some CPU", "threads": 2, "torch": "2"}
READ, FLOPS = 40e9, 400e9
SCENARIO = """
name: small
runner: {kind: latency_model, prefill: {base_ms: 1}, decode: {base_ms: 1, per_sequence_ms: 0.05}}
workload: {prompt_tokens: {kind: fixed, value: 8}, output_tokens: {kind: uniform, low: 2, high: 6}}
batching: {max_batch_size: [1, 4]}
load: [{kind: closed_loop}, {kind: poisson, requests_per_s: 50}]
measure: {requests: 20, confirm: false}
"""


class FakeBench:
    """A device whose rates are known; it was asked to measure `asked`."""

    rates: Mapping[str, float | None] = {}
    asked: list[str] = []  # noqa: RUF012
    settings: Any = None
    unrest = 1.0  # the best repeat over the median
    cases = ("read_bandwidth", "float32", "float16")

    def __init__(self, settings: Any) -> None:
        self.system = SYSTEM
        FakeBench.settings = settings

    def __enter__(self) -> FakeBench:
        return self

    def __exit__(self, *_: object) -> None: ...

    def measure(self, case: str, seconds: float) -> Ceiling:
        FakeBench.asked.append(case)
        rate = self.rates.get(case)
        is_read = case == "read_bandwidth"
        return Ceiling(
            quantity="read_bandwidth" if is_read else "matmul",
            dtype="float32" if is_read else case,
            method="linear",
            shape="2×2×2",
            unit="B/s" if is_read else "FLOP/s",
            per_s=rate,
            best_per_s=None if rate is None else rate * self.unrest,
            repeats=5,
            note="" if rate else "not on this CPU",
        )


@pytest.fixture(autouse=True)
def fake_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretobench.targets.limits.DeviceBench", FakeBench)
    monkeypatch.setattr(FakeBench, "rates", {"read_bandwidth": READ, "float32": FLOPS})
    monkeypatch.setattr(FakeBench, "asked", [])


def change(path: Path, **changes: Any) -> None:
    """Write values into a JSON file, at keys such as `provenance__system`."""
    content = json.loads(path.read_text())
    for keys, value in changes.items():
        *parents, last = keys.split("__")
        section = content
        for key in parents:
            section = section[key]
        section[last] = value
    path.write_text(json.dumps(content))


class Silent:
    def pilot_started(self) -> None: ...

    def trial_started(self, trial: Any) -> None: ...

    def trial_done(self, trial: Any, point: Any, duration_s: float) -> None: ...


@pytest.fixture(scope="module")
def simulated_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "simulated"
    scenario = scenario_from_mapping(yaml.safe_load(SCENARIO))
    assert scenario.runner is not None
    target = SimulatedTarget(step_times(scenario.runner))
    Sweep(scenario, plan_trials(scenario), target, Silent()).run(folder, resume=False)
    return folder


@pytest.fixture
def measured_run(simulated_run: Path, tmp_path: Path) -> Path:
    """A simulated run, passed off as one of nano on the fake device."""
    folder = Path(shutil.copytree(simulated_run, tmp_path / "measured"))
    system = {**SYSTEM, "kind": "torch", "model": "nano", "dtype": "float32"}
    change(
        folder / "manifest.json",
        provenance__system=system,
        scenario__model={"preset": "nano", "threads": 2},
    )
    return folder


@pytest.fixture
def real_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretobench.targets.limits.DeviceBench", DeviceBench)


@pytest.mark.usefixtures("real_bench")
def test_this_machine_is_measured_in_a_worker_with_its_own_environment(run: Run) -> None:
    result = run("limits", "--device", "cpu", "--seconds", "0.1", "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert all(row["per_s"] > 0 for row in document["limits"])
    assert document["system"]["environment"]["GOMP_SPINCOUNT"] == "10000"
    assert int(document["system"]["environment"]["OMP_NUM_THREADS"]) > 0


class InThisProcess:
    """The worker's own code, without its process."""

    def __init__(self, settings: Any) -> None:
        Worker().answer(OpenDevice(device=settings.device))


def test_cuda_without_a_gpu_exits_4(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    monkeypatch.setattr("paretobench.targets.limits.DeviceBench", InThisProcess)
    result = run("limits", "--device", "cuda")
    assert result.code == 4
    assert "--device cpu" in result.err
    assert result.out == ""


def test_the_table_names_rate_method_and_shape_and_why_one_is_missing(run: Run) -> None:
    result = run("limits")
    assert result.code == 0, result.err
    assert "Limits of Some CPU (cpu, 2 threads)" in result.out
    for text in ("40 GB/s", "400 GFLOP/s", "linear", "2×2×2", "refused: not on this CPU"):
        assert text in result.out
    assert "matmul float32: 400 GFLOP/s" in result.err  # as it goes
    assert result.out.splitlines()[-1].endswith("paretobench limits --model mini")


def test_a_model_gets_its_least_step_for_each_batch_size(run: Run) -> None:
    result = run("limits", "--model", "mini", "--max-batch-size", "1,64", "--context", "112")
    assert result.code == 0, result.err
    cells = [line.replace("│", " ").split() for line in result.out.splitlines()]
    one = next(row for row in cells if row[:1] == ["1"])
    many = next(row for row in cells if row[:1] == ["64"])
    assert one == ["1", "10.1", "98.6", "403", "MB", "2.75", "MB", "205", "MFLOP", "weights"]
    assert many[-1] == "arithmetic"
    assert "Least prefill of a prompt of 112 tokens" in result.out


def test_given_the_length_of_answers_the_best_of_whole_requests_is_said(run: Run) -> None:
    arguments = ("--model", "mini", "--max-batch-size", "1,64", "--context", "112")
    result = run("limits", *arguments, "--output-tokens", "33", "--json")
    found = json.loads(result.out)["models"][0]
    one, many = found["requests"]["by_batch_size"]
    steps_ms = 32 * found["decode"][0]["least_step_ms"]  # whose context is a little shorter
    assert one["e2e_ms"] == pytest.approx(found["prefill"]["least_step_ms"] + steps_ms, rel=0.002)
    flops_s = many["output_tokens_per_s"] / 33 * (found["prefill"]["flops"] + 32 * 205.4e6)
    assert flops_s == pytest.approx(FLOPS, rel=0.01)  # at 64 rows arithmetic binds
    shown = run("limits", *arguments, "--output-tokens", "33").out
    assert "requests of 112 tokens in, 33 out" in shown


def test_json_is_one_document_with_ceilings_and_models(run: Run) -> None:
    result = run("limits", "--model", "nano", "--model", "mini", "--json", "--quantization", "int8")
    document = json.loads(result.out)
    assert [model["model"] for model in document["models"]] == ["nano", "mini"]
    assert document["models"][0]["quantization"] == "int8"
    assert [row["max_batch_size"] for row in document["models"][0]["decode"]] == [1, 4, 16, 64]
    assert document["limits"][0]["best_per_s"] == READ
    assert document["limits"][2]["per_s"] is None
    assert document["run"] is None


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "float32"), ("cuda:0", "bfloat16")])
def test_auto_is_the_precision_that_the_model_would_run_in(device: str, dtype: str) -> None:
    ceilings = Ceilings(system={"device": device}, rows=())
    options: dict[str, Any] = {"quantization": None, "batch_sizes": [1], "context": 9}
    found = limits_of("nano", PRESETS["nano"], ceilings, dtype="auto", **options)
    assert found.counts.dtype == dtype


def test_limits_json_and_csv_are_written_again_each_time(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    for _ in range(2):
        result = run("limits", "--output-dir", folder)
        assert result.code == 0, result.err
    assert f"Wrote {folder / 'limits.json'}" in result.out
    assert sorted(path.name for path in folder.iterdir()) == ["limits.csv", "limits.json"]
    document = json.loads((folder / "limits.json").read_text())
    with (folder / "limits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["dtype"] for row in rows] == [row["dtype"] for row in document["limits"]]
    assert rows[2]["per_s"] == ""


def test_a_dtype_without_a_rate_has_no_limit_and_a_warning(run: Run) -> None:
    result = run("limits", "--model", "nano", "--dtype", "float16", "--json")
    assert result.code == 0
    assert "warning: no limit in float16: not on this CPU" in result.err
    assert json.loads(result.out)["models"][0]["decode"][0]["least_step_ms"] is None


def test_a_device_that_others_use_is_warned_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "quiet machine" not in run("limits").err
    monkeypatch.setattr(FakeBench, "unrest", 2.0)
    assert "read float32: the median is 50% of the best repeat" in run("limits").err


def test_nothing_measured_exits_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeBench, "rates", {})
    result = run("limits")
    assert result.code == 3
    assert "nothing could be measured: not on this CPU" in result.err


def test_a_runs_steps_are_held_against_the_limits(run: Run, measured_run: Path) -> None:
    result = run("limits", "--run", measured_run, "--json")
    assert result.code == 0, result.err
    trials = json.loads(result.out)["run"]["trials"]
    assert len(trials) == 4
    for trial in trials:
        for phase in (trial["decode"], trial["prefill"]):
            assert phase["num_steps"] > 0
            assert phase["share_of_limit"] == pytest.approx(
                max(phase["mfu"], phase["mbu"]), rel=0.1
            )
            assert phase["least_step_ms"] > 1.8  # nano's weights alone
    table = run("limits", "--run", measured_run).out
    assert "with prefill" in table
    assert FakeBench.settings.threads == 2  # the run's own settings


def test_a_share_over_1_is_said_loudly(
    run: Run, measured_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("limits", "--run", measured_run)
    assert "DO NOT TRUST" in result.err  # 1 ms steps, of which nano's weights need 1.9
    monkeypatch.setattr(FakeBench, "rates", {"read_bandwidth": 1e15, "float32": 1e15})
    result = run("limits", "--run", measured_run)
    assert "warning" not in result.err


@pytest.mark.parametrize(
    "system", [{"device_name": "Other CPU"}, {"threads": 16}, {"device": "cuda:0"}]
)
def test_a_run_of_another_device_exits_4_before_anything_is_measured(
    run: Run, measured_run: Path, system: dict[str, Any]
) -> None:
    (name,) = system
    change(measured_run / "manifest.json", **{f"provenance__system__{name}": system[name]})
    result = run("limits", "--run", measured_run)
    assert result.code == 4
    assert f"was measured with {name} {system[name]!r}" in result.err
    assert FakeBench.asked == []


def test_a_run_of_no_model_or_without_raw_files_exits_2(
    run: Run, simulated_run: Path, measured_run: Path, tmp_path: Path
) -> None:
    result = run("limits", "--run", simulated_run)
    assert (result.code, "expected the run of a model" in result.err) == (2, True)
    (measured_run / "trials").rename(tmp_path / "elsewhere")
    result = run("limits", "--run", measured_run)
    assert (result.code, "expected the raw steps" in result.err) == (2, True)
    assert FakeBench.asked == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "gpu"], "auto, cpu, cuda or cuda:N, found 'gpu'"),
        (["--seconds", "0"], "--seconds must be > 0"),
        (["--seconds", "nan"], "--seconds must be > 0"),
        (["--dtype", "fp32"], "--dtype must be one of"),
        (["--quantization", "int4"], "int8 or fp8, found 'int4'"),
        (["--max-batch-size", "1,x"], "whole numbers such as 1,2,4"),
        (["--max-batch-size", "0"], "must be ≥ 1, found 0"),
        (["--context", "0"], "--context"),
        (["--model", "nanoo"], "did you mean 'nano'?"),
        (["--model", "owner/name"], "expected a preset or a checkpoint folder"),
        (["--model", "./none"], "expected the folder of a checkpoint"),
        (["--model", "nano", "--context", "99999"], "nano's 40960 positions, found 99999"),
        (["--model", "nano", "--output-tokens", "40960"], "nano's 40960 positions, found 41983"),
        (["--run", "none"], "expected a run folder"),
        (["--output-dir", "file"], "cannot be made"),
    ],
)
def test_bad_arguments_exit_2_before_anything_is_measured(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    result = run("limits", *arguments)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert FakeBench.asked == []
