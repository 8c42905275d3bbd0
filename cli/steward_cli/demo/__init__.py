"""``steward demo``: one model's whole life on the embedded AWS."""
