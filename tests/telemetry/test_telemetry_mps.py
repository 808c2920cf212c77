"""Whether processes on one GPU compute at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from paretobench.telemetry.mps import mps_is_running


def test_a_pipe_in_the_named_folder_is_a_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert not mps_is_running()
    (tmp_path / "control").touch()
    assert mps_is_running()


@pytest.mark.parametrize(("name", "runs"), [("nvidia-cuda-mps-control", True), ("python", False)])
def test_a_daemon_on_this_host_is_found(
    name: str, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    process = SimpleNamespace(info={"name": name})
    monkeypatch.setattr(psutil, "process_iter", lambda _: iter([process]))
    assert mps_is_running() is runs
