"""Several systems in turn: one is held at a time, and one that fails costs its own trials alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from paretobench.core.errors import EnvironmentUnfitError, TrialError, UserInputError
from paretobench.core.values import Trace
from paretobench.scenario.systems import Model
from paretobench.targets.check import check_variants
from paretobench.targets.variants import VariantsTarget


class Fake:
    """Counts itself among those that hold a device, and refuses to open where told to."""

    def __init__(self, name: str, held: list[str], log: list[str], *, fails: bool = False) -> None:
        self._name, self._held, self._log, self._fails = name, held, log, fails

    def open(self) -> None:
        assert not self._held, "a device may not have room for two"
        self._log.append(self._name)
        if self._fails:
            raise EnvironmentUnfitError("no room for the weights")
        self._held.append(self._name)

    def describe(self) -> Mapping[str, Any]:
        return {"model": self._name}

    def measure(self, trial: object) -> Trace:
        assert self._held == [self._name]
        return Trace(requests=(), steps=(), window=None, outcome="completed", reason=self._name)

    def close(self) -> None:
        if self._name in self._held:
            self._held.remove(self._name)


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def target(log: list[str]) -> VariantsTarget:
    held: list[str] = []
    return VariantsTarget(
        {name: Fake(name, held, log, fails=name == "broken") for name in ("a", "b", "broken")}
    )


def test_a_variant_is_loaded_when_its_first_trial_comes_and_the_one_before_is_closed(
    target: VariantsTarget, log: list[str]
) -> None:
    target.open()
    assert log == []
    for name in ("a", "a", "b", "b", "a"):
        target.select(name)
    assert log == ["a", "b", "a"]
    assert target.describe() == {"a": {"model": "a"}, "b": {"model": "b"}}
    target.close()
    target.close()
    target.select("a")
    assert log[-2:] == ["a", "a"]  # closed is no longer loaded


def test_a_variant_that_cannot_be_loaded_is_tried_once_and_the_others_go_on(
    target: VariantsTarget, log: list[str]
) -> None:
    target.select("a")
    for _ in range(3):
        with pytest.raises(TrialError, match="broken could not be loaded: no room for the weights"):
            target.select("broken")
    target.select("b")
    assert log == ["a", "broken", "b"]
    assert set(target.describe()) == {"a", "b"}


def test_what_cannot_be_is_said_before_anything_is_loaded(log: list[str]) -> None:
    def check() -> None:
        raise UserInputError("variant b: fp8 needs a GPU")

    with pytest.raises(UserInputError, match="variant b"):
        VariantsTarget({"a": Fake("a", [], log), "b": Fake("b", [], log)}, check).open()
    assert log == []


def test_an_option_that_this_machine_does_not_have_is_told_with_its_variant() -> None:
    variants = [
        ("plain", Model(preset="nano", device="cpu")),
        ("graphs", Model(preset="nano", device="cpu", cuda_graphs=True)),
    ]
    with pytest.raises(UserInputError, match=r"^variant graphs: model.cuda_graphs: true needs an"):
        check_variants(variants)
