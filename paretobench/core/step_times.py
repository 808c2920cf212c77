"""How long a step takes, as a function of what it computes."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Seconds that a step takes, in the terms of design: prompts that join, rows that decode.

    `decode_by_batch_size` holds `(rows, seconds)` by rising rows, in place of `decode_base_s` and
    `decode_per_sequence_s`: linear between, beyond the last as between the last two, below the
    first as at the first. `mixed_saving_s` is what a step saves that does both, for its weights are
    read once; never more than either part.
    """

    prefill_base_s: float = 0.0
    prefill_per_sequence_s: float = 0.0
    prefill_per_token_s: float = 0.0
    decode_base_s: float = 0.0
    decode_per_sequence_s: float = 0.0
    decode_per_kv_token_s: float = 0.0
    decode_by_batch_size: tuple[tuple[int, float], ...] = ()
    mixed_saving_s: float = 0.0

    def slowed(self, device_share: float) -> StepTimes:
        """Return the times on a share of the device: all of them longer by as much."""
        seconds = {f.name: getattr(self, f.name) for f in fields(self)}
        knots = seconds.pop("decode_by_batch_size")
        return StepTimes(
            **{name: value / device_share for name, value in seconds.items()},
            decode_by_batch_size=tuple((rows, s / device_share) for rows, s in knots),
        )

    def duration_s(
        self, *, num_joining: int, prompt_tokens: int, num_decoding: int, kv_tokens: int
    ) -> float:
        """Return the length of a step: its prefill part if any joins, its decode part if any runs.

        `kv_tokens` counts the cache of the decoding rows alone.

        >>> StepTimes(decode_base_s=0.01, decode_per_sequence_s=0.001).duration_s(
        ...     num_joining=0, prompt_tokens=0, num_decoding=4, kv_tokens=100)
        0.014
        >>> StepTimes(decode_by_batch_size=((1, 0.25), (3, 0.75))).duration_s(
        ...     num_joining=0, prompt_tokens=0, num_decoding=2, kv_tokens=100)
        0.5
        """
        prefill_s = decode_s = 0.0
        if num_joining:
            prefill_s = (
                self.prefill_base_s
                + self.prefill_per_sequence_s * num_joining
                + self.prefill_per_token_s * prompt_tokens
            )
        if num_decoding:
            decode_s = self._rows_s(num_decoding) + self.decode_per_kv_token_s * kv_tokens
        return prefill_s + decode_s - min(self.mixed_saving_s, prefill_s, decode_s)

    def _rows_s(self, num_decoding: int) -> float:
        knots = self.decode_by_batch_size
        if not knots:
            return self.decode_base_s + self.decode_per_sequence_s * num_decoding
        after = bisect_right(knots, (num_decoding, float("inf")))
        if after == 0 or len(knots) == 1:
            return knots[0][1]
        after = min(after, len(knots) - 1)
        (low, low_s), (high, high_s) = knots[after - 1], knots[after]
        return low_s + (high_s - low_s) * (num_decoding - low) / (high - low)
