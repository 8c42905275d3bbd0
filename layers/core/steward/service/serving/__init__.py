"""Use cases of the domain ``serving``."""
