"""Variational autoencoders as stacks: data, models, objectives, training and rulers. Needs nothing but torch."""

from vae.data import ImageData, load
from vae.errors import UserError
from vae.models import VAE
from vae.objectives import Objective
from vae.stack import Stack
from vae.training import EpochRecord, Training, fit

__all__ = ["VAE", "EpochRecord", "ImageData", "Objective", "Stack", "Training", "UserError", "fit", "load"]
