"""Training over many processes, by message passing (MPI)."""
