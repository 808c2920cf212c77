"""The run folder: an atomic writer and a reader."""

from paretobench.results.reader import RunFolder, open_run
from paretobench.results.writer import RunWriter

__all__ = ["RunFolder", "RunWriter", "open_run"]
