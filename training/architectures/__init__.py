"""Architectures of generator and critic, behind one interface."""
