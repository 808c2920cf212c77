"""What each command's exit codes mean: one table, for `--help` and for the reference."""

from __future__ import annotations

import typer

_BAD_INPUT = "bad input, nothing was written"
_OF_A_RUN = {
    0: "done",
    1: "no configuration meets an operating point's constraints",
    2: _BAD_INPUT,
    3: "incomplete: a trial failed, none is valid, or the disk refused",
    4: "this machine lacks what was asked for, or the run was begun on another system",
    130: "interrupted, the folder resumes",
}
EXIT_CODES: dict[str, dict[int, str]] = {
    "sweep": _OF_A_RUN,
    "simulate": _OF_A_RUN,
    "report": {
        **{code: _OF_A_RUN[code] for code in (0, 1, 2)},
        3: "incomplete: a trial failed, none is valid, a raw file is damaged, or the disk refused",
    },
    "compare": {
        0: "passed",
        1: "regression",
        2: _BAD_INPUT,
        3: "inconclusive: more pairs would decide, and it says how many",
        4: "the runs are not comparable, or this machine is unfit to measure",
        130: "interrupted",
    },
    "verify": {
        0: "the point holds",
        1: "it does not hold",
        2: "no such run or point, or nothing meets it",
        3: "it cannot be said: more requests are needed, or a run is not valid",
        4: "this is another system than the run's",
        130: "interrupted",
    },
    "emit": {
        0: "done",
        1: "nothing measured meets the goal",
        2: "no such run, point or format",
    },
    "limits": {
        0: "done",
        2: _BAD_INPUT,
        3: "nothing could be measured",
        4: "this machine lacks the device, or the run is of another one",
        130: "interrupted",
    },
    "doctor": {
        0: "fit to measure",
        2: "a bad argument",
        4: "unfit, or without the device",
        130: "interrupted",
    },
    "validate": {0: "valid", 2: "not valid; each fault is one line"},
    "schema": {0: "done"},
}


def say_in_help(app: typer.Typer) -> None:
    """End the help of every registered command with its exit codes."""
    for command in app.registered_commands:
        assert command.name in EXIT_CODES, f"{command.name} has no exit codes in this table"
        codes = (f"{code} {meaning}" for code, meaning in EXIT_CODES[command.name].items())
        command.epilog = f"Exit codes: {'; '.join(codes)}."
