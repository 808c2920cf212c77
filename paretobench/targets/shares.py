"""What each engine has of the device: threads on cores of its own, or a part of a GPU."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paretobench.core.errors import ScenarioError
from paretobench.targets.engines import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The part of one engine: the environment of its process, the cores it runs on (none: all),
    what to record of it, and what to call it in a message."""

    environment: Mapping[str, str]
    cores: tuple[int, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    label: str


def device_parts(
    engines: Sequence[Engine], *, device: str | None, environment: Mapping[str, str]
) -> dict[str, Part]:
    """Return the part of each engine, by name.

    `device` is cpu, cuda:N, or None for a latency model, whose steps are as much slower as the
    share is smaller. `environment` is a worker's on the whole device.
    Raises ScenarioError where there are fewer CPU threads than engines.
    """
    if device == "cpu":
        return _cpu_parts(engines, environment)
    parts = {}
    for engine in engines:
        share = {"class": engine.name, "device_share": engine.device_share}
        label = f"{engine.device_share:g} of {device or 'the latency model'}"
        if device is None:
            parts[engine.name] = Part(environment=environment, facts=share, label=label)
            continue
        percentage = f"{100 * engine.device_share:g}"  # acts under an MPS daemon alone
        parts[engine.name] = Part(
            environment={**environment, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": percentage},
            facts=share,
            label=label,
        )
    return parts


def _cpu_parts(engines: Sequence[Engine], environment: Mapping[str, str]) -> dict[str, Part]:
    threads = int(environment["OMP_NUM_THREADS"])
    if len(engines) > threads:
        raise ScenarioError(
            f"batching.arrangement: separate needs a CPU thread for each class, found {threads} "
            f"for {len(engines)} classes ({', '.join(e.name for e in engines)}); raise "
            "model.threads, give a machine with more cores, or leave separate out"
        )
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pins = threads <= len(cores)
    parts = {}
    first = 0
    counts = split_threads(threads, [e.device_share for e in engines])
    for engine, count in zip(engines, counts, strict=True):
        parts[engine.name] = Part(
            environment={**environment, "OMP_NUM_THREADS": str(count)},
            cores=tuple(cores[first : first + count]) if pins else (),
            facts={
                "class": engine.name,
                "device_share": engine.device_share,
                "threads": count,
                "cores_of_its_own": pins,
            },
            label=f"{count} of {threads} CPU threads, for a share of {engine.device_share:g}",
        )
        first += count
    return parts


def split_threads(threads: int, shares: Sequence[float]) -> list[int]:
    """Return how many of `threads` each share comes to: at least 1, by largest remainder.

    Shares that sum to less than 1 leave threads over. There are at least as many threads as shares.

    >>> split_threads(8, [0.3, 0.7]), split_threads(2, [0.1, 0.9]), split_threads(8, [0.25, 0.5])
    ([2, 6], [1, 1], [2, 4])
    """
    assert len(shares) <= threads
    quotas = [share * threads for share in shares]
    counts = [max(1, math.floor(quota)) for quota in quotas]
    wanted = max(len(shares), round(math.fsum(quotas)))
    while sum(counts) < wanted:
        counts[_first_largest([q - c for q, c in zip(quotas, counts, strict=True)])] += 1
    while sum(counts) > wanted:  # some have their 1 at the cost of others
        over = [c - q if c > 1 else -math.inf for q, c in zip(quotas, counts, strict=True)]
        counts[_first_largest(over)] -= 1
    return counts


def _first_largest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
