"""Reference pages that are made from the code, so that they say what the code does."""
