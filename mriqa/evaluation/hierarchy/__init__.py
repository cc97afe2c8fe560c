"""The experiments with the hierarchy."""
