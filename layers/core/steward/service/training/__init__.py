"""Runs: started, resolved, compared, recorded and concluded."""
