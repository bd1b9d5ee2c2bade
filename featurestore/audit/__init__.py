"""Whether what was served is what history says: the log of served vectors, and its comparison with history."""
