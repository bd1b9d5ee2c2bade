"""A feature store: declare features once, train on their history, serve their present."""
