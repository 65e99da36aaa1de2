"""Training: history walked through the very components that answer live."""
