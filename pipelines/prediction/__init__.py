"""Predictions: a model version with the features that it learned from, what it answered, and how good that was.

learned    the service as a model learned from it, its views pinned
predictor  a loaded version, which scores an online answer or rows of history
"""
