"""Facts and settings of every built-in method, one light module each."""
