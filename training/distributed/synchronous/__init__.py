"""Synchronous training: gradients averaged over all ranks in each step."""
