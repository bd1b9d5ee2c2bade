"""How a model is kept good. Empty so far: what is asked of features is answered by `featurestore`."""
