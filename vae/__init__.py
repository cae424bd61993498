"""Variational autoencoders as stacks: data, models, objectives, training and metrics. Needs nothing but torch."""

from vae.datasets.load import ImageData, load
from vae.errors import UserError
from vae.models import VAE
from vae.objectives import Objective
from vae.training.fit import EpochRecord, fit
from vae.training.settings import Training
from vae.training.stack import Stack

__all__ = ["VAE", "EpochRecord", "ImageData", "Objective", "Stack", "Training", "UserError", "fit", "load"]
