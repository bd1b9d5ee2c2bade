"""What starts the runs of pipelines and materializes views on time: decided by pure functions, noted in the ledger."""
