"""Comparison of two files of hits."""
