"""The sub-commands, a module per noun."""
