"""Value objects, errors, metric names and units that every other package shares."""
