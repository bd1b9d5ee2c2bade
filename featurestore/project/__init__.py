"""What a project's folder says: its configuration, and its definition files as a catalog."""
