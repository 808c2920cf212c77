"""Which commit of this package runs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_GIT_TIMEOUT_S = 10.0
_OWN_FILE = "paretobench/__init__.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The commit, and whether the package's folder differs from it; None where not known."""

    git_commit: str | None = None
    git_dirty: bool | None = None


def package_checkout(package_dir: Path) -> Checkout:
    """Return the commit of the git repository whose `paretobench/` holds this package.

    `package_dir` is the package's folder or the repository's. All None where there is no git, no
    commit, or where the repository around the folder is another project's, which a virtual
    environment inside somebody's checkout would be. Only the package's folder can make it dirty:
    a run writes its results into the checkout.
    """
    if not (package_dir / "__init__.py").is_file():
        package_dir = package_dir / "paretobench"
    listed = _git(package_dir, "ls-files", "--full-name", "--error-unmatch", "__init__.py")
    if listed != _OWN_FILE:
        return Checkout()
    commit = _git(package_dir, "rev-parse", "--verify", "HEAD")
    status = _git(package_dir, "status", "--porcelain", "--", ".")
    return Checkout(git_commit=commit or None, git_dirty=None if status is None else bool(status))


def _git(folder: Path, *arguments: str) -> str | None:
    # a git hook's own variables point at another repository
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            encoding="utf-8",
            errors="replace",
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
