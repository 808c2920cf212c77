"""Running somebody's sweep command by the shell, and stopping it whole."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from paretobench.core.errors import (
    EnvironmentUnfitError,
    IncompleteError,
    ParetoBenchError,
    UserInputError,
)

_RESERVED = ("--output-dir", "--like", "--seed", "--resume", "--dry-run")
_GRACE_S = 30.0  # for a sweep to write down what it has
_POLL_S = 0.05
_TAIL_LINES = 8
_NOT_FOUND = (126, 127)  # the shell's codes for a command that it cannot run


def check_command(command: str, option: str) -> None:
    """Raise UserInputError where a command gives what each of its runs is given anyway."""
    words = command.split()
    given = [name for name in _RESERVED if any(w.split("=")[0] == name for w in words)]
    if not command.strip() or given:
        raise UserInputError(
            f"{option}: expected a sweep command such as 'paretobench sweep ci.yaml', found "
            f"{command!r}{f': {given[0]} is given by --run-pairs' if given else ''}; "
            "it is run with further arguments appended"
        )


def check_replays(command: str, option: str, environment: Mapping[str, str]) -> None:
    """Raise UserInputError unless the command is of a paretobench that has --like.

    It is asked for its help, which measures nothing.
    """
    line = f"{command} --help"
    # wide enough that no option is cut short
    done = subprocess.run(
        line,
        shell=True,
        env={**environment, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise UserInputError(
            f"{option}: expected a command that can be run, found one that exits "
            f"{done.returncode}: {line}\n{_last_lines(done.stderr)}"
        )
    if not re.search(r"--like\b", done.stdout):
        raise UserInputError(
            f"{option}: expected a paretobench whose sweep has --like, found an older one, or "
            f"another program: {line}; install a version that has it on that side"
        )


def run_command(
    command: str, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]
) -> int:
    """Run the command with the arguments appended, what it prints going to `log`; return its code.

    On KeyboardInterrupt the command and all that it started are stopped first.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            f"{command} {shlex.join(arguments)}",
            shell=True,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, so that it is stopped once, and whole
        )
        try:
            return process.wait()
        except KeyboardInterrupt:
            _stop(process)
            raise


def failure(
    command: str, arguments: Sequence[str], *, code: int, log: Path, why: str = ""
) -> ParetoBenchError:
    """Return the error of a command that did not measure what it should have."""
    try:
        said = _last_lines(log.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        said = ""
    kind: type[ParetoBenchError] = IncompleteError
    if code == UserInputError.exit_code or code in _NOT_FOUND:
        kind = UserInputError
    elif code == EnvironmentUnfitError.exit_code:
        kind = EnvironmentUnfitError
    ended = f"was ended by signal {-code}" if code < 0 else f"exited {code}"
    return kind(
        f"the command {ended}{f' {why}' if why else ''}: {command} {shlex.join(arguments)}\n"
        f"{said}\nAll that it said: {log}. Set it right; the same compare command then goes on"
    )


def _last_lines(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:]) or "  (it said nothing)"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the command's whole group and wait for it; kill what then still runs."""
    try:
        _signal(process.pid, signal.SIGINT)
        patience = time.monotonic() + _GRACE_S
        while _signal(process.pid, 0) and time.monotonic() < patience:
            process.poll()
            time.sleep(_POLL_S)
    finally:  # a second Ctrl-C waits no longer
        _signal(process.pid, signal.SIGKILL)
        process.wait()


def _signal(group: int, number: int) -> bool:
    """Send the group a signal; return whether there is anybody left in it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
