"""Compiled loops: arrays in, arrays out. No torch module and no checkpoint is known here."""
