"""Lambda execution environments as processes that see what the real runtime would give them."""
