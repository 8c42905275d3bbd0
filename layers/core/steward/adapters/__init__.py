"""boto3 behind the ports, and nowhere else."""
