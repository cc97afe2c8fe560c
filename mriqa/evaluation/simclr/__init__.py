"""The experiments with SimCLR."""
