"""The main job on a real year of flights: `python -m demo` runs it from raw tables to a model that retrains itself."""
