"""`paretobench emit`: where the settings go, and its exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from paretobench.cli.emit import _FORMATS
from paretobench.report.exporters import EXPORTERS

Run = Callable[..., Any]
RUNS = Path(__file__).parents[2] / "results" / "cpu-2core-epyc"


def test_help_names_every_format() -> None:
    assert set(_FORMATS) == set(EXPORTERS)


def test_settings_go_to_stdout_and_nothing_else_does(run: Run) -> None:
    result = run("emit", RUNS / "quickstart", "--point", "chat", "--format", "vllm")
    assert result.code == 0
    assert list(yaml.safe_load(result.out)) == ["max-num-seqs"]


def test_output_file_holds_what_stdout_would(run: Run, tmp_path: Path) -> None:
    command = ("emit", RUNS / "quickstart", "--point", "chat", "--format", "triton")
    shown = run(*command).out
    result = run(*command, "--output", tmp_path / "config.pbtxt")
    assert (result.code, result.out) == (0, "")
    assert (tmp_path / "config.pbtxt").read_text() == shown


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--point", "chta", "--format", "yaml"), "did you mean 'chat'?"),
        (("--point", "chat", "--format", "trtion"), "did you mean 'triton'?"),
        (("--point", "chat", "--format", "yaml", "--output", "no/such/file"), "--output"),
    ],
)
def test_bad_arguments_exit_2(run: Run, arguments: tuple[str, ...], found: str) -> None:
    result = run("emit", RUNS / "quickstart", *arguments)
    assert (result.code, result.out) == (2, "")
    assert found in result.err
