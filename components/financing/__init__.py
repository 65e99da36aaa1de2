"""Financing: what holding costs or earns from one day to the next, charged by the simulated broker."""
