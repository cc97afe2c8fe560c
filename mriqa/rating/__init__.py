"""From metrics and methods to the columns that an analyst reads."""
