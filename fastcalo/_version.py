"""Version of fastcalo."""

__version__ = "0.1.0"
