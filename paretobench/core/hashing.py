"""What tells two contents apart in few digits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def content_hash(content: Any) -> str:
    """Return 12 hex digits of SHA-256 over the content's canonical JSON.

    >>> content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_as_text)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _as_text(value: object) -> str:
    # a folder may be moved between two machines: the file's name stands for its path
    return value.name if isinstance(value, Path) else str(value)
