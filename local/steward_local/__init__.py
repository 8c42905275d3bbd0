"""The embedded AWS: MiniStack with what Steward needs and it lacks."""
