"""All rows of a span, in order, through whatever the source puts in the way."""
