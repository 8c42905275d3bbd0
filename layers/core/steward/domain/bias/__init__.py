"""Bias of data and predictions: between two facets, by group, and what a gate may conclude."""
