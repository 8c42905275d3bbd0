"""Versions: registered, decided on, reconciled and promoted."""
