"""Token times that are shared with the steps they came in."""

from __future__ import annotations

import pickle

import numpy as np

from paretobench.serving.recorder import TokenTimes

ENDS_S = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])


def test_times_are_those_of_the_steps_of_every_span() -> None:
    times = TokenTimes(ENDS_S, ((1, 3), (5, 6)))
    assert times == (1.0, 2.0, 5.0)
    assert (len(times), times[0], times[-1], times[1:]) == (3, 1.0, 5.0, (2.0, 5.0))
    assert np.diff(times).tolist() == [1.0, 3.0]


def test_no_token_is_no_time() -> None:
    assert TokenTimes(ENDS_S, ()) == ()


def test_between_processes_go_only_the_requests_own_times() -> None:
    many = TokenTimes(np.arange(1_000_000.0), ((10, 12),))
    sent = pickle.dumps(many)
    assert len(sent) < 1000
    assert pickle.loads(sent) == (10.0, 11.0)
