"""Validation against full simulation: of showers, and of files of hits."""
