"""The published tables: columns, merging, reconciliation, docs."""
