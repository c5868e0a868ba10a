"""Training of conditional GANs of calorimeter response (needs ``pip install 'fastcalo[train]'``)."""
