"""`compare --run-pairs`: measuring interleaved pairs of two commands.

The first run settles the loads and all others replay them. The two runs of a pair serve the same
schedule, each pair another one. The side that goes first alternates, so that a machine that drifts
favours neither.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretobench.cli.pair_commands import check_command, check_replays, failure, run_command
from paretobench.core.errors import IncompleteError, RunFolderError
from paretobench.results import open_run
from paretobench.results.atomic import write_json_atomically
from paretobench.results.writer import check_free

if TYPE_CHECKING:
    from paretobench.gate.values import SideName

_SIDES: tuple[SideName, SideName] = ("baseline", "candidate")
_RECORD = "pairs.json"
_MAY_GO_ON = (0, 1, 3)  # done, an operating point missed, some trials failed
_INTERRUPTED = (130, -signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run of a pair: `like` is whom it replays, with schedules of `seed` where one is given."""

    side: SideName
    pair: int  # from 1
    like: tuple[SideName, int] | None
    seed: int | None


def plan_pairs(num_pairs: int, seed: int) -> list[PlannedRun]:
    """Return the runs of all pairs in the order in which they are measured.

    >>> [(run.side[0], run.pair) for run in plan_pairs(3, seed=0)]
    [('b', 1), ('c', 1), ('c', 2), ('b', 2), ('b', 3), ('c', 3)]
    """
    runs = []
    for pair in range(1, num_pairs + 1):
        first, second = _SIDES if pair % 2 else (_SIDES[1], _SIDES[0])
        settled = None if pair == 1 else (_SIDES[0], 1)
        runs += [
            PlannedRun(side=first, pair=pair, like=settled, seed=seed + pair - 1),
            PlannedRun(side=second, pair=pair, like=(first, pair), seed=None),
        ]
    return runs


def measure_pairs(
    baseline_cmd: str, candidate_cmd: str, *, num_pairs: int, output_dir: Path, seed: int
) -> tuple[Path, Path]:
    """Measure the pairs into `output_dir`, and return the folders of both sides.

    Runs that are finished there are kept, one that was interrupted is gone on with. Raises
    RunFolderError where the folder holds something else or more pairs, UserInputError where a
    command is none that can replay a run, and an error with the command's last lines where one
    fails.
    KeyboardInterrupt stops the command and keeps what is done.
    """
    commands = {"baseline": baseline_cmd, "candidate": candidate_cmd}
    for side, command in commands.items():
        check_command(command, f"--{side}-cmd")
    _claim(output_dir, {**commands, "seed": seed})
    _check_num(output_dir, num_pairs)
    # a cancelled CI job is a Ctrl-C; children begin with the default of both
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _Pairs(commands, output_dir.resolve()).measure(plan_pairs(num_pairs, seed))
    except KeyboardInterrupt:
        _say("what is measured is kept; the same command goes on with it")
        raise
    return output_dir / "baseline", output_dir / "candidate"


