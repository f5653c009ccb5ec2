"""From image bytes to the tensor that a network reads."""
