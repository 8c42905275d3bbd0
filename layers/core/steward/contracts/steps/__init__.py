"""Inputs and outputs of state-machine tasks, by domain."""
