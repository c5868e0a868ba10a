"""Report of a finished or running search."""
