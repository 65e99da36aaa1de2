"""Why an order came about, and why there was none: from a session's journal alone."""
