"""The wire: events on the bus and inputs and outputs of state-machine tasks."""
