"""The example declarations: flights from New York in 2013."""
