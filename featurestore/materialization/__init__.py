"""From source through the gate to the offline and the online store."""
