"""A comparison as JUnit XML."""

from __future__ import annotations

from paretobench.gate.values import Comparison


def junit_xml(comparison: Comparison) -> bytes:
    """Return a test suite with a case for the frontier, each configuration and operating point."""
    raise NotImplementedError
