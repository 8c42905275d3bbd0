"""A module that only the layer brings."""

WORD = "from the layer"
