"""Model cards: one model made of evidence, two projections for SageMaker, and its pages.

Pure and light: control functions render a card where they freeze the evidence, so nothing here
imports numpy. See docs/cards.md.
"""
