"""Plans: frozen data that says what to compute. No SQL dialect, no I/O; engines compile them."""
