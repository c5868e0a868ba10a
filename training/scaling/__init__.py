"""Measurement and projection of how training scales with the number of ranks."""
