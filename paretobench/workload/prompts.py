"""What the prompts say: random tokens, no two prompts alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from paretobench.core.values import Request

_POOL_TOKENS = 1 << 20
_STRIDE = 7919  # odd: request after request starts at a place of its own, far from the last


class PromptPool:
    """Gives every request a prompt cut from one seeded pool of random tokens.

    Two requests of a trial start at different places of the pool, and every trial has a pool of
    its own, so that no prefix ever repeats for a cache to profit from. Cutting costs no drawing:
    it happens inside the measured loop.
    """

    def __init__(self, *, vocab_size: int, seed: int, max_prompt_tokens: int) -> None:
        rng = np.random.default_rng((seed, 0x9E3779B9))
        pool = rng.integers(0, vocab_size, size=_POOL_TOKENS, dtype=np.int64)
        # the pool's beginning again at its end: no cut has to wrap
        self._pool = np.concatenate((pool, np.resize(pool, max_prompt_tokens)))

    def __call__(self, request: Request) -> NDArray[np.int64]:
        """Return the request's token ids, shape [prompt_tokens]."""
        start = request.request_id * _STRIDE % _POOL_TOKENS
        prompt = self._pool[start : start + request.prompt_tokens]
        assert prompt.shape == (request.prompt_tokens,)
        return prompt
