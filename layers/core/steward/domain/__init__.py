"""Pure concepts of model operations: no AWS, no environment, no clock."""
