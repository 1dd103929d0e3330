"""What the Python of a watched program finds on its path before anything else."""
