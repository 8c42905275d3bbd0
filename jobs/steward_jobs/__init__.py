"""Entry points of the one training, processing and inference image."""
