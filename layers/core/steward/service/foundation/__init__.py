"""Use cases that all domains stand on."""
