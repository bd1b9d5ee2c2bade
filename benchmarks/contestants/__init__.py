"""One module per contestant, each run as a program in a process of its own."""
