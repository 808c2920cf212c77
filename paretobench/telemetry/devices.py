"""Finding the NVML device behind a CUDA one.

CUDA numbers the devices that CUDA_VISIBLE_DEVICES leaves, in the order of CUDA_DEVICE_ORDER; NVML
sees all, in the order of their PCI bus ids. A UUID is the same in both, so prefer it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

logger = logging.getLogger(__name__)

_ORDINAL = re.compile(r"(?:cuda:)?(\d+)|cuda")
_VISIBLE_ENTRY = re.compile(r"\d+|GPU-.+|MIG-.+", re.IGNORECASE)


def find_device(nvml: Any, device: int | str, environment: Mapping[str, str]) -> Any | None:
    """Return the NVML handle of a CUDA device, or None if there is none, or no certain one.

    `device` is an ordinal as torch counts them (`1`, `"cuda:1"`, `"cuda"`) or a UUID, with or
    without its `GPU-` or `MIG-`.
    """
    ordinal = _ORDINAL.fullmatch(str(device))
    try:
        if ordinal is None:
            return _by_uuid(nvml, str(device))
        return _by_ordinal(nvml, int(ordinal[1] or 0), environment)
    except nvml.NVMLError as error:
        logger.warning("NVML does not give device %s: %s", device, error)
        return None


def _by_ordinal(nvml: Any, ordinal: int, environment: Mapping[str, str]) -> Any | None:
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _by_cuda_index(nvml, ordinal, environment)
    entries = list(  # CUDA ignores everything from the first entry on that names no device
        takewhile(_VISIBLE_ENTRY.fullmatch, (entry.strip() for entry in visible.split(",")))
    )
    if ordinal >= len(entries):
        return None
    entry = entries[ordinal]
    if entry.isdigit():
        return _by_cuda_index(nvml, int(entry), environment)
    return _by_uuid(nvml, entry)


def _by_cuda_index(nvml: Any, index: int, environment: Mapping[str, str]) -> Any | None:
    handles = _all_handles(nvml)
    if index >= len(handles):
        return None
    by_bus = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if not by_bus and len({nvml.nvmlDeviceGetName(handle) for handle in handles}) > 1:
        # CUDA then puts the fastest first, by rules of its own: no reading beats a wrong one
        logger.warning(
            "cuda index %d is not certain among different GPUs: set CUDA_DEVICE_ORDER=PCI_BUS_ID "
            "or give the UUID; no GPU telemetry",
            index,
        )
        return None
    return handles[index]


def _by_uuid(nvml: Any, uuid: str) -> Any | None:
    for candidate in _spellings(uuid):
        try:
            return nvml.nvmlDeviceGetHandleByUUID(candidate)
        except nvml.NVMLError:
            continue
    begins = tuple(spelling.lower() for spelling in _spellings(uuid))
    matches = [  # CUDA takes a UUID's beginning where only one device has it
        handle
        for handle in _all_handles(nvml)
        if str(nvml.nvmlDeviceGetUUID(handle)).lower().startswith(begins)
    ]
    return matches[0] if len(matches) == 1 else None


def _spellings(uuid: str) -> tuple[str, ...]:
    if uuid.upper().startswith(("GPU-", "MIG-")):
        return (uuid[:4].upper() + uuid[4:],)
    return (f"GPU-{uuid}", f"MIG-{uuid}")


def _all_handles(nvml: Any) -> list[Any]:
    return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
