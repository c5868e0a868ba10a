"""Files of single-particle showers: the native HDF5 format and formats of other projects."""
