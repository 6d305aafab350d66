"""Runs of a scenario: in the model, live, compared, and the benchmark."""
