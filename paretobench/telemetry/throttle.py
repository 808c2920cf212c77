"""Why a GPU's clocks are not as high as they could be."""

from __future__ import annotations

# Bits of nvmlClocksEventReasons (nvml.h), lowest first.
_REASONS = (
    "gpu_idle",
    "applications_clocks_setting",
    "sw_power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "display_clock_setting",
    "board_limit",
    "reliability",
)


def throttle_reason_names(mask: int | None) -> str | None:
    """Return the reasons joined by `|`, "none" if there are none, None if they were not read.

    >>> throttle_reason_names(0x4 | 0x20)
    'sw_power_cap|sw_thermal_slowdown'
    >>> throttle_reason_names(0)
    'none'
    """
    if mask is None:
        return None
    names = [name for bit, name in enumerate(_REASONS) if mask >> bit & 1]
    unnamed = mask >> len(_REASONS) << len(_REASONS)
    if unnamed:
        names.append(hex(unnamed))
    return "|".join(names) or "none"
