"""paretobench: the throughput–latency Pareto frontier of LLM inference, measured."""

__version__ = "0.1.0"

# Raised when a file in the run folder changes its meaning or its shape.
SCHEMA_VERSION = 1
