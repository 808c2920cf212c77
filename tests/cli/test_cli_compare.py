"""`paretobench compare`: red, green or neither by exit code, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paretobench.results import open_run
from paretobench.scenario import Scenario
from paretobench.scenario.loader import scenario_from_mapping
from paretobench.sweep.like import plan_like
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.simulated import simulated_target

Run = Callable[..., Any]


def scenario(decode_ms: float) -> Scenario:
    return scenario_from_mapping(
        {
            "name": "small",
            "runner": {
                "kind": "latency_model",
                "prefill": {"base_ms": 1},
                "decode": {"base_ms": decode_ms, "per_sequence_ms": 0.05},
            },
            "workload": {
                "prompt_tokens": {"kind": "fixed", "value": 8},
                "output_tokens": {"kind": "uniform", "low": 2, "high": 6},
            },
            "batching": {"max_batch_size": [1, 4], "max_waiting_time_ms": 0},
            "load": {"kind": "closed_loop"},
            "measure": {"requests": 60, "warmup": "quick", "confirm": False},
            "operating_points": {
                "chat": {"maximize": "output_tokens_per_s", "subject_to": {"p95_e2e_ms": 60}}
            },
        }
    )


class Quiet:
    def pilot_started(self) -> None: ...

    def trial_started(self, trial: object) -> None: ...

    def trial_done(self, trial: object, point: object, duration_s: float) -> None: ...


def measure(folder: Path, decode_ms: float, *, like: Path | None = None, seed: int | None) -> Path:
    system = scenario(decode_ms)
    target = simulated_target(system)
    if like is None:
        Sweep(system, plan_trials(system), target, Quiet()).run(folder, resume=False)
        return folder
    replay = plan_like(open_run(like), system, seed=seed, simulated=True)
    Sweep(replay.scenario, replay.trials, target, Quiet(), like=replay).run(folder, resume=False)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two pairs in turn: `before`, `same` and 10% slower steps, `slow`."""
    root = tmp_path_factory.mktemp("pairs")
    for number in (1, 2):
        name = f"pair-{number}"
        settled = root / "before" / "pair-1" if number > 1 else None
        before = measure(root / "before" / name, 1.0, like=settled, seed=number)
        measure(root / "same" / name, 1.0, like=before, seed=None)
        measure(root / "slow" / name, 1.1, like=before, seed=None)
    return root


