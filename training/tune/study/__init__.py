"""A search on disk: its space, its journal of trials, and its stopping rules."""
