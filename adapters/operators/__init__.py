"""Feeds made of other feeds."""
