"""Architectures: pure functions from parameters and images to features."""
