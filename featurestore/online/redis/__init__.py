"""The online store of a fleet: one Redis, or a Redis Cluster, read in one round trip."""
