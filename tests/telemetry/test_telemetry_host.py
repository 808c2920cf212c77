from __future__ import annotations

from collections import namedtuple

import psutil
import pytest

from paretobench.telemetry.host import HostCpu, host_facts

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
    assert cpu.read() == pytest.approx(30.0)
    assert cpu.read() == 0.0


def test_no_time_between_two_readings_is_no_figure():
    cpu = HostCpu(lambda: Times(user=1, system=1, idle=1, iowait=0, guest=0))
    assert cpu.read() is None


def test_host_facts_stay_within_what_this_process_may_use():
    facts = host_facts()
    assert 1 <= facts.cores <= psutil.cpu_count()
    assert facts.physical_cores is None or facts.physical_cores <= facts.cores
    assert facts.memory_bytes == psutil.virtual_memory().total
