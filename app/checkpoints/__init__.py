"""Initializations on disk: one format, checked when it loads.

Weights are read and written here and nowhere else.
"""