@pytest.fixture(autouse=True)
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the picture out: it has tests of its own, and takes longer than all else."""
    monkeypatch.setattr("paretobench.gate.picture.draw_comparison", lambda _: b"picture")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def test_a_slower_system_exits_1_once_it_may_differ(run: Run, pairs: Path, tmp_path: Path) -> None:
    both = (pairs / "before", pairs / "slow", "--output-dir", tmp_path / "out")
    refused = run("compare", *both)
    assert refused.code == 4
    assert "step time decode.base_ms: 1 in the baseline, 1.1 in the candidate" in refused.err
    assert not (tmp_path / "out").exists()
    result = run("compare", *both, "--allow", "runner")
    assert result.code == 1, result.out + result.err
    last = result.out.splitlines()[-1]
    assert last.startswith("Regression, 2 pairs: ")
    assert "more than 2%" in result.out or "above 1%" in result.out  # thresholds stand in it
    assert (tmp_path / "out" / "compare.md").read_text().strip()
    assert (tmp_path / "out" / "compare.png").read_bytes() == b"picture"


def test_the_same_system_in_pairs_passes_and_json_holds_everything(
    run: Run, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, junit = tmp_path / "summary.md", tmp_path / "new" / "junit.xml"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    out = ("--output-dir", tmp_path / "out", "--junit", junit, "--annotate", "github")
    result = run("compare", pairs / "before", pairs / "same", *out, "--json")
    assert result.code == 0, result.out + result.err
    document = json.loads(result.out, parse_constant=pytest.fail)
    assert (document["outcome"], document["is_advisory"], document["num_pairs"]) == (
        "pass",
        False,
        2,
    )
    assert document["overall"]["loss"] == pytest.approx(0.0)
    assert document["hypervolumes"][0]["ratio"] == pytest.approx(1.0)
    assert len(document["configurations"]) == 2
    assert all(c["is_paired"] for c in document["configurations"])
    (chat,) = document["operating_points"]
    assert chat["before"]["label"] == chat["best_now"]["label"]
    assert chat["cost"] == pytest.approx(0.0)
    assert not document["unmatched"] + document["joined"] + document["left"]
    markdown = (tmp_path / "out" / "compare.md").read_text()
    without_picture = "".join(
        line for line in markdown.splitlines(keepends=True) if not line.startswith("![")
    )
    assert without_picture != markdown
    assert summary.read_text().replace("\n\n\n", "\n\n") == "before\n" + without_picture.replace(
        "\n\n\n", "\n\n"
    )
    assert ElementTree.parse(junit).getroot().tag in ("testsuites", "testsuite")
    assert "::notice" in result.err or "::warning" in result.err


def test_one_stored_run_is_advisory_and_says_how_to_see_more(run: Run, pairs: Path) -> None:
    candidate = pairs / "same" / "pair-1"
    result = run("compare", pairs / "before" / "pair-1", candidate)
    assert result.code == 0, result.out + result.err
    assert result.out.splitlines()[-1].startswith("Within 15% (advisory), 1 pair: ")
    assert "--run-pairs 5" in result.err
    assert (candidate / "compare" / "compare.md").is_file()


def test_what_no_number_of_pairs_decides_exits_3_and_asks_for_no_pairs(
    run: Run, pairs: Path, tmp_path: Path
) -> None:
    result = run(
        "compare", pairs / "before", pairs / "same", "--pass-below", "0", "--output-dir", tmp_path
    )
    assert result.code == 3
    assert result.out.splitlines()[-1].startswith("Inconclusive")
    assert "More pairs do not decide; quiet the machine" in result.err
    assert "--run-pairs" not in result.err


def test_too_little_to_decide_exits_3_and_gives_the_command(run: Run, pairs: Path) -> None:
    one = (pairs / "before" / "pair-1", pairs / "slow" / "pair-1", "--allow", "runner")
    result = run("compare", *one, "--advisory", "7")
    assert result.code == 3, result.out
    assert "To decide: paretobench compare --run-pairs 5 " in result.err


def test_within_the_advisory_threshold_the_rule_for_pairs_is_in_the_json(
    run: Run, pairs: Path
) -> None:
    one = (pairs / "before" / "pair-1", pairs / "slow" / "pair-1", "--allow", "runner")
    result = run("compare", *one, "--json")
    document = json.loads(result.out)
    assert (document["outcome"], document["strict_outcome"]) == ("pass", "regression")


def test_a_pair_that_stands_on_one_side_alone_is_named(
    run: Run, pairs: Path, tmp_path: Path
) -> None:
    shutil.copytree(pairs / "same", tmp_path / "same")
    (tmp_path / "same" / "pair-2").rename(tmp_path / "same" / "pair-10")
    result = run("compare", pairs / "before", tmp_path / "same")
    assert result.code == 2
    assert f"{pairs / 'before' / 'pair-2'}: expected its partner" in result.err
    result = run("compare", pairs / "before", pairs / "same" / "pair-1")
    assert result.code == 2
    assert "two folders of pairs" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected the run folders BASELINE and CANDIDATE"),
        (("a",), "expected the run folders BASELINE and CANDIDATE"),
        (("a", "b", "--allow", "tourch"), "did you mean 'torch'?"),
        (("a", "b", "--max-loss", "-1"), "--max-loss must be ≥ 0, in percent, found -1"),
        (("a", "b", "--advisory", "inf"), "--advisory must be ≥ 0"),
        (("a", "b", "--annotate", "gitlab"), "--annotate takes github, found 'gitlab'"),
        (("a", "b", "--candidate-cmd", "c"), "give --run-pairs 5 too"),
        (("--run-pairs", "3", "--baseline-cmd", "b"), "both --baseline-cmd and --candidate-cmd"),
        (("a", "b", "--run-pairs", "3"), "found the run folder a beside it"),
        (("a", "b"), "a: expected a run folder with a manifest.json, found none"),
    ],
)
def test_bad_input_exits_2(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("compare", *arguments)
    assert result.code == 2
    assert message in " ".join(result.err.replace("│", " ").split())


def test_a_folder_that_cannot_be_written_exits_2(run: Run, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    same = (pairs / "before" / "pair-1", pairs / "same" / "pair-1")
    result = run("compare", *same, "--output-dir", tmp_path / "taken")
    assert result.code == 2
    assert "give another --output-dir" in result.err


def test_pairs_are_measured_and_compared(
    run: Run, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def measure_pairs(*commands: str, **options: Any) -> tuple[Path, Path]:
        asked.update(options, commands=commands)
        return pairs / "before", pairs / "same"

    monkeypatch.setattr("paretobench.cli.compare_pairs.measure_pairs", measure_pairs)
    commands = ("--baseline-cmd", "sweep a", "--candidate-cmd", "sweep b")
    out = ("--output-dir", tmp_path / "out", "--seed", "7")
    result = run("compare", "--run-pairs", "3", *commands, *out)
    assert result.code == 0, result.out + result.err
    assert asked == {
        "commands": ("sweep a", "sweep b"),
        "num_pairs": 3,
        "output_dir": tmp_path / "out",
        "seed": 7,
    }
    assert (tmp_path / "out" / "compare.md").is_file()


def test_a_damaged_raw_file_is_named_and_nothing_is_decided_without_it(
    run: Run, pairs: Path, tmp_path: Path
) -> None:
    candidate = Path(shutil.copytree(pairs / "same" / "pair-1", tmp_path / "same"))
    damaged = next(candidate.glob("trials/*/requests.parquet"))
    damaged.write_bytes(b"no parquet")
    out = tmp_path / "out"
    result = run("compare", pairs / "before" / "pair-1", candidate, "--output-dir", out)
    assert result.code == 2
    assert damaged.parent.name in result.err
    assert not out.exists()


def test_another_schema_version_is_not_comparable(run: Run, pairs: Path, tmp_path: Path) -> None:
    candidate = Path(shutil.copytree(pairs / "same" / "pair-1", tmp_path / "same"))
    manifest = json.loads((candidate / "manifest.json").read_text())
    (candidate / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    result = run("compare", pairs / "before" / "pair-1", candidate)
    assert result.code == 4
    assert f"99 in {candidate}" in result.err
