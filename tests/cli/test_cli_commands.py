"""What a user types, right and wrong: exit codes, messages, and what is left on disk."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
FILES = {
    "manifest.json",
    "points.csv",
    "frontier.csv",
    "operating_points.yaml",
    "frontier.png",
    "frontier.svg",
    "report.md",
    "report.html",
    "trials",
}


def test_a_sweep_writes_the_run_folder_and_prints_the_answer(
    run: Run, scenario_file: Path, tmp_path: Path
) -> None:
    result = run("sweep", scenario_file)
    assert result.code == 0, result.err
    folder = tmp_path / "results" / "small"
    assert {path.name for path in folder.iterdir()} >= FILES
    assert len(list((folder / "trials").iterdir())) == 8
    assert "Frontier" in result.out
    assert "chat" in result.out
    assert "results/small/frontier.png" in result.out
    assert "[8/8]" in result.err  # plain lines where stderr is no terminal


def test_json_is_one_document_on_stdout(run: Run, scenario_file: Path) -> None:
    result = run("simulate", scenario_file, "--json")
    document = json.loads(result.out)
    assert document["state"] == "complete"
    assert document["frontier"]


def test_simulate_gives_the_same_figures_every_time(
    run: Run, scenario_file: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        assert run("simulate", scenario_file, "--output-dir", tmp_path / name).code == 0
    one, two = ((tmp_path / name / "points.csv").read_bytes() for name in ("a", "b"))
    assert one == two


def test_report_writes_the_tables_again_from_the_raw_files(
    run: Run, scenario_file: Path, tmp_path: Path
) -> None:
    run("simulate", scenario_file, "--output-dir", tmp_path / "run")
    points = (tmp_path / "run" / "points.csv").read_bytes()
    for name in ("points.csv", "frontier.csv", "frontier.png", "report.md"):
        (tmp_path / "run" / name).unlink()
    assert run("report", tmp_path / "run").code == 0
    assert (tmp_path / "run" / "points.csv").read_bytes() == points
    assert (tmp_path / "run" / "frontier.png").is_file()


def test_the_scenario_in_a_manifest_can_be_swept_again(
    run: Run, scenario_file: Path, tmp_path: Path
) -> None:
    run("simulate", scenario_file, "--output-dir", tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    again = tmp_path / "again.yaml"
    again.write_text(json.dumps(manifest["scenario"]))
    assert run("simulate", again, "--output-dir", tmp_path / "again").code == 0
    points = [(tmp_path / name / "points.csv").read_bytes() for name in ("run", "again")]
    assert points[0] == points[1]


def test_a_goal_that_cannot_be_met_exits_1_and_says_what_binds(
    run: Run, scenario_file: Path
) -> None:
    scenario_file.write_text(scenario_file.read_text().replace("10000", "0.5"))
    result = run("simulate", scenario_file)
    assert result.code == 1
    assert "p95_e2e_ms ≤ 0.5 binds" in " ".join(result.out.replace("│", " ").split())
    assert "No configuration meets: chat" in result.err


def test_every_trial_failed_exits_3_and_the_files_say_so(
    run: Run, scenario_file: Path, tmp_path: Path
) -> None:
    text = scenario_file.read_text().replace("{requests: 20,", "{requests: 20, timeout_s: 0.001,")
    scenario_file.write_text(text)
    result = run("simulate", scenario_file)
    folder = tmp_path / "results" / "small-simulated"
    assert result.code == 3
    assert "timed out after 0.001 s" in result.err
    assert "timed out" in (folder / "report.md").read_text()
    assert len((folder / "frontier.csv").read_text().splitlines()) == 1


def test_dry_run_prints_trials_and_time_and_writes_nothing(
    run: Run, scenario_file: Path, tmp_path: Path
) -> None:
    result = run("sweep", scenario_file, "--dry-run")
    assert result.code == 0
    assert "8 trials, about" in result.out
    assert not (tmp_path / "results").exists()


def test_dry_run_as_json(run: Run, scenario_file: Path) -> None:
    document = json.loads(run("sweep", scenario_file, "--dry-run", "--json").out)
    assert len(document["trials"]) == 8
    assert document["estimated_s"] > 0


def test_options_override_the_file(run: Run, scenario_file: Path) -> None:
    result = run(
        "sweep", scenario_file, "--dry-run", "--json", "--max-batch-size", "2,8",
        "--max-waiting-time-ms", "0,1,2", "--request-rate", "5",
    )  # fmt: skip
    trials = json.loads(result.out)["trials"]
    assert len(trials) == 6
    assert all("poisson 5/s" in trial["trial"] for trial in trials)


def test_validate_and_schema(run: Run, scenario_file: Path) -> None:
    assert "valid, 8 trials" in run("validate", scenario_file).out
    assert json.loads(run("schema").out)["title"] == "Scenario"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_waiting_time_ms", "max_wait", "unknown key 'max_wait'"),
        ("[0, 5]", "[0, -5]", "must be ≥ 0, found -5"),
        ("[1, 4]", "[]", "must not be an empty list"),
        ("low: 2, high: 6", "low: 6, high: 2", "low must be ≤ high"),
        ("batching: {", "batching: [", "expected YAML"),
        ("runner: {kind: latency_model,", "runner: {kind: latency,", "runner.kind must be"),
    ],
)
@pytest.mark.parametrize("command", ["sweep", "validate", "simulate"])
def test_a_bad_scenario_exits_2_with_one_message_and_writes_nothing(
    run: Run, scenario_file: Path, tmp_path: Path, command: str, old: str, new: str, message: str
) -> None:
    scenario_file.write_text(scenario_file.read_text().replace(old, new))
    result = run(command, scenario_file)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sweep", "none.yaml"], 2, "expected a scenario file, found none"),
        (["report", "none"], 2, "expected a run folder"),
        (["sweep", "small.yaml", "--max-batch-size", "1,x"], 2, "whole numbers such as 1,2,4"),
        (["sweep", "small.yaml", "--model", "nanoo"], 2, "did you mean 'nano'?"),
        (["sweep", "small.yaml", "--model", "./none"], 2, "expected the folder of a checkpoint"),
        (["sweep", "small.yaml", "--output-dir", "small.yaml"], 2, "nothing was written"),
        (["sweep", "small.yaml", "--output-dir", "/proc/x/y"], 2, "cannot be"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_bad_arguments_exit_with_their_code(
    run: Run, scenario_file: Path, arguments: list[str], code: int, message: str
) -> None:
    result = run(*arguments)
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err


def test_simulate_wants_a_latency_model(run: Run, scenario_file: Path) -> None:
    head, _, tail = scenario_file.read_text().partition("runner: ")
    scenario_file.write_text(head + "model: {preset: nano}\n" + tail.partition("\n")[2])
    result = run("simulate", scenario_file)
    assert result.code == 2
    assert "latency_model" in result.err


def test_a_second_run_overwrites_nothing(run: Run, scenario_file: Path, tmp_path: Path) -> None:
    run("simulate", scenario_file)
    folder = tmp_path / "results" / "small-simulated"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = run("simulate", scenario_file)
    assert result.code == 2
    assert "--resume" in result.err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_resume_of_another_scenario_is_refused(run: Run, scenario_file: Path) -> None:
    run("simulate", scenario_file)
    result = run("simulate", scenario_file, "--resume", "--seed", "7")
    assert result.code == 2
    assert "expected a run of this scenario" in result.err


def sweep_process(scenario_file: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "paretobench", "sweep", str(scenario_file), "--resume"]
    return subprocess.Popen(
        command, cwd=scenario_file.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_for_trials(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 60
    while len(list(folder.glob("trials/[!.]*"))) < count:
        assert process.poll() is None, "the sweep ended before it was stopped"
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.fixture
def slow_scenario(scenario_file: Path) -> Path:
    text = scenario_file.read_text().replace("prefill: {base_ms: 1}", "prefill: {base_ms: 9}")
    scenario_file.write_text(text)
    return scenario_file


@pytest.mark.parametrize("after_trials", [0, 3])
def test_a_killed_sweep_resumes_with_what_is_missing(
    run: Run, slow_scenario: Path, tmp_path: Path, after_trials: int
) -> None:
    folder = tmp_path / "results" / "small"
    process = sweep_process(slow_scenario)
    wait_for_trials(folder, after_trials, process)
    process.kill()
    process.wait()
    kept = {p: p.stat().st_mtime_ns for p in folder.glob("trials/[!.]*/summary.json")}
    assert len(kept) >= after_trials
    result = run("sweep", slow_scenario, "--resume")
    assert result.code == 0, result.err
    assert {p: p.stat().st_mtime_ns for p in kept} == kept  # measured once, kept
    assert len(list(folder.glob("trials/*/summary.json"))) == 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_finishes_its_files_and_exits_130(
    slow_scenario: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "results" / "small"
    process = sweep_process(slow_scenario)
    wait_for_trials(folder, 2, process)
    process.send_signal(number)
    assert process.wait(timeout=60) == 130
    assert json.loads((folder / "manifest.json").read_text())["state"] == "interrupted"
    assert {path.name for path in folder.iterdir()} >= FILES


def children_of(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def test_a_killed_worker_costs_its_trial_and_the_sweep_goes_on(
    slow_scenario: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "small"
    process = sweep_process(slow_scenario)
    wait_for_trials(folder, 6, process)  # the capacity has been measured
    (worker,) = children_of(process.pid)
    os.kill(worker, signal.SIGKILL)
    assert process.wait(timeout=60) == 3  # incomplete: a trial failed
    trials = json.loads((folder / "manifest.json").read_text())["trials"]
    failed = [trial for trial in trials if trial["verdict"] == "failed"]
    assert len(failed) == 1
    assert "killed by signal 9" in failed[0]["reason"]
    assert all(trial["state"] == "done" for trial in trials)


def test_the_worker_dies_with_a_killed_parent(slow_scenario: Path, tmp_path: Path) -> None:
    import psutil

    process = sweep_process(slow_scenario)
    wait_for_trials(tmp_path / "results" / "small", 1, process)
    worker = psutil.Process(children_of(process.pid)[0])
    process.kill()
    process.wait()
    psutil.wait_procs([worker], timeout=10)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


MODEL_SCENARIO = """
name: model
model: {preset: nano, device: cpu}
workload: {prompt_tokens: {kind: fixed, value: 8}, output_tokens: {kind: fixed, value: 3}}
batching: {max_batch_size: [1, 2]}
load: {kind: closed_loop}
measure: {requests: 20, warmup: 1, confirm: false}
"""


@pytest.fixture
def model_scenario(scenario_file: Path) -> Path:
    scenario_file.write_text(MODEL_SCENARIO)
    return scenario_file


def test_a_sweep_of_a_real_model_records_what_ran(
    run: Run, model_scenario: Path, tmp_path: Path
) -> None:
    result = run("sweep", model_scenario, "--no-ceilings")
    assert result.code == 0, result.err
    manifest = json.loads((tmp_path / "results" / "model" / "manifest.json").read_text())
    system = manifest["provenance"]["system"]
    assert system["model"] == "nano (18.9 M parameters, random weights)"
    assert system["attention_backend"].startswith("slots")
    assert system["environment"]["GOMP_SPINCOUNT"] == "10000"
    assert system["environment"]["OMP_NUM_THREADS"] == str(system["threads"])
    # whether a machine that runs tests is steady is not ours to say; that all was served is
    trials = sorted((tmp_path / "results" / "model" / "trials").iterdir())
    summaries = [json.loads((trial / "summary.json").read_text()) for trial in trials]
    assert [summary["outcome"] for summary in summaries] == ["completed", "completed"]
    assert [s["figures"]["num_measured"] for s in summaries] == [20, 20]
    assert [s["figures"]["num_failed"] for s in summaries] == [0, 0]
    assert manifest["conditions"].keys() == {"counts", "loop_cost_us"}
    assert manifest["conditions"]["loop_cost_us"].keys() == {"1", "2"}


def test_cuda_without_a_gpu_exits_4_and_says_how_to_run_on_the_cpu(
    run: Run, model_scenario: Path, tmp_path: Path
) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    result = run("sweep", model_scenario, "--device", "cuda")
    assert result.code == 4
    assert "--device cpu" in result.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": b'{"model_type": "llama"}'}, "safetensors"),
        (
            {"config.json": b'{"model_type": "llama"}', "pytorch_model.bin": b"\x80\x04."},
            "pickle",
        ),
        (
            {"config.json": b'{"model_type": "llama"}', "model.safetensors": b"\x00" * 40},
            "damaged",
        ),
        ({}, "config.json"),
    ],
)
def test_a_checkpoint_that_cannot_be_loaded_safely_exits_2(
    run: Run, model_scenario: Path, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    result = run("sweep", model_scenario, "--model", folder)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_prompt_longer_than_the_model_exits_2_before_measuring(
    run: Run, model_scenario: Path, tmp_path: Path
) -> None:
    model_scenario.write_text(MODEL_SCENARIO.replace("value: 8", "value: 40958"))
    result = run("sweep", model_scenario)
    assert result.code == 2
    assert "40960 positions, found up to 40961 tokens" in result.err
    assert not (tmp_path / "results").exists()


def test_a_kv_budget_smaller_than_a_request_exits_2_before_measuring(
    run: Run, model_scenario: Path, tmp_path: Path
) -> None:
    model_scenario.write_text(
        MODEL_SCENARIO.replace("max_batch_size:", "kv_budget_tokens: 5, max_batch_size:")
    )
    result = run("sweep", model_scenario)
    assert result.code == 2
    assert "batching.kv_budget_tokens must hold the longest request" in result.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("command", ["sweep", "simulate"])
def test_separate_engines_under_a_closed_loop_exit_2_before_measuring(
    run: Run, scenario_file: Path, tmp_path: Path, command: str
) -> None:
    lengths = "prompt_tokens: {kind: fixed, value: 8}, output_tokens: {kind: fixed, value: 4}"
    workload = re.search(r"workload: \{.*\}\n", scenario_file.read_text())
    assert workload is not None
    text = scenario_file.read_text().replace(
        workload.group(),
        "classes:\n"
        f"  chat: {{share: 0.5, {lengths}, batching: {{max_batch_size: 2}}}}\n"
        f"  bulk: {{share: 0.5, {lengths}, batching: {{max_batch_size: 4}}}}\n",
    )
    scenario_file.write_text(
        text.replace(
            "batching: {max_batch_size: [1, 4]",
            "batching: {arrangement: separate, max_batch_size: [1, 4]",
        )
    )
    result = run(command, scenario_file)
    assert result.code == 2
    assert "arrangement separate needs an open-loop load" in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_disk_that_fills_up_while_the_report_is_written_exits_3(
    run: Run, scenario_file: Path, tmp_path: Path
) -> None:
    run("simulate", scenario_file, "--output-dir", tmp_path / "run")
    (tmp_path / "run" / "frontier.png").unlink()
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
    code = limited + "from paretobench.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run").glob(".partial-*"))
    assert run("report", tmp_path / "run").code == 0
