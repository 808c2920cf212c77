"""Finding the name that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, or None if none is near.

    >>> nearest_name("max_wait", ["max_batch_size", "max_waiting_time_ms"])
    'max_waiting_time_ms'
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return close[0]
    extended = [candidate for candidate in known if name and candidate.startswith(name)]
    return extended[0] if extended else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)`, or an empty string if no known name is near.

    >>> suggestion("polcy", ["policy"])
    " (did you mean 'policy'?)"
    """
    near = nearest_name(name, known)
    return f" (did you mean {near!r}?)" if near else ""
