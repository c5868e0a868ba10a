"""Search for the hyper-parameters of a training."""
