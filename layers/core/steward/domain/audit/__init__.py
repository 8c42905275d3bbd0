"""The ledger: who did what, when and why, in records that cannot be changed unseen."""
