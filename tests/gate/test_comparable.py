"""What may not differ is named, all of it at once, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paretobench.core.errors import NotComparableError
from paretobench.gate.comparable import check_comparable

Make = Callable[..., Any]


@pytest.fixture
def sides(make_point: Make, make_side: Make, make_manifest: Make) -> Make:
    def make(before: dict[str, Any], after: dict[str, Any]) -> tuple[Any, Any]:
        return (
            make_side("baseline", [[make_point(4, 100, 50)]], [make_manifest(**before)]),
            make_side("candidate", [[make_point(4, 100, 50)]], [make_manifest(**after)]),
        )

    return make


def refusal(sides: tuple[Any, Any], allow: tuple[str, ...] = ()) -> str:
    with pytest.raises(NotComparableError) as caught:
        check_comparable(*sides, allow)
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_the_same_system_differs_in_nothing(sides: Make) -> None:
    assert check_comparable(*sides({}, {}), ()) == ((), ())


@pytest.mark.parametrize(
    ("change", "told", "allowance"),
    [
        ({"gpu": {"driver": "590.1"}}, "driver: 580.10 in the baseline, 590.1 in the", "driver"),
        ({"system": {"torch": "2.14.0"}}, "torch: 2.13.0 in the baseline, 2.14.0", "torch"),
        ({"system": {"cuda": "13.2"}}, "CUDA of torch: 13.0", "torch"),
        ({"system": {"quantization": "int8"}}, "", None),  # only one side records it
        ({"system": {"model": "tiny"}}, "model: nano (18.9 M", "model"),
        ({"system": {"attention_backend": "sdpa"}}, "attention backend: triton", "runner"),
        ({"system": {"cuda_graphs": None}}, "CUDA graphs: on in the baseline, off", "runner"),
        ({"system": {"cuda_graphs": 5}}, "", None),  # how many follows from the batch sizes
        ({"system": {"dtype": "float32"}}, "dtype: bfloat16", ""),
        ({"system": {"device_name": "NVIDIA A100"}}, "device: NVIDIA H100", ""),
        ({"system": {"threads": 4}}, "threads: 8", ""),
        ({"host": {"cpu": "Xeon"}}, "host CPU: AMD EPYC", ""),
        ({"gpu": {"power_limit_w": 500.0}}, "GPU power limit: 700 W", ""),
        ({"schema_version": 2}, "schema version: 1 in the baseline, 2", ""),
    ],
)
def test_each_thing_that_decides_figures_is_refused_unless_it_is_allowed(
    sides: Make, change: dict[str, Any], told: str, allowance: str | None
) -> None:
    both = sides({}, change)
    if allowance is None:
        check_comparable(*both, ())
        return
    message = refusal(both)
    assert told in message
    if allowance:
        assert f"--allow {allowance}" in message
        differences, _ = check_comparable(*both, (allowance,))
        assert [d.is_allowed for d in differences] == [True]
    else:
        assert "No option allows another" in refusal(both, ("driver", "torch", "model", "runner"))


def test_every_difference_is_named_and_those_allowed_are_not(sides: Make) -> None:
    both = sides({}, {"system": {"torch": "2.14", "backend": "transformers", "dtype": "float32"}})
    message = refusal(both)
    assert all(name in message for name in ("torch: ", "backend: fused", "dtype: bfloat16"))
    assert "--allow torch,runner" in message
    message = refusal(both, ("torch", "runner"))
    assert "dtype: " in message
    assert "torch: " not in message


def test_a_later_run_of_a_side_that_differs_from_its_first_is_refused_whatever_is_allowed(
    make_point: Make, make_side: Make, make_manifest: Make
) -> None:
    rounds = [[make_point(4, 100, 50)]] * 2
    before = make_side("baseline", rounds)
    drifted = [make_manifest(), make_manifest(system={"torch": "2.14.0"})]
    after = make_side("candidate", rounds, drifted)
    assert "torch of the candidate's pair-1 and pair-2" in refusal((before, after), ("torch",))


def test_variants_are_held_against_their_namesakes_and_what_all_share_is_told_once(
    make_point: Make, make_side: Make, make_manifest: Make
) -> None:
    def of(torch: str, dtype_of_int8: str) -> dict[str, Any]:
        content = make_manifest()
        system = content["provenance"].pop("system") | {"torch": torch}
        content["provenance"]["systems"] = {
            "fp16": system,
            "int8": system | {"dtype": dtype_of_int8},
        }
        return content

    points = [
        make_point(4, 100, 50, variant=name, configuration_id=name) for name in ("fp16", "int8")
    ]
    before = make_side("baseline", [points], [of("2.13", "bfloat16")])
    after = make_side("candidate", [points], [of("2.14", "float32")])
    told = [line.strip() for line in refusal((before, after)).splitlines()]
    assert told[1:3] == [
        "torch: 2.13 in the baseline, 2.14 in the candidate (--allow torch)",
        "dtype of int8: bfloat16 in the baseline, float32 in the candidate",
    ]


def test_another_card_of_the_same_model_is_only_warned_of(sides: Make) -> None:
    other = {"system": {"gpu_uuid": "GPU-2"}, "gpu": {"uuid": "GPU-2"}}
    differences, warnings = check_comparable(*sides({}, other), ())
    assert not differences
    assert "two cards of one model" in warnings[0]


def test_a_simulation_is_not_held_against_a_measurement(sides: Make) -> None:
    message = refusal(sides({}, {"system": {"simulated": True}}), ("runner", "model"))
    assert "made by: measurement in the baseline, simulation in the candidate" in message


def test_nothing_in_common_says_what_and_how_to_serve_the_same(
    make_point: Make, make_side: Make
) -> None:
    def at(rate: float) -> Any:
        return make_point(
            4,
            50,
            9,
            load="poisson 50% of capacity",
            load_kind="poisson",
            concurrency=None,
            offered_requests_per_s=rate,
            fraction_of_capacity=0.5,
        )

    message = refusal((make_side("baseline", [[at(10.0)]]), make_side("candidate", [[at(11.0)]])))
    assert "load: poisson 10/s in the baseline, poisson 11/s in the candidate" in message
    assert "paretobench sweep SCENARIO --like baseline/pair-1" in message
    other = make_point(4, 50, 9, workload="prompt 64, output 8")
    message = refusal((make_side("baseline", [[at(10.0)]]), make_side("candidate", [[other]])))
    assert "workload: prompt 32, output 8–32 in the baseline, prompt 64, output 8" in message


def test_other_objectives_are_refused(sides: Make, make_manifest: Make) -> None:
    scenario = make_manifest()["scenario"]
    objectives = scenario["objectives"] | {"latency": "p95_ttft_ms"}
    message = refusal(sides({}, {"scenario": scenario | {"objectives": objectives}}))
    assert "objectives: output_tokens_per_s against p95_e2e_ms in the baseline" in message
