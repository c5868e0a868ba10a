"""Showers for training: reading, splitting, ordering, caching."""
