"""Deliveries checked and datasets built."""
