"""What weights are allowed: one constraint a file."""
