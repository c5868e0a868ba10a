"""Diagnosis of a machine before training: CPUs, MPI, GPUs."""
