"""What a fault in the middle of a trial comes to: a verdict with its reason, and the next trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from paretobench.core.errors import TrialError
from paretobench.core.values import BatchingConfig, Request, Trial
from paretobench.core.workloads import ClosedLoop, FixedLength, WorkloadSpec
from paretobench.runners.base import StepResult
from paretobench.runners.null import NullRunner
from paretobench.scenario.systems import LatencyModel
from paretobench.targets.messages import Measure, Measured, Open, Ready, Refused
from paretobench.targets.worker import Worker
from paretobench.targets.worker_process import WorkerProcess

TRIAL = Trial(
    batching=BatchingConfig(policy="static", max_batch_size=2, max_waiting_time_s=0.0),
    load=ClosedLoop(concurrency=2),
    workload=WorkloadSpec(prompt_tokens=FixedLength(value=4), output_tokens=FixedLength(value=3)),
    num_requests=4,
    num_warmup=0,
    min_duration_s=0.0,
    timeout_s=10.0,
    repeat=0,
    seed=0,
)


def test_a_worker_is_of_its_parents_package_whatever_lies_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a baseline that is measured from the candidate's checkout would measure the candidate."""
    (tmp_path / "paretobench").mkdir()
    (tmp_path / "paretobench" / "__init__.py").write_text("raise ImportError('another checkout')")
    monkeypatch.chdir(tmp_path)
    worker = WorkerProcess({})
    try:
        system = LatencyModel.model_validate(
            {"kind": "latency_model", "prefill": {"base_ms": 1}, "decode": {"base_ms": 1}}
        )
        opened = worker.ask(
            Open(system=system, batch_sizes=(1,), max_request_tokens=8, max_prompt_tokens=4),
            timeout_s=60,
        )
        assert isinstance(opened, Ready)
    finally:
        worker.stop()


class Faulty(NullRunner):
    """Fails in its fourth step, once."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error
        self._num_steps = 0

    def step(self, join: Sequence[Request]) -> StepResult:
        self._num_steps += 1
        if self._num_steps == 4:
            raise self._error
        return super().step(join)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            TrialError("tiny: logits of 1 of 2 requests are NaN or infinite"),
            "TrialError",
            "logits of 1 of 2 requests are NaN",
        ),
        (
            RuntimeError("CUDA error: the device was lost"),
            "WorkerDiedError",
            "RuntimeError: CUDA error: the device was lost",
        ),
    ],
    ids=["NaN", "device lost"],
)
def test_a_fault_in_mid_trial_costs_that_trial_and_names_its_reason(
    error: Exception, kind: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = Worker()
    worker._runner = Faulty(error)
    reply = worker.reply_to(Measure(trial=TRIAL))
    assert isinstance(reply, Refused)
    assert reply.error == kind
    assert message in reply.message
    assert isinstance(reply.to_error(), TrialError)  # ends the trial, never the sweep
    again = worker.reply_to(Measure(trial=TRIAL))
    assert isinstance(again, Measured)
    assert again.trace.outcome == "completed"
