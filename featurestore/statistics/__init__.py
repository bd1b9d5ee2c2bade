"""What a view's values look like, interval by interval: counted when they are committed, merged when they are asked."""
