"""What is applied: which definitions are live, since when and by whom, and which datasets were saved."""
