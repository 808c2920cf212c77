"""Asking NVML one question at a time, on machines where some questions are refused."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)

# The driver, the device or the sandbox will answer the same way next time.
_REFUSALS = frozenset(
    {
        "NVMLError_NotSupported",
        "NVMLError_NoPermission",
        "NVMLError_FunctionNotFound",
        "NVMLLibraryMismatchError",
    }
)
_MAX_FAILURES_IN_A_ROW = 3  # of any other error, a gVisor `Unknown` for one


def start_nvml() -> Any | None:
    """Return the initialised `pynvml` module, or None where there is no driver.

    Every success needs a `stop_nvml`: NVML counts its users.
    """
    try:
        import pynvml
    except ImportError:
        logger.info("nvidia-ml-py is not installed: no GPU telemetry")
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        logger.info("NVML does not start (%s): no GPU telemetry", error)
        return None
    return pynvml


def stop_nvml(nvml: Any) -> None:
    """Give NVML back; never fails."""
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        logger.debug("NVML does not shut down: %s", error)


class NvmlQueries:
    """Questions to one device; what is refused is None, logged once and not asked again.

    "Not supported", "no permission" and "function not found" end a question for good. Any other
    error may pass, so it ends the question only after three times in a row.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._failures: dict[str, int] = {}
        self._given_up: set[str] = set()

    def ask(self, function: str, *arguments: Any) -> Any | None:
        """Return what the NVML function of that name answers, or None."""
        if function in self._given_up:
            return None
        call = getattr(self._nvml, function, None)
        if call is None:  # an older nvidia-ml-py
            self._give_up(function, "unknown to the installed nvidia-ml-py")
            return None
        try:
            answer = call(*arguments)
        except (self._nvml.NVMLError, self._nvml.NVMLLibraryMismatchError) as error:
            self._count_failure(function, error)
            return None
        self._failures.pop(function, None)
        return answer

    def _count_failure(self, function: str, error: Exception) -> None:
        failures = self._failures[function] = self._failures.get(function, 0) + 1
        if type(error).__name__ in _REFUSALS or failures >= _MAX_FAILURES_IN_A_ROW:
            self._give_up(function, str(error))

    def _give_up(self, function: str, reason: str) -> None:
        self._given_up.add(function)
        logger.warning("%s: %s; its figure stays empty", function, reason)
