"""What a scenario file may say, and what each fault answers."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from paretobench.core.errors import ScenarioError
from paretobench.scenario import Overrides, Scenario, load_scenario, scenario_from_mapping
from paretobench.targets.serve import step_times

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))

BASE: dict[str, Any] = {
    "name": "chat",
    "model": {"preset": "nano"},
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 32},
        "output_tokens": {"kind": "uniform", "low": 8, "high": 32},
    },
    "batching": {"max_batch_size": [1, 4], "max_waiting_time_ms": 50},
    "load": [{"kind": "closed_loop"}, {"kind": "poisson", "requests_per_s": 5}],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    section: Any = data
    for parent in parents:
        section = section[int(parent) if parent.isdigit() else parent]
    section[int(last) if last.isdigit() else last] = value
    return data


def steps(*phases: tuple[float, float], **rate: float) -> dict[str, Any]:
    listed = [{"duration_s": duration_s, "factor": factor} for duration_s, factor in phases]
    return {"kind": "steps", "phases": listed, **rate}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_in_the_repository_is_valid(path: Path) -> None:
    assert load_scenario(path).name == path.stem


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "batching.max_wait",
            3,
            "unknown key 'max_wait' (did you mean 'max_waiting_time_ms'?)",
        ),
        ("batching.max_waiting_time_ms", -5, "batching.max_waiting_time_ms must be ≥ 0, found -5"),
        ("batching.max_waiting_time_ms", [0, -5], "batching.max_waiting_time_ms.1 must be ≥ 0"),
        ("batching.max_batch_size", [], "batching.max_batch_size must not be an empty list"),
        ("batching.max_batch_size", "4", "must be a valid integer, found '4'"),
        ("batching.max_batch_size", True, "must be a valid integer, found True"),
        ("batching.max_batch_size", [4, 4], "must not name a value twice"),
        ("batching.policy", "statik", "did you mean 'static'?"),
        ("model.preset", "nanoo", "did you mean 'nano'?"),
        ("model.path", "./x", "model must give exactly one of preset, path and hub"),
        ("model.device", "gpu", "model.device must match"),
        ("model.backend", "fast", "must be 'auto', 'fused' or 'transformers', found 'fast'"),
        ("model.cuda_graphs", "maybe", "must be 'auto', True or False, found 'maybe'"),
        ("model.quantization", "int4", "must be 'int8' or 'fp8', found 'int4'"),
        ("batching.kv_budget_tokens", -4, "batching.kv_budget_tokens must be ≥ 2, found -4"),
        ("batching.max_prefill_tokens_per_step", 0, "must be ≥ 1, found 0"),
        ("model", 3, "model must be a mapping of keys, found 3"),
        ("model", [], "model must not be an empty list"),
        ("model", [{"preset": "nano"}, {"preset": "nanoo"}], "model.1.preset must be a known"),
        ("model", [{"preset": "nano"}, {"preset": "nano"}], "entries 1 and 2 differ in nothing"),
        (
            "model",
            [{"preset": "nano", "name": "a"}, {"preset": "mini", "name": "a"}],
            "a name of its own, found 2 called 'a'",
        ),
        ("model", [{"preset": "nano", "name": "a/b"}, {"preset": "mini"}], "model.0.name must mat"),
        ("model.dtype", ["float32", "bf16"], "model.dtype must be 'auto', 'float32', 'bfloat16'"),
        ("model.dtype", ["float32", "float32"], "entries 1 and 2 differ in nothing"),
        ("model.dtype", [], "model.dtype must be 'auto'"),
        ("model.seed", [0, 1], "model.seed must be a valid integer, found [0, 1]"),
        (
            "workload.output_tokens",
            {"kind": "uniform", "low": 9, "high": 3},
            "workload.output_tokens low must be ≤ high, found low 9, high 3",
        ),
        (
            "workload.prompt_tokens",
            {"kind": "lognormal", "mean": 900, "cv": 1, "low": 1, "high": 64},
            "mean must lie between low and high",
        ),
        ("workload.prompt_tokens", {"kind": "zipf"}, "workload.prompt_tokens.kind must be one of"),
        ("load.1.requests_per_s", -1, "load.1.requests_per_s must be > 0, found -1"),
        ("load.1", {"kind": "poisson"}, "exactly one of requests_per_s and fraction_of_capacity"),
        ("load", [], "load must not be an empty list"),
        ("load.1", steps(), "load.1 must give exactly one of requests_per_s and fraction"),
        (
            "load.1",
            steps((20, 1), requests_per_s=5),
            "load.1 must have at least 2 phases, found 1 (a steady rate is kind: poisson)",
        ),
        (
            "load.1",
            steps((20, 0), (5, 0), requests_per_s=5),
            "load.1 must have a phase with a factor over 0, found 0 in every phase",
        ),
        (
            "load.1",
            steps((20, 1), (0, 2), requests_per_s=5),
            "load.1.phases.1.duration_s must be > 0, found 0",
        ),
        (
            "load.1",
            steps((20, 1), (5, -1), requests_per_s=5),
            "load.1.phases.1.factor must be ≥ 0, found -1",
        ),
        (
            "load.1",
            {**steps(requests_per_s=5), "phases": [{"duration": 3, "factor": 1}]},
            "unknown key 'duration' (did you mean 'duration_s'?)",
        ),
        (
            "load.1",
            {"kind": "sine", "requests_per_s": 5, "amplitude": 1.2, "period_s": 30},
            "load.1.amplitude must be ≤ 1, found 1.2",
        ),
        (
            "load.1",
            {"kind": "sine", "requests_per_s": 5, "amplitude": 0.5},
            "load.1.period_s is missing",
        ),
        (
            "load.1",
            {"kind": "burst", "requests_per_s": 5, "factor": 1, "burst_s": 2, "period_s": 9},
            "load.1.factor must be > 1, found 1",
        ),
        (
            "load.1",
            {"kind": "burst", "requests_per_s": 5, "factor": 2, "burst_s": 9, "period_s": 9},
            "load.1 burst_s must be < period_s, found burst_s 9.0, period_s 9.0",
        ),
        (
            "load.1",
            {"kind": "burst", "requests_per_s": 5, "factor": 2, "burst_s": 1, "phases": []},
            "unknown key 'phases'",
        ),
        ("load.0.concurrency", "all", "load.0.concurrency must be 'match_batch', found 'all'"),
        ("measure", {"requests": 0}, "measure.requests must be ≥ 1, found 0"),
        ("measure", {"warmup": "never"}, "measure.warmup must be a number, 'auto' or 'quick'"),
        ("measure", {"timeout_s": float("inf")}, "measure.timeout_s must be a finite number"),
        ("objectives", {"latency": "output_tokens_per_s"}, "of which lower is better"),
        (
            "operating_points",
            {"chat": {"maximize": "output_tokens_per_s", "subject_to": {"p95_e2e": 500}}},
            "did you mean 'p95_e2e_ms'?",
        ),
        ("operating_points", {"chat": {}}, "exactly one of maximize and minimize"),
        ("name", "a/b", "name must match"),
    ],
)
def test_a_fault_is_told_with_file_key_expected_and_found(
    path: str, value: Any, message: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario_from_mapping(changed(path, value), source="chat.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("chat.yaml: ")
    assert message in lines[0]


def with_decode(decode: dict[str, Any]) -> dict[str, Any]:
    runner = {"kind": "latency_model", "prefill": {"base_ms": 2}, "decode": decode}
    return {**{k: v for k, v in BASE.items() if k != "model"}, "runner": runner}


def test_decode_times_by_batch_size_survive_a_manifest() -> None:
    scenario = scenario_from_mapping(with_decode({"by_batch_size": {8: 15.8, 1: 13.8}}))
    manifest = json.loads(json.dumps(scenario.model_dump(mode="json")))
    assert scenario_from_mapping(manifest) == scenario
    assert scenario.runner is not None
    times = step_times(scenario.runner)
    assert dict(times.decode_by_batch_size) == pytest.approx({1: 0.0138, 8: 0.0158})


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        ({"by_batch_size": {1: 4}, "base_ms": 4}, "by_batch_size, or base_ms and per_sequence_ms"),
        ({"by_batch_size": {0: 4}}, "must be ≥ 1, found 0"),
        ({"by_batch_size": {"one": 4}}, "must be a valid integer, found 'one'"),
        ({"by_batch_size": {1: -4}}, "must be ≥ 0, found -4"),
        ({"by_batch_size": {}}, "runner.decode.by_batch_size"),
    ],
)
def test_wrong_decode_times_by_batch_size_are_told(decode: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario_from_mapping(with_decode(decode))
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["workload", "batching", "load", "name", "model"])
def test_a_missing_section_is_named(key: str) -> None:
    data = {k: v for k, v in BASE.items() if k != key}
    with pytest.raises(ScenarioError, match=key):
        scenario_from_mapping(data)


def test_a_scalar_means_the_same_as_a_list_of_one() -> None:
    one = scenario_from_mapping(changed("batching.max_waiting_time_ms", [50]))
    assert scenario_from_mapping(BASE) == one


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [", "expected YAML"),
        (b"name: a\nname: b\n", "key 'name' is given twice (line 2"),
        (b"\xff\xfe\x00\x01", "not text"),
        (b"\x00\x01\x02", "expected YAML"),
        (b"", "found an empty file"),
        (b"- 1\n", "found a list"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="expected a scenario file, found none"):
        load_scenario(tmp_path / "none.yaml")


def test_paths_are_relative_to_the_scenario_file(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(changed("model", {"path": "./checkpoint"})))
    model = load_scenario(path).model
    assert model is not None
    assert model.path == str(tmp_path / "checkpoint")


def test_overrides_replace_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(BASE))
    scenario = load_scenario(
        path,
        Overrides(
            model="mini",
            device="cpu",
            max_batch_size=[2],
            max_waiting_time_ms=[0.0, 5.0],
            request_rate=[3.0],
            concurrency=[7],
            seed=9,
        ),
    )
    assert scenario.model is not None
    assert (scenario.model.preset, scenario.model.device) == ("mini", "cpu")
    assert scenario.batching.max_batch_size == [2]
    assert [load.kind for load in scenario.load] == ["poisson", "closed_loop"]
    assert scenario.measure.seed == 9


def test_an_override_is_checked_like_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(BASE))
    with pytest.raises(ScenarioError, match=r"max_batch_size.0 must be ≥ 1, found 0"):
        load_scenario(path, Overrides(max_batch_size=[0]))


def test_the_json_schema_takes_a_value_or_a_list() -> None:
    schema = Scenario.model_json_schema()
    sizes = schema["$defs"]["Batching"]["properties"]["max_batch_size"]
    assert [option.get("type") for option in sizes["anyOf"]] == ["integer", "array"]


def names(model: Any) -> list[str | None]:
    return [name for name, _ in scenario_from_mapping(changed("model", model)).variants]


def test_a_single_system_has_no_name_and_stays_a_mapping() -> None:
    for given in ({"preset": "nano"}, [{"preset": "nano"}], {"preset": "nano", "dtype": ["auto"]}):
        scenario = scenario_from_mapping(changed("model", given))
        assert scenario == scenario_from_mapping(BASE)
        assert [name for name, _ in scenario.variants] == [None]


def test_lists_inside_a_model_give_every_combination() -> None:
    given = {"preset": ["nano", "mini"], "dtype": ["float32", "bfloat16"]}
    assert names(given) == ["nano float32", "nano bfloat16", "mini float32", "mini bfloat16"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"dtype": "float32"}, {"dtype": "bfloat16"}, ["float32", "bfloat16"]),
        ({}, {"quantization": "int8"}, ["nano", "int8"]),
        ({"backend": "transformers"}, {"compile": True}, ["transformers", "compiled"]),
        ({"compile": False}, {"cuda_graphs": False}, ["not compiled", "no graphs"]),
        ({"threads": 1}, {"threads": 2}, ["1 thread", "2 threads"]),
        ({"seed": 1}, {"seed": 2, "name": "b"}, ["seed 1", "b"]),
    ],
)
def test_a_variant_is_called_by_what_sets_it_apart(
    one: dict[str, Any], other: dict[str, Any], expected: list[str]
) -> None:
    assert names([{"preset": "nano", **one}, {"preset": "nano", **other}]) == expected


def test_latency_models_may_be_several_too() -> None:
    data = {key: value for key, value in BASE.items() if key != "model"}
    slow = {"kind": "latency_model", "prefill": {}, "decode": {"base_ms": 4}}
    data["runner"] = [{**slow, "name": "slow"}, {**slow, "decode": {"base_ms": 2}}]
    scenario = scenario_from_mapping(data)
    assert [name for name, _ in scenario.variants] == ["slow", "decode base_ms 2"]


def test_a_scenario_of_variants_reads_back_as_it_was_written() -> None:
    scenario = scenario_from_mapping(changed("model.dtype", ["float32", "bfloat16"]))
    assert scenario_from_mapping(scenario.model_dump(mode="json")) == scenario


def test_an_override_applies_to_every_variant(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    variants = [{"path": "./a", "dtype": "float32"}, {"path": "./a", "dtype": "bfloat16"}]
    path.write_text(yaml.safe_dump(changed("model", variants)))
    assert load_scenario(path).variants[1][1].path == str(tmp_path / "a")  # type: ignore[union-attr]
    found = load_scenario(path, Overrides(model="mini", device="cpu")).variants
    assert [name for name, _ in found] == ["float32", "bfloat16"]
    assert all((m.preset, m.device) == ("mini", "cpu") for _, m in found)  # type: ignore[union-attr]
    with pytest.raises(
        ScenarioError, match=r"--dtype: .* variants of `model` that differ in dtype"
    ):
        load_scenario(path, Overrides(dtype="float32"))


def test_an_override_replaces_a_list_inside_a_model(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(changed("model.dtype", ["float32", "bfloat16"])))
    assert load_scenario(path, Overrides(dtype="float32")).variants[0][0] is None
