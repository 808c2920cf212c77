"""What executes a batch: a transformers model, a step-time model, or nothing at all."""
