"""What is done to a store beside filling and asking it: erasing an entity, and sweeping what nothing needs."""
