"""Gates, and what they cost."""
