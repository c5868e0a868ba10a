"""Asynchronous training with a parameter server over MPI."""
