"""Which feature moved a prediction how far: Shapley values, exact where that can be had."""
