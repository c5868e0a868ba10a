"""Folder of a training run: checkpoints, metrics, curves, timeline."""
