"""Executors: in this process, or in a pool of others."""
