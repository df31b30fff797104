"""History: refs that move, what they moved from, and what commits tell of themselves."""
