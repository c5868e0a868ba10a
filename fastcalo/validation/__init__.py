"""Showers against full simulation: observables, distances beside their floor, figures, a report."""
