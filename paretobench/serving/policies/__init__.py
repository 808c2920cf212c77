"""When a batch closes and who joins it. A policy is pure: state in, decision out."""

from __future__ import annotations

from collections.abc import Callable

from paretobench.core.values import BatchingConfig
from paretobench.serving.policies.base import Admit, Continue, Decision, Hold, Policy, ServingState
from paretobench.serving.policies.static import StaticPolicy

POLICIES: dict[str, Callable[[BatchingConfig], Policy]] = {"static": StaticPolicy}


def make_policy(config: BatchingConfig) -> Policy:
    """Return the policy of that name with the config's limits."""
    return POLICIES[config.policy](config)


__all__ = [
    "POLICIES",
    "Admit",
    "Continue",
    "Decision",
    "Hold",
    "Policy",
    "ServingState",
    "StaticPolicy",
    "make_policy",
]
