"""Showers in the formats of other projects, read in place."""
