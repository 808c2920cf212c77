"""Does NVIDIA's Multi-Process Service run, by which processes compute on one GPU at once?"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_DAEMON = "nvidia-cuda-mps-control"


def mps_is_running() -> bool:
    """Return whether processes started from here find an MPS daemon.

    That is where CUDA_MPS_PIPE_DIRECTORY holds its pipe (it may run outside a container), or a
    daemon runs on this host. Without one, processes on one GPU take turns.
    """
    folder = os.environ.get("CUDA_MPS_PIPE_DIRECTORY")
    if folder is not None:
        return (Path(folder) / "control").exists()
    return any(process.info["name"] == _DAEMON for process in psutil.process_iter(["name"]))
