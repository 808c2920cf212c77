"""When a batch closes and who joins it. A policy is pure: state in, decision out."""

from __future__ import annotations

from collections.abc import Callable

from paretobench.core.values import BatchingConfig
from paretobench.serving.policies.adaptive import AdaptivePolicy
from paretobench.serving.policies.base import (
    Admit,
    Continue,
    Decision,
    Group,
    Hold,
    Policy,
    ServingState,
)
from paretobench.serving.policies.continuous import ContinuousPolicy
from paretobench.serving.policies.priority import PriorityPolicy
from paretobench.serving.policies.static import StaticPolicy

POLICIES: dict[str, Callable[..., Policy]] = {
    "static": StaticPolicy,
    "continuous": ContinuousPolicy,
    "adaptive": AdaptivePolicy,
}


def make_policy(config: BatchingConfig, *, several_classes: bool = False) -> Policy:
    """Return the policy of that name with the config's limits.

    With `several_classes` a batch holds one class unless the config mixes them.
    """
    if config.arrangement == "priority":
        return PriorityPolicy(config)
    return POLICIES[config.policy](config, one_class=several_classes and not config.mix_classes)


__all__ = [
    "POLICIES",
    "Admit",
    "Continue",
    "ContinuousPolicy",
    "Decision",
    "Group",
    "Hold",
    "Policy",
    "PriorityPolicy",
    "ServingState",
    "StaticPolicy",
    "make_policy",
]
