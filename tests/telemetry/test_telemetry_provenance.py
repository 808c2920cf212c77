from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from paretobench import __version__
from paretobench.telemetry.provenance import collect_provenance

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder, *arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", "-C", str(folder), *identity, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    package = tmp_path / "clone" / "paretobench"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(package.parent, "init", "--quiet")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "--quiet", "--no-gpg-sign", "-m", "all")
    return package


def package_of(folder):
    return collect_provenance(package_dir=folder, ignore_pids=())["package"]


@needs_git
def test_a_clean_checkout_gives_its_commit(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    expected = {"version": __version__, "git_commit": commit, "git_dirty": False}
    assert package_of(checkout) == expected
    assert package_of(checkout.parent) == expected


@needs_git
@pytest.mark.parametrize("name", ["__init__.py", "new.py"])
def test_a_changed_or_new_file_in_the_package_makes_it_dirty(checkout, name):
    (checkout / name).write_text("x = 1\n")
    assert package_of(checkout)["git_dirty"] is True


@needs_git
def test_results_beside_the_package_do_not_make_it_dirty(checkout):
    (checkout.parent / "points.csv").write_text("")
    assert package_of(checkout)["git_dirty"] is False


@needs_git
def test_a_repository_that_does_not_know_the_package_is_not_its_own(checkout):
    installed = checkout.parent / ".venv" / "paretobench"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert package_of(installed)["git_commit"] is None


@needs_git
def test_a_copy_inside_another_project_has_no_commit_of_its_own(checkout):
    vendored = checkout.parent / "vendor" / "paretobench"
    shutil.copytree(checkout, vendored)
    git(checkout.parent, "add", ".")
    git(checkout.parent, "commit", "--quiet", "--no-gpg-sign", "-m", "vendored")
    assert package_of(vendored)["git_commit"] is None


def test_without_a_repository_there_is_no_commit(tmp_path):
    assert package_of(tmp_path) == {
        "version": __version__,
        "git_commit": None,
        "git_dirty": None,
    }


def test_without_git_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert package_of(Path(__file__).parents[2])["git_commit"] is None


def test_it_names_no_host_user_or_path(nvml, tmp_path):
    text = json.dumps(collect_provenance(package_dir=tmp_path, ignore_pids=()))
    assert str(tmp_path) not in text
    assert "/home" not in text
    assert socket.gethostname() not in text.replace('"', " ").split()


def test_without_a_driver_there_are_no_gpus(nvml, refusal, tmp_path):
    nvml.errors["nvmlInit"] = refusal["LibraryNotFound"]()
    provenance = collect_provenance(package_dir=tmp_path, ignore_pids=())
    assert provenance["gpus"] == []
    assert set(provenance["host"]) == {"cpu", "cores", "memory_bytes", "os", "python"}


def test_a_gpu_is_described_with_the_processes_that_are_not_ours(nvml, tmp_path):
    nvml.processes = [(11, 5 << 30), (12, 1 << 30), (13, None)]
    (gpu,) = collect_provenance(package_dir=tmp_path, ignore_pids=[11])["gpus"]
    assert gpu == {
        "index": 0,
        "name": "NVIDIA H200",
        "uuid": "GPU-0abc-0",
        "driver": "580.159.03",
        "cuda_driver": "13.0",
        "memory_bytes": 150 << 30,
        "power_limit_w": 700.0,
        "other_processes": [
            {"pid": 12, "memory_bytes": 1 << 30},
            {"pid": 13, "memory_bytes": None},
        ],
    }
    assert nvml.users == 0


def test_what_the_driver_refuses_is_none(nvml, refusal, tmp_path):
    nvml.errors["nvmlDeviceGetComputeRunningProcesses"] = refusal["NotSupported"]()
    nvml.errors["nvmlDeviceGetEnforcedPowerLimit"] = refusal["Unknown"]()
    (gpu,) = collect_provenance(package_dir=tmp_path, ignore_pids=())["gpus"]
    assert gpu["other_processes"] is None
    assert gpu["power_limit_w"] is None
    assert gpu["name"] == "NVIDIA H200"
