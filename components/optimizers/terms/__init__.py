"""Terms of the objective: one formula a file."""
