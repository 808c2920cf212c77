"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paretobench.core.errors import IncompleteError

_UNFINISHED = ".partial-"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file through a temporary name in its folder and a rename.

    Raises IncompleteError where the disk refuses; what stood at `path` is then untouched.
    """
    partial = path.with_name(f"{_UNFINISHED}{path.name}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        _discard(partial)
        raise _refused(path, error) from error


def write_json_atomically(path: Path, content: Any) -> None:
    """Write JSON that any reader takes: no NaN, no Infinity. Raises IncompleteError."""
    text = json.dumps(content, indent=1, allow_nan=False, default=str)
    write_atomically(path, (text + "\n").encode())


def write_folder_atomically(path: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a folder that appears at `path` only once it is complete.

    Raises IncompleteError where the disk refuses; `path` is then as it was.
    """
    partial = path.with_name(f"{_UNFINISHED}{path.name}")
    try:
        _discard(partial)
        partial.mkdir(parents=True)
        fill(partial)
        if path.exists():
            shutil.rmtree(path)
        os.replace(partial, path)
    except OSError as error:
        _discard(partial)
        raise _refused(path, error) from error


def discard_partial(folder: Path) -> None:
    """Remove what a killed writer left unfinished in `folder`."""
    for partial in folder.glob(f"{_UNFINISHED}*"):
        _discard(partial)


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> IncompleteError:
    return IncompleteError(
        f"{path}: cannot be written: {error.strerror or error}; what was measured before is still "
        "readable. Free space or mend the permissions, then run the same command again; a sweep "
        "goes on with --resume"
    )
