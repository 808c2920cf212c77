"""What can be measured: the serving loop around a model in a worker process, or a simulation."""
