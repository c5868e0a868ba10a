"""Comparison of showers with full simulation."""
