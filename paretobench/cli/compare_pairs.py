"""`compare --run-pairs`: measuring interleaved pairs of two commands."""

from __future__ import annotations

from pathlib import Path


def measure_pairs(
    baseline_cmd: str, candidate_cmd: str, *, num_pairs: int, output_dir: Path, seed: int
) -> tuple[Path, Path]:
    """Measure the pairs into `output_dir`, and return the folders of both sides."""
    raise NotImplementedError
