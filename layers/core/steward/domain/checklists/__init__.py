"""Checklists of rules on models, filled from the statements of a card. See docs/cards.md."""
