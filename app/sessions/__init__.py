"""Sessions: adapted models with an end, and where they are kept."""
