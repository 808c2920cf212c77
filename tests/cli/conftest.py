"""The command line, run in this process, and a scenario that needs no model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from paretobench.cli import main

SCENARIO = """
name: small
runner: {kind: latency_model, prefill: {base_ms: 1}, decode: {base_ms: 1, per_sequence_ms: 0.05}}
workload: {prompt_tokens: {kind: fixed, value: 8}, output_tokens: {kind: uniform, low: 2, high: 6}}
batching: {max_batch_size: [1, 4], max_waiting_time_ms: [0, 5]}
load: [{kind: closed_loop}, {kind: poisson, fraction_of_capacity: 0.5}]
measure: {requests: 20, warmup: quick, confirm: false}
operating_points:
  chat: {maximize: output_tokens_per_s, subject_to: {p95_e2e_ms: 10000}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["paretobench", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        output = capsys.readouterr()
        code = caught.value.code
        return Result(code=code if isinstance(code, int) else 0, out=output.out, err=output.err)

    return call


@pytest.fixture(autouse=True)
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay figures out, but spare the pixels: tests/report renders them."""

    def rendered(png_name: str, _figure: object) -> dict[str, bytes]:
        return {png_name: b"PNG", png_name.replace(".png", ".svg"): b"SVG"}

    monkeypatch.setattr("paretobench.report.figures.rendered", rendered)


@pytest.fixture
def scenario_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    return path
