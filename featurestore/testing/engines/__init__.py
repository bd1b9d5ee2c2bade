"""The rules every offline engine must hold, as a suite to subclass with a fixture `engine`."""
