"""The gates that stand before training and before promotion."""
