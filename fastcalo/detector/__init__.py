"""Calorimeter description: sections, modules, cell IDs."""
