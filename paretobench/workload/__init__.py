"""From arrival processes and length distributions to a seeded schedule of requests."""
