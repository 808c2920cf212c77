"""A process that runs `targets.worker`, and how the parent talks to it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path

from paretobench.core.errors import WorkerDiedError
from paretobench.targets.messages import Message, Refused, Reply

_TAIL_CHARACTERS = 400


class WorkerProcess:
    """A running worker. `environment` is what it has beyond the parent's, from its start on.

    It runs on `cores` alone where any are given (Linux).
    """

    def __init__(self, environment: Mapping[str, str], *, cores: Collection[int] = ()) -> None:
        self._connection, child = Pipe()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        with _starting_on(cores):
            self._process = subprocess.Popen(
                # -P: or -m would look first in the working directory, where another checkout may be
                [sys.executable, "-P", "-m", "paretobench.targets.worker", str(child.fileno())],
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
        self.send(message)
        return self.receive(timeout_s)

    def send(self, message: Message) -> None:
        """Ask without waiting for the answer. Raises WorkerDiedError."""
        try:
            self._connection.send(message)
        except OSError:
            raise WorkerDiedError(self._last_words()) from None

    def receive(self, timeout_s: float) -> Reply:
        """Return the answer to what was sent. Raises as `ask`."""
        try:
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


def answered(workers: Mapping[str, WorkerProcess], timeout_s: float) -> list[str]:
    """Return which workers have answered, or died, once any has; none after `timeout_s`."""
    names = {worker._connection: name for name, worker in workers.items()}
    return [names[connection] for connection in wait(list(names), timeout_s)]  # type: ignore[index]


@contextlib.contextmanager
def _starting_on(cores: Collection[int]) -> Iterator[None]:
    """Have what is started meanwhile run on these cores: it inherits those of this thread."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _import_path() -> list[str]:
    """Return where the worker finds this very package, however the parent found it."""
    here = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [here, *(path for path in inherited if path)]
