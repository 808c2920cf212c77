"""A verdict with its reason and its remedy."""

from __future__ import annotations

from dataclasses import dataclass

from paretobench.core.values import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, why, and what to do about it; both are empty for a valid trial."""

    verdict: Verdict
    reason: str = ""
    remedy: str = ""
