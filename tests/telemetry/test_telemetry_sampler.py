from __future__ import annotations

import threading

import pytest

from paretobench.core.values import TelemetrySample
from paretobench.telemetry.host import CpuUse
from paretobench.telemetry.sampler import TelemetrySampler, seconds_to_next


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Probe:
    """Its energy counter is the time, and it fails where told to."""

    is_broken = False

    def read(self, t_s: float) -> TelemetrySample:
        if self.is_broken:
            raise OSError("no answer")
        return TelemetrySample(t_s=t_s, energy_j=t_s)

    def close(self) -> None:
        raise AssertionError("the probe is its owner's to close")


@pytest.fixture
def clock():
    return Clock()


def sampled(clock, *times_s, probe=None):
    sampler = TelemetrySampler(
        probe, clock=clock, read_cpu=lambda: CpuUse(util_pct=50.0, steal_pct=4.0)
    )
    for clock.now_s in times_s:
        sampler.sample_now()
    return sampler


def stamps(samples):
    return [pytest.approx(sample.t_s) for sample in samples]


def test_between_counts_from_the_start_and_brings_one_sample_beyond_each_end(clock):
    sampler = sampled(clock, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert stamps(sampler.between(2.5, 4.5)) == [-0.5, 0.5, 1.5, 2.5]


def test_a_sample_on_an_end_lies_inside(clock):
    sampler = sampled(clock, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert stamps(sampler.between(2.0, 4.0)) == [-1.0, 0.0, 1.0, 2.0, 3.0]


def test_between_gives_what_there_is_where_a_boundary_sample_is_missing(clock):
    sampler = sampled(clock, 2.0, 3.0)
    assert stamps(sampler.between(1.0, 4.0)) == [1.0, 2.0]
    assert stamps(sampler.between(5.0, 6.0)) == [-2.0]
    assert sampled(clock).between(0.0, 1.0) == ()


def test_an_interval_between_two_samples_brings_both(clock):
    sampler = sampled(clock, 1.0, 2.0)
    assert stamps(sampler.between(1.2, 1.4)) == [pytest.approx(-0.2), pytest.approx(0.8)]


def test_discarding_keeps_the_sample_that_bounds_the_interval(clock):
    sampler = sampled(clock, 1.0, 2.0, 3.0, 4.0)
    sampler.discard_before(3.5)
    assert stamps(sampler.between(0.0, 9.0)) == [3.0, 4.0]


def test_a_running_sampler_closes_an_interval_that_has_just_ended(clock):
    sampler = TelemetrySampler(None, 3600.0, clock=clock, read_cpu=CpuUse)
    with sampler:
        clock.now_s = 107.0
        samples = sampler.between(101.0, 106.0)
    assert stamps(samples) == [-1.0, 6.0]


def test_a_stopped_sampler_takes_no_more_samples(clock):
    sampler = TelemetrySampler(None, 3600.0, clock=clock, read_cpu=CpuUse)
    sampler.start()
    sampler.stop()
    sampler.stop()
    clock.now_s = 107.0
    assert stamps(sampler.between(101.0, 106.0)) == [-1.0]


def test_without_a_gpu_only_the_cpu_is_filled(clock):
    (sample,) = sampled(clock, 7.0).between(7.0, 7.0)
    assert sample == TelemetrySample(t_s=0.0, cpu_util_pct=50.0, cpu_steal_pct=4.0)


def test_a_failed_reading_leaves_a_gap_and_sampling_goes_on(clock):
    probe = Probe()
    sampler = sampled(clock, 1.0, probe=probe)
    probe.is_broken = True
    clock.now_s = 2.0
    sampler.sample_now()
    probe.is_broken = False
    clock.now_s = 3.0
    sampler.sample_now()
    samples = sampler.between(1.0, 3.0)
    assert [sample.energy_j for sample in samples] == [1.0, None, 3.0]
    assert [sample.cpu_util_pct for sample in samples] == [50.0] * 3


def test_the_thread_samples_until_it_is_stopped():
    enough = threading.Event()
    seen = []

    def read_cpu():
        seen.append(None)
        if len(seen) == 4:
            enough.set()
        return CpuUse()

    with TelemetrySampler(None, 0.001, read_cpu=read_cpu) as sampler:
        assert enough.wait(timeout=30)
    times_s = [sample.t_s for sample in sampler.between(0.0, float("inf"))]
    assert len(times_s) >= 4
    assert times_s == sorted(times_s)


def test_a_late_sample_does_not_shift_the_ones_after_it():
    wakes_s, now_s = [], 0.0
    for lateness_s in (0.0, 0.05, 0.31, 0.0):
        now_s += seconds_to_next(now_s, 0.2)
        wakes_s.append(now_s)
        now_s += lateness_s
    assert wakes_s == pytest.approx([0.2, 0.4, 0.6, 1.0])
