"""A process that runs `targets.worker`, and how the parent talks to it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import Pipe
from pathlib import Path

from paretobench.core.errors import WorkerDiedError
from paretobench.targets.messages import Message, Refused, Reply

_TAIL_CHARACTERS = 400


class WorkerProcess:
    """A running worker. `environment` is what it has beyond the parent's, from its start on."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._connection, child = Pipe()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "paretobench.targets.worker", str(child.fileno())],
            pass_fds=[child.fileno()],
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(_import_path())},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,  # Ctrl-C reaches the parent alone
        )
        child.close()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def ask(self, message: Message, timeout_s: float) -> Reply:
        """Return the worker's answer.

        Raises what the worker refused with, WorkerDiedError with its last words where it died or
        did not answer in time.
        """
        try:
            self._connection.send(message)
            if not self._connection.poll(timeout_s):
                raise WorkerDiedError(f"the worker did not answer within {timeout_s:g} s")
            reply: Reply | Refused = self._connection.recv()
        except (EOFError, OSError):
            raise WorkerDiedError(self._last_words()) from None
        if isinstance(reply, Refused):
            raise reply.to_error()
        return reply

    def stop(self) -> None:
        """End the worker. May be called twice."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._output.close()

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        how = "no exit code yet" if code is None else f"exit {code}"
        if code is not None and code < 0:
            how = f"killed by signal {-code}"
        self._output.seek(0)
        said = self._output.read().decode(errors="replace").strip()
        last_line = said[-_TAIL_CHARACTERS:].splitlines()[-1:] or [""]
        return f"the worker died ({how}){': ' + last_line[0] if last_line[0] else ''}"


def _import_path() -> list[str]:
    """Return where the worker finds this very package, however the parent found it."""
    here = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [here, *(path for path in inherited if path)]
