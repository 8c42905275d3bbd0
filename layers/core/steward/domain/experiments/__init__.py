"""Online experiments: frozen statistics, sequences that may be read at any time, verdicts."""
