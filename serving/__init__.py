"""What is asked over HTTP. Empty so far: online values are read in process, through `featurestore.FeatureStore`."""
