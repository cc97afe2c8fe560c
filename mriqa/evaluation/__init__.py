"""Experiments, their tables and plots."""
