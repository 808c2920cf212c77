"""Request lengths: how many tokens, with the mean that was stated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from paretobench.core.workloads import (
    DEFAULT_CLASS,
    FixedLength,
    LengthSpec,
    LognormalLength,
    TraceLength,
    TrafficSpec,
    UniformLength,
    WorkloadSpec,
    classes_of,
)
from paretobench.workload.trace_files import read_trace_file

_BLOCK = 1024  # lengths drawn at a time; part of what a seed means


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthFacts:
    """What a distribution really yields after rounding and clipping.

    `stated_mean` is None where none was stated; `share_capped` is the share of a trace's rows
    that its cap shortens.
    """

    stated_mean: float | None
    mean: float
    cv: float
    maximum: int
    share_capped: float


def request_shapes(
    workload: TrafficSpec, rng: np.random.Generator
) -> Iterator[tuple[str, int, int]]:
    """Yield `(class_name, prompt_tokens, output_tokens)` of request after request, without end.

    Each class draws lengths of its own, so that one class's do not depend on another's share.
    """
    if isinstance(workload, WorkloadSpec):
        for prompt_tokens, output_tokens in length_pairs(workload, rng):
            yield DEFAULT_CLASS, prompt_tokens, output_tokens
    classes = classes_of(workload)
    class_rng, *length_rngs = rng.spawn(1 + len(classes))
    pairs = [length_pairs(c.lengths, r) for c, r in zip(classes, length_rngs, strict=True)]
    shares = [c.share for c in classes]
    while True:
        for index in class_rng.choice(len(classes), size=_BLOCK, p=shares).tolist():
            yield classes[index].name, *next(pairs[index])


def length_pairs(workload: WorkloadSpec, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Yield `(prompt_tokens, output_tokens)` of request after request, without end.

    Where both come from the same trace they come from the same rows.
    """
    prompt_rng, output_rng = rng.spawn(2)
    prompts = _lengths(workload.prompt_tokens, prompt_rng, column="prompt")
    outputs = _lengths(workload.output_tokens, output_rng, column="output")
    return zip(prompts, outputs, strict=True)


def length_facts(spec: LengthSpec, *, column: str) -> LengthFacts:
    """Return mean, coefficient of variation and maximum of what a length spec yields.

    `column` ("prompt" or "output") says which of a trace's columns is meant.
    """
    match spec:
        case FixedLength():
            return _facts(np.array([spec.value]), np.ones(1), stated=spec.value)
        case UniformLength():
            values = np.arange(spec.low, spec.high + 1)
            return _facts(values, np.ones(values.size), stated=(spec.low + spec.high) / 2)
        case LognormalLength():
            values = np.arange(spec.low, spec.high + 1)
            mu, sigma = _underlying(spec)
            return _facts(values, _clipped_weights(mu, sigma, spec), stated=spec.mean)
        case TraceLength():
            whole = _trace_column(spec, column)
            capped = _capped(spec, whole)
            share = float(np.mean(capped < whole))
            return _facts(capped, np.ones(capped.size), stated=None, share_capped=share)


def max_length(spec: LengthSpec, *, column: str) -> int:
    """Return the longest that a length spec can yield."""
    match spec:
        case FixedLength():
            return spec.value
        case UniformLength() | LognormalLength():
            return spec.high
        case TraceLength():
            return int(_capped(spec, _trace_column(spec, column)).max())


def min_shapes(workload: TrafficSpec) -> list[tuple[int, int]]:
    """Return the shortest prompt and the shortest output of each class."""
    return [
        (
            _min_length(c.lengths.prompt_tokens, column="prompt"),
            _min_length(c.lengths.output_tokens, column="output"),
        )
        for c in classes_of(workload)
    ]


def _min_length(spec: LengthSpec, *, column: str) -> int:
    match spec:
        case FixedLength():
            return spec.value
        case UniformLength() | LognormalLength():
            return spec.low
        case TraceLength():
            return int(_capped(spec, _trace_column(spec, column)).min())


