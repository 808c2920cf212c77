"""The runner over torch and transformers; nothing outside this package imports either."""

from paretobench.runners.torch.build import build_runner, make_runner
from paretobench.runners.torch.runner import TorchRunner

__all__ = ["TorchRunner", "build_runner", "make_runner"]
