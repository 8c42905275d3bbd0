"""Feature Store: groups, the online store and the offline store."""
