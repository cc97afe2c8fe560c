"""What raters said: their tables read and checked, and how far they agree."""
