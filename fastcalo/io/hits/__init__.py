"""Files of calorimeter hits: reading and writing."""
