"""Metrics: what a reconstruction, a sample or a latent is worth, each with known answers.

Those of images take tensors (*, H, W) in [0, 1] of any floating type, on any device, and return (*) in float64. What
they cannot measure they refuse by name and value; an image without any edge reads NaN. `catalogue.CATALOGUE` says of
every metric its unit, direction, range, source, and what fools it; README.md shows them on a digit.
"""
