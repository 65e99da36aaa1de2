"""Registries of trained models."""