def max_prompt_tokens(workload: TrafficSpec) -> int:
    """Return the longest prompt of any class."""
    return max(max_length(c.lengths.prompt_tokens, column="prompt") for c in classes_of(workload))


def max_request_tokens(workload: TrafficSpec) -> int:
    """Return the most tokens, prompt and output together, that one request can have."""
    return max(_max_tokens(c.lengths) for c in classes_of(workload))


def _max_tokens(workload: WorkloadSpec) -> int:
    prompt, output = workload.prompt_tokens, workload.output_tokens
    match prompt, output:
        case TraceLength(path=one), TraceLength(path=other) if one == other:
            # long prompts seldom meet long outputs: look at the rows
            prompts = _capped(prompt, _trace_column(prompt, "prompt"))
            outputs = _capped(output, _trace_column(output, "output"))
            return int((prompts + outputs).max())
    return max_length(prompt, column="prompt") + max_length(output, column="output")


def _lengths(spec: LengthSpec, rng: np.random.Generator, *, column: str) -> Iterator[int]:
    if isinstance(spec, TraceLength):
        rows = _capped(spec, _trace_column(spec, column)).tolist()
        while True:
            yield from rows
    while True:
        yield from _draw(spec, rng, _BLOCK).tolist()


def _draw(spec: LengthSpec, rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    match spec:
        case FixedLength():
            return np.full(size, spec.value)
        case UniformLength():
            return rng.integers(spec.low, spec.high, size=size, endpoint=True)
        case LognormalLength():
            mu, sigma = _underlying(spec)
            drawn = np.rint(rng.lognormal(mu, sigma, size))
            return np.clip(drawn, spec.low, spec.high).astype(np.int64)
        case TraceLength():
            raise AssertionError("a trace is read, not drawn")


@lru_cache(maxsize=64)
def _underlying(spec: LognormalLength) -> tuple[float, float]:
    """Return mu and sigma whose rounded and clipped mean is the stated one.

    Clipping moves the mean, so mu is solved for; sigma follows from `cv` as if unclipped.
    """
    from scipy.optimize import brentq

    sigma = math.sqrt(math.log1p(spec.cv**2))
    values = np.arange(spec.low, spec.high + 1)

    def excess(mu: float) -> float:
        return float(values @ _clipped_weights(mu, sigma, spec)) - spec.mean

    far = 12 * sigma + 1
    mu = brentq(excess, math.log(spec.low) - far, math.log(spec.high) + far, xtol=1e-12)
    return float(mu), sigma


def _clipped_weights(mu: float, sigma: float, spec: LognormalLength) -> NDArray[np.float64]:
    """Return the probability of each of low..high, shape [high - low + 1]."""
    from scipy.special import ndtr

    edges = np.log(np.arange(spec.low, spec.high) + 0.5)  # rounding: k catches k-½..k+½
    below = np.concatenate(([0.0], ndtr((edges - mu) / sigma), [1.0]))
    weights: NDArray[np.float64] = np.diff(below)
    return weights


def _facts(
    values: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    stated: float | None,
    share_capped: float = 0.0,
) -> LengthFacts:
    weights = weights / weights.sum()
    mean = float(values @ weights)
    deviation = math.sqrt(max(float((values - mean) ** 2 @ weights), 0.0))
    return LengthFacts(
        stated_mean=stated,
        mean=mean,
        cv=deviation / mean,
        maximum=int(values.max()),
        share_capped=share_capped,
    )


def _trace_column(spec: TraceLength, column: str) -> NDArray[np.int64]:
    rows = read_trace_file(spec.path)
    return rows.prompt_tokens if column == "prompt" else rows.output_tokens


def _capped(spec: TraceLength, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return lengths if spec.cap is None else np.minimum(lengths, spec.cap)
