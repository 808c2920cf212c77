"""Plan the trials of a scenario, run them, resume."""
