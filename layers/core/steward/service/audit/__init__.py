"""The ledger at work: facts are queued, appended, sealed, watched and compared with CloudTrail."""