class _Pairs:
    """The runs of both sides; both commands are given one and the same environment."""

    def __init__(self, commands: Mapping[str, str], folder: Path) -> None:
        self._commands = commands
        self._folder = folder
        self._environment = dict(os.environ)
        self._durations_s: list[float] = []

    def measure(self, runs: Sequence[PlannedRun]) -> None:
        """Measure those of the runs that are not finished."""
        missing = [run for run in runs if not _is_finished(self._path(run.side, run.pair))]
        if len(missing) < len(runs):
            kept = len(runs) - len(missing)
            _say(
                f"{self._folder}: {kept} of {len(runs)} runs are there and kept; to measure all "
                "anew, give another --output-dir"
            )
        if not missing:
            return
        if "PYTHONPATH" in self._environment:
            _say("warning: PYTHONPATH is set, and both commands import from it")
        for side in _SIDES:
            check_replays(self._commands[side], f"--{side}-cmd", self._environment)
        for number, run in enumerate(missing, start=1):
            left = self._left(len(missing) - number + 1)
            _say(
                f"pair {run.pair} of {runs[-1].pair}, {run.side} (run {number} of "
                f"{len(missing)}){left}"
            )
            started_s = time.monotonic()
            self._measure_one(run)
            self._durations_s.append(time.monotonic() - started_s)

    def _measure_one(self, run: PlannedRun) -> None:
        path = self._path(run.side, run.pair)
        arguments = ["--output-dir", str(path)]
        if run.like is not None:
            arguments += ["--like", str(self._path(*run.like))]
        if run.seed is not None:
            arguments += ["--seed", str(run.seed)]
        if (path / "manifest.json").exists():
            arguments.append("--resume")
        command = self._commands[run.side]
        log = self._folder / "logs" / f"{run.side}-pair-{run.pair}.log"
        code = run_command(command, arguments, log=log, environment=self._environment)
        if code in _INTERRUPTED:
            raise KeyboardInterrupt
        if code not in _MAY_GO_ON:
            raise failure(command, arguments, code=code, log=log)
        if not _is_finished(path):
            why = "before all was measured"
            raise failure(command, arguments, code=code, log=log, why=why)
        self._check_measured(run, path)

    def _check_measured(self, run: PlannedRun, path: Path) -> None:
        """Raise IncompleteError where the run that all others replay has nothing to compare."""
        entries = open_run(path).manifest["trials"]
        valid = [entry for entry in entries if entry["verdict"] == "valid"]
        if run.like is None and not valid:
            reason = next((entry["reason"] for entry in entries if entry["reason"]), "no trial")
            raise IncompleteError(
                f"{path}: expected a run with valid trials for the others to replay, found none "
                f"({reason}); give another scenario, and another --output-dir"
            )
        if len(valid) < len(entries):
            _say(f"  {len(entries) - len(valid)} of {len(entries)} trials are not valid: {path}")

    def _path(self, side: SideName, pair: int) -> Path:
        return self._folder / side / f"pair-{pair}"

    def _left(self, num_runs: int) -> str:
        if not self._durations_s:
            return ""
        left_s = num_runs * sum(self._durations_s) / len(self._durations_s)
        minutes, seconds = divmod(round(left_s), 60)
        return f", about {minutes}:{seconds:02d} left"


def _claim(folder: Path, content: Mapping[str, Any]) -> None:
    """Take the folder for these commands. Raises RunFolderError where it is of others."""
    record = folder / _RECORD
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        check_free(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{folder}: cannot be made: {error.strerror}") from error
        write_json_atomically(record, dict(content))
        return
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{record}: cannot be read ({error}); give another --output-dir"
        ) from error
    for name, value in content.items():
        before = found.get(name) if isinstance(found, dict) else None
        if before != value:
            raise RunFolderError(
                f"{folder}: holds pairs that were measured with {name} {before!r}, found "
                f"{value!r}; give the same again to go on, or another --output-dir"
            )


def _check_num(folder: Path, num_pairs: int) -> None:
    """Raise RunFolderError where the folder holds pairs beyond those: they would be compared."""
    names = [path.name for side in _SIDES for path in (folder / side).glob("pair-*")]
    numbers = [name.removeprefix("pair-") for name in names]
    most = max((int(number) for number in numbers if number.isdecimal()), default=0)
    if most > num_pairs:
        raise RunFolderError(
            f"{folder}: holds pair-{most}, found --run-pairs {num_pairs}: give {most} or more to "
            "go on with these, or another --output-dir"
        )


def _is_finished(path: Path) -> bool:
    """Return whether a run is there with all of its trials. Raises RunFolderError."""
    if not (path / "manifest.json").exists():
        return False
    manifest = open_run(path).manifest
    done = all(entry["state"] == "done" for entry in manifest["trials"])
    return done and manifest["state"] in ("complete", "incomplete")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
