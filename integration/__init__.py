"""Links to the frameworks that host a simulation; each needs its host."""
