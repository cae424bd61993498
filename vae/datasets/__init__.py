"""Data sets as tensors: the built-in ones, and a user's own images."""
