from __future__ import annotations

from collections import namedtuple

import psutil
import pytest

from paretobench.telemetry.host import CpuUse, HostCpu, host_facts

Times = namedtuple("Times", "user system idle iowait guest")


def test_cpu_use_is_the_busy_share_since_the_last_reading():
    readings = iter(
        [
            Times(user=10, system=10, idle=80, iowait=0, guest=0),
            Times(user=12, system=11, idle=86, iowait=1, guest=2),
            Times(user=12, system=11, idle=96, iowait=1, guest=2),
        ]
    )
    cpu = HostCpu(lambda: next(readings))
    # of 10 s: user 2, system 1, idle 6, waiting 1; the guest's 2 are in the user's already
    assert cpu.read().util_pct == pytest.approx(30.0)
    assert cpu.read().util_pct == 0.0


def test_steal_is_what_other_machines_had_of_all_the_time_and_missing_where_not_counted():
    linux = namedtuple("linux", "user idle steal guest_nice")
    readings = iter([linux(5, 5, 1, 3), linux(11, 8, 2, 9)])
    # of 10 s: user 6, idle 3, stolen 1
    assert HostCpu(lambda: next(readings)).read().steal_pct == pytest.approx(10.0)
    seconds = iter([1.0, 2.0])
    cpu = HostCpu(lambda: Times(user=next(seconds), system=0, idle=0, iowait=0, guest=0))
    assert cpu.read() == CpuUse(util_pct=100.0, steal_pct=None)


def test_no_time_between_two_readings_is_no_figure():
    cpu = HostCpu(lambda: Times(user=1, system=1, idle=1, iowait=0, guest=0))
    assert cpu.read() == CpuUse()


def test_host_facts_stay_within_what_this_process_may_use():
    facts = host_facts()
    assert 1 <= facts.cores <= psutil.cpu_count()
    assert facts.physical_cores is None or facts.physical_cores <= facts.cores
    assert facts.memory_bytes == psutil.virtual_memory().total
