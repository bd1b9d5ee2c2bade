"""Speed and memory beside the alternatives: `python -m benchmarks`."""
