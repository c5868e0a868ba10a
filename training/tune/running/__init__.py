"""Running a search on ranks: the coordinator, its groups and their trials."""
