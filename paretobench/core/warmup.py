"""The rule of warm-up `auto`: what a trial drops at least before it measures."""

from __future__ import annotations

from typing import Final

WARMUP_REQUESTS: Final = 200
WARMUP_SHARE: Final = 0.1  # of the measured requests
WARMUP_E2E: Final = 5.0  # times the mean E2E latency
