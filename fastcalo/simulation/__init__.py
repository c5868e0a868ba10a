"""Fast simulation: propagation, acceptance, shower models, placing of hits."""
