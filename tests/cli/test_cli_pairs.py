"""`--like` on the command line, and interleaved pairs of two commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paretobench.cli.compare_pairs import measure_pairs
from paretobench.core.errors import IncompleteError, RunFolderError, UserInputError

Run = Callable[..., Any]

# a sweep that takes no time: it writes what it was asked for, and a run folder that is finished
FAKE = """
import json, sys, time
from pathlib import Path
own, arguments = sys.argv[1], sys.argv[2:]
if arguments == ["--help"]:
    sys.exit(print("--like PATH" if own != "old" else "--model TEXT"))
here = Path(__file__).parent
with (here / "asked.jsonl").open("a") as file:
    print(json.dumps([own, *arguments]), file=file)
folder = Path(arguments[1])
entry = {"trial_id": "a", "state": "done", "verdict": "valid", "reason": ""}
if own.startswith("exit"):
    sys.stderr.write("first line\\nerror: it cannot be\\n")
    sys.exit(int(own.removeprefix("exit")))
if own == "slow" and "pair-1" not in arguments[1]:
    (here / "began").touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        (here / "stopped").touch()
        sys.exit(130)
if own == "invalid":
    entry |= {"verdict": "too_short", "reason": "12 requests"}
folder.mkdir(parents=True)
manifest = {"schema_version": 1, "state": "complete", "trials": [entry]}
(folder / "manifest.json").write_text(json.dumps(manifest))
sys.exit(1 if own == "missed" else 0)
"""


@pytest.fixture
def fake(tmp_path: Path) -> Callable[[str], str]:
    """Return what makes a command of that name."""
    (tmp_path / "fake.py").write_text(FAKE)
    return lambda own: f"{sys.executable} -S {tmp_path / 'fake.py'} {own}"


def asked(tmp_path: Path) -> list[list[str]]:
    """Return what the commands were asked for, their folders without where these lie."""
    lines = (tmp_path / "asked.jsonl").read_text().splitlines()
    prefix = f"{tmp_path / 'pairs'}/"
    return [[word.removeprefix(prefix) for word in json.loads(line)] for line in lines]


def test_pairs_share_rates_and_alternate_and_go_on(
    tmp_path: Path, fake: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pairs"
    one, other = fake("one"), fake("missed")  # an operating point that is missed is no failure
    measure_pairs(one, other, num_pairs=2, output_dir=folder, seed=7)
    expected = [
        ["one", "--output-dir", "baseline/pair-1", "--seed", "7"],
        ["missed", "--output-dir", "candidate/pair-1", "--like", "baseline/pair-1"],
        ["missed", "--output-dir", "candidate/pair-2", "--like", "baseline/pair-1", "--seed", "8"],
        ["one", "--output-dir", "baseline/pair-2", "--like", "candidate/pair-2"],
    ]
    assert asked(tmp_path) == expected
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("pair")]
    assert said[0] == "pair 1 of 2, baseline (run 1 of 4)"
    assert said[3].startswith("pair 2 of 2, baseline (run 4 of 4), about 0:0")
    both = measure_pairs(one, other, num_pairs=3, output_dir=folder, seed=7)
    assert both == (folder / "baseline", folder / "candidate")
    assert asked(tmp_path)[4:] == [
        ["one", "--output-dir", "baseline/pair-3", "--like", "baseline/pair-1", "--seed", "9"],
        ["missed", "--output-dir", "candidate/pair-3", "--like", "baseline/pair-3"],
    ]
    with pytest.raises(RunFolderError, match=r"measured with candidate .*missed'"):
        measure_pairs(one, one, num_pairs=3, output_dir=folder, seed=7)
    with pytest.raises(RunFolderError, match="measured with seed 7, found 0"):
        measure_pairs(one, other, num_pairs=3, output_dir=folder, seed=0)
    with pytest.raises(RunFolderError, match="holds pair-3, found --run-pairs 2: give 3 or more"):
        measure_pairs(one, other, num_pairs=2, output_dir=folder, seed=7)


def test_a_run_that_was_interrupted_is_resumed(tmp_path: Path, fake: Callable[[str], str]) -> None:
    one, folder = fake("one"), tmp_path / "pairs"
    measure_pairs(one, one, num_pairs=2, output_dir=folder, seed=0)
    file = folder / "candidate" / "pair-2" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["trials"][0]["state"] = "planned"
    file.write_text(json.dumps(manifest | {"state": "interrupted"}))
    with pytest.raises(IncompleteError, match="exited 1"):  # the fake one cannot
        measure_pairs(one, one, num_pairs=2, output_dir=folder, seed=0)
    assert asked(tmp_path)[4][-1] == "--resume"
    assert len(asked(tmp_path)) == 5


@pytest.mark.parametrize(
    ("own", "code", "said"),
    [
        ("exit2", 2, "the command exited 2"),
        ("exit4", 4, "the command exited 4"),
        ("exit3", 3, "the command exited 3 before all was measured"),
        ("exit1", 3, "the command exited 1 before all was measured"),
        ("exit77", 3, "the command exited 77"),
    ],
)
def test_a_command_that_fails_is_shown_with_what_it_said(
    tmp_path: Path, fake: Callable[[str], str], own: str, code: int, said: str
) -> None:
    with pytest.raises(Exception, match=f"^{said}: .*fake.py {own} --output-dir") as caught:
        measure_pairs(fake(own), fake("one"), num_pairs=2, output_dir=tmp_path / "pairs", seed=0)
    assert getattr(caught.value, "exit_code", None) == code
    assert "  error: it cannot be\n" in str(caught.value)
    assert len(asked(tmp_path)) == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("old", "expected a paretobench whose sweep has --like, found an older one"),
        ("one --seed 3", "--seed is given by --run-pairs"),
        (None, "found one that exits 127"),
    ],
)
def test_a_command_that_cannot_replay_is_refused_before_anything_runs(
    tmp_path: Path, fake: Callable[[str], str], command: str | None, said: str
) -> None:
    candidate = "no-such-program-here sweep" if command is None else fake(command)
    with pytest.raises(UserInputError, match=f"^--candidate-cmd: (?s:.*){said}"):
        measure_pairs(fake("one"), candidate, num_pairs=2, output_dir=tmp_path / "pairs", seed=0)
    assert not (tmp_path / "asked.jsonl").exists()


def test_a_first_run_without_a_valid_trial_ends_it(
    tmp_path: Path, fake: Callable[[str], str]
) -> None:
    with pytest.raises(IncompleteError, match=r"found none \(12 requests\)"):
        measure_pairs(
            fake("invalid"), fake("one"), num_pairs=2, output_dir=tmp_path / "pairs", seed=0
        )
    assert len(asked(tmp_path)) == 1


def test_an_interrupt_ends_the_command_and_keeps_what_is_done(
    tmp_path: Path, fake: Callable[[str], str]
) -> None:
    call = (
        "from pathlib import Path; from paretobench.cli.compare_pairs import measure_pairs; "
        f"measure_pairs({fake('one')!r}, {fake('slow')!r}, num_pairs=2, "
        f"output_dir=Path({str(tmp_path / 'pairs')!r}), seed=0)"
    )
    process = subprocess.Popen([sys.executable, "-c", call], stderr=subprocess.PIPE, text=True)
    patience = time.monotonic() + 60
    while not (tmp_path / "began").exists() and time.monotonic() < patience:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert "what is measured is kept; the same command goes on with it" in said
    assert "KeyboardInterrupt" in said
    assert (tmp_path / "stopped").exists()
    sides = [tmp_path / "pairs" / side for side in ("baseline", "candidate")]
    assert [sorted(run.name for run in side.iterdir()) for side in sides] == [["pair-1"]] * 2


@pytest.mark.parametrize(
    "option", [("--request-rate", "5"), ("--concurrency", "2"), ("--trace", "t.csv")]
)
def test_like_takes_no_option_that_changes_the_loads(
    run: Run, scenario_file: Path, option: tuple[str, str]
) -> None:
    result = run("sweep", scenario_file, "--like", "run", *option)
    assert result.code == 2
    assert f"--like replays the loads of run, found {option[0]} beside it" in result.err


def test_a_replay_on_the_command_line(
    run: Run, scenario_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("simulate", scenario_file, "--output-dir", "run").code in (0, 3)
    text = scenario_file.read_text().replace("[1, 4]", "[4, 8]")
    scenario_file.write_text(text)
    result = run("simulate", scenario_file, "--like", "run", "--repeats", "3", "--json")
    assert json.loads(result.out)
    assert "left out: 4 trials of small that this scenario does not plan" in result.err
    assert "--repeats is not used" in result.err
    manifest = json.loads(Path("results/small-simulated-like/manifest.json").read_text())
    assert len(manifest["trials"]) == 4
    report = Path("results/small-simulated-like/report.md").read_text()
    assert "its loads and schedules" in report
    again = next(line for line in report.splitlines() if line.startswith("paretobench simulate"))
    monkeypatch.chdir("results")
    assert run(*again.split()[1:]).code in (0, 3)
    monkeypatch.chdir(tmp_path)
    assert "found neither" in run("simulate").err
    assert run("sweep", scenario_file, "--like", "run").code == 2
    assert run("sweep", "--like", tmp_path / "none").code == 2
