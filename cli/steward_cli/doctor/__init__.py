"""What has to be right on this machine, in the account and in the stack, and what to do if not."""
