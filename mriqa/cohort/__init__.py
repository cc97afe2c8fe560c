"""What there is: sources, series, shards."""
