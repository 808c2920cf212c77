"""The script that shows how often the gate is wrong: a broken rule would show in ten draws."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_gate.py"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_gate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_gate", module)
    spec.loader.exec_module(module)
    return module


def test_ten_quiet_replications_find_what_is_there_and_nothing_else(bench: ModuleType) -> None:
    rng = np.random.default_rng(1)
    banks = [
        bench.Bank(
            configuration=bench.configuration(bench.trial("continuous", size, None, 0)),
            figures=1 + 0.1 * rng.standard_normal((bench.SCHEDULES, 1, 3)),
        )
        for size in (1, 2, 4, 8, 16, 32)
    ]
    said: Counter[str] = Counter()
    for _ in range(10):
        said.update(bench.replicate(banks, bench.MODELS[0], rng))
    for case in ("0%: pass", "3%: regression", "one: regression", "p95: regression"):
        assert said[case] == 10, case
    assert said["advisory 0%: pass"] == said["advisory 25%: regression"] == 10


def test_the_pairs_of_a_comparison_have_schedules_of_their_own(bench: ModuleType) -> None:
    one = bench.configuration(bench.trial("static", 2, None, 0))
    numbers = np.arange(bench.SCHEDULES, dtype=float)
    bank = bench.Bank(configuration=one, figures=np.tile(numbers[:, None, None], (1, 1, 3)))
    still = bench.Noise(name="still", trial=0.0)
    (match,) = bench.draw_matches(
        [bank], still, np.random.default_rng(0), loss=0.0, num_pairs=bench.SCHEDULES
    )
    assert sorted(np.log(match.baseline["p50_latency"])) == pytest.approx(list(numbers))
