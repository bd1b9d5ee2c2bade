"""The offline store: Delta tables of views' rows, each interval replaced in one commit."""
