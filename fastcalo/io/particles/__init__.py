"""Files of particles: reading ROOT files of many layouts."""
