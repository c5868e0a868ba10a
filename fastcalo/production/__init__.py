"""Production of files: convert, merge, inspect."""
