"""Validation of TOML configuration and of the model contract."""
