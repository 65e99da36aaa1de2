"""Brokers of our own: approved orders in, reports and fills out."""
