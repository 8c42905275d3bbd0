"""What a model has to prove before it may answer: requirements, verdicts, waivers, risk."""
