"""Print `run_id=N` of the newest run on `main` (or --branch) that kept an artifact, or nothing.

Asks the API of the CI job's own repository (`GITHUB_API_URL`, `GITHUB_REPOSITORY`, `GITHUB_TOKEN`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

_TIMEOUT_S = 30


def find_baseline(artifacts: list[dict[str, Any]], branch: str) -> int | None:
    """Return the run of the newest artifact of `branch` that can still be fetched.

    A fork's branch of that name does not count: its workflow may store what it likes.

    >>> run = {"id": 1, "head_branch": "main", "repository_id": 7, "head_repository_id": 7}
    >>> old = {"created_at": "2026-01-01", "expired": False, "workflow_run": run}
    >>> gone = {**old, "created_at": "2026-01-02", "expired": True}
    >>> change = {**old, "created_at": "2026-01-03", "workflow_run": {**run, "head_branch": "x"}}
    >>> fork = {**change, "workflow_run": {**run, "id": 4, "head_repository_id": 8}}
    >>> find_baseline([gone, old, change, fork], "main")
    1
    >>> find_baseline([change], "main")
    """
    kept = [
        a
        for a in artifacts
        if not a["expired"]
        and a["workflow_run"]["head_branch"] == branch
        and a["workflow_run"]["head_repository_id"] == a["workflow_run"]["repository_id"]
    ]
    newest = max(kept, key=lambda a: a["created_at"], default=None)
    return None if newest is None else int(newest["workflow_run"]["id"])


def fetch(name: str) -> list[dict[str, Any]]:
    """Return the repository's artifacts of that name, newest first (the API's order)."""
    base, repository = os.environ["GITHUB_API_URL"], os.environ["GITHUB_REPOSITORY"]
    query = urllib.parse.urlencode({"name": name, "per_page": 100})
    request = urllib.request.Request(
        f"{base}/repos/{repository}/actions/artifacts?{query}",
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
        },
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        found: list[dict[str, Any]] = json.load(answer)["artifacts"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="the artifact's name")
    parser.add_argument("--branch", default="main", help="of which branch (default: main)")
    given = parser.parse_args()
    try:
        run_id = find_baseline(fetch(given.name), given.branch)
    except KeyError as error:
        sys.exit(f"find_baseline: expected {error} in the environment or the answer, found none")
    except urllib.error.URLError as error:
        sys.exit(f"find_baseline: cannot ask for the artifacts of {given.name!r}: {error}")
    if run_id is not None:
        print(f"run_id={run_id}")


if __name__ == "__main__":
    main()
