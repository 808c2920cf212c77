"""The batching system: queue, policies, clocks and the one serving loop."""
