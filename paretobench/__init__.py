"""paretobench: the throughput–latency Pareto frontier of LLM inference, measured."""

__version__ = "0.1.0"

# Raised when a file in the run folder changes its meaning or its shape. In 1 the raw files of a
# trial may lack columns that came later; from 2 on all are there, and each page has a checksum.
SCHEMA_VERSION = 2
READABLE_SCHEMA_VERSIONS = (1, 2)
