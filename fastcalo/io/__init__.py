"""Files in and out: events and hits in ROOT files, showers in HDF5 files."""
