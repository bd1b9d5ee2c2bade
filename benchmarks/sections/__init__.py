"""One module per section of RESULTS.md: it prepares, lets contestants take turns, and tells the result."""
