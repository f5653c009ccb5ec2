"""Data sets as classes of encoded images, and the drawing of episodes from them."""
