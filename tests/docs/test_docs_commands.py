"""Every command that the documentation gives runs, word for word, and exits as it should."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import commands, named
from typer.main import get_command

from paretobench.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted(ROOT.glob("docs/*.md"))]
# command -> why no test runs it here; one that no page gives any more fails
NOT_RUN = {
    "pip install -c constraints.txt -e .": ".ci/run runs it, word for word",
    "pip install -c constraints.txt -e '.[test]'": ".ci/run runs it, word for word",
    "pytest": ".ci/run runs it, word for word",
    "pip install -c constraints.txt -e '.[docs]'": ".ci/run installs it with '.[dev]'",
    "mkdocs serve": "does not end; .ci/run builds the site",
    **dict.fromkeys(
        (
            'paretobench compare --run-pairs 5 --baseline-cmd "../base/.venv/bin/paretobench sweep '
            'scenarios/ci.yaml" --candidate-cmd "paretobench sweep scenarios/ci.yaml"',
            'paretobench compare --run-pairs 5 --baseline-cmd "cd ../base && .venv/bin/paretobench '
            'sweep scenarios/ci.yaml" --candidate-cmd "paretobench sweep scenarios/ci.yaml"',
            "paretobench compare --run-pairs 3 --baseline-cmd 'paretobench simulate ci.yaml' "
            "--candidate-cmd 'paretobench simulate ci_slow.yaml' --allow runner",
        ),
        "processes of their own; tests/cli/test_cli_workflow.py measures pairs by the same command",
    ),
    "git worktree add ../base main": "makes a folder beside the checkout",
    "python -m venv ../base/.venv": "the environment of that folder",
    "../base/.venv/bin/pip install -c ../base/constraints.txt -e ../base": "likewise",
    "nvidia-cuda-mps-control -d": "starts a daemon of NVIDIA's driver",
}
SCRIPTS = (
    "python scripts/",
    "bash scripts/",
    "scripts/",
)  # take minutes: that they exist, and have the options given, is checked
EXITS = {  # where 0 is not what the page says
    "paretobench compare results/cpu-2core-epyc/certified_chat "
    "results/cpu-2core-epyc/certified_chat_verify": 3,
}


def _found() -> dict[str, list[str]]:
    """Return each command with the pages that give it."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for command in commands(page.read_text(encoding="utf-8")):
            found.setdefault(command, []).append(page.name)
    return found


FOUND = _found()
RUN = [c for c in FOUND if c not in NOT_RUN and not c.startswith(SCRIPTS)]


def test_the_commands_that_are_not_run_stand_in_the_documentation() -> None:
    assert NOT_RUN.keys() | EXITS.keys() <= FOUND.keys()


def test_commands_are_found_on_the_pages_that_have_them() -> None:
    """Or the extraction would be broken, and every test below empty."""
    assert "README.md" in FOUND["paretobench sweep scenarios/quickstart.yaml"]
    assert len(RUN) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_subcommand_that_a_page_names_exists(page: Path) -> None:
    known: Any = get_command(app)
    assert named(page.read_text(encoding="utf-8")) <= known.commands.keys()


@pytest.mark.parametrize("command", [c for c in FOUND if c.startswith(SCRIPTS)])
def test_every_script_that_a_page_runs_exists_and_has_the_options_given(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command)
    script = next(word for word in words if word.startswith("scripts/"))
    assert (ROOT / script).is_file()
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    if options:
        monkeypatch.setattr(sys, "argv", [script, "--help"])
        with pytest.raises(SystemExit):
            runpy.run_path(str(ROOT / script), run_name="__main__")
        assert options <= set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", capsys.readouterr().out))


@pytest.mark.parametrize("command", RUN)
def test_command_runs_as_it_stands_in_the_documentation(
    run: Callable[[Sequence[str]], Any], command: str
) -> None:
    words = shlex.split(command)
    assert words[0] == "paretobench", f"{FOUND[command]}: name it in NOT_RUN with the reason"
    result = run(words)
    assert result.code == EXITS.get(command, 0), f"{FOUND[command]}: {result.err}"
