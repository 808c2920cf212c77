"""Check that a run folder is complete: every file there, every trial in every table."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

FILES = (
    "manifest.json",
    "points.csv",
    "frontier.csv",
    "operating_points.yaml",
    "frontier.png",
    "frontier.svg",
    "report.md",
    "report.html",
)
RAW = ("requests.parquet", "steps.parquet", "telemetry.parquet", "summary.json")


def faults(folder: Path) -> list[str]:
    """Return what is wrong with the folder, a line each."""
    found = [
        f"{name} is missing or empty"
        for name in FILES
        if not (folder / name).is_file() or not (folder / name).stat().st_size
    ]
    if found:
        return found
    manifest = json.loads((folder / "manifest.json").read_text())
    if manifest["state"] != "complete":
        found.append(f"state is {manifest['state']}")
    ids = {trial["trial_id"] for trial in manifest["trials"]}
    with (folder / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    if {row["trial_id"] for row in rows} != ids:
        found.append("points.csv and the manifest name different trials")
    for trial_id in sorted(ids):
        found += [
            f"trials/{trial_id}/{name} is missing"
            for name in RAW
            if not (folder / "trials" / trial_id / name).is_file()
        ]
    with (folder / "frontier.csv").open(newline="") as file:
        if not list(csv.DictReader(file)):
            found.append("frontier.csv has no row")
    if not any(row["verdict"] == "valid" for row in rows):
        found.append("no trial is valid")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    wrong = faults(folder)
    for fault in wrong:
        print(f"{folder}: {fault}")
    if not wrong:
        print(f"{folder}: complete")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
