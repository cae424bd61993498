"""Entries of the catalogue that judge the model: likelihoods, latents, and samples from the prior."""

from __future__ import annotations

import math
from typing import Final

from vae.metrics.metric import Metric

LIKELIHOOD: Final = (
    Metric(
        name="nll_continuous_bernoulli",
        unit="nats",
        direction="lower",
        low=-math.inf,
        high=math.inf,
        source="Loaiza-Ganem & Cunningham 2019",
        fools="its mean is not the sigmoid: a decoder trained as Bernoulli is mis-scored",
        where="likelihood",
        label="NLL, continuous Bernoulli",
        about="−log p(x|z) under a continuous Bernoulli with the decoder's logits, at a sampled z.",
    ),
    Metric(
        name="nll_gaussian",
        unit="nats",
        direction="lower",
        low=-math.inf,
        high=math.inf,
        source="closed form",
        fools=(
            "an objective trained on it: it wins by construction; the fixed variance, far too wide for a good decoder"
        ),
        where="likelihood",
        label="NLL, Gaussian",
        about="−log p(x|z) under a Gaussian of variance 1/2: squared error + (D/2) ln π, at a sampled z.",
    ),
    Metric(
        name="nll_gaussian_calibrated",
        unit="nats",
        direction="lower",
        low=-math.inf,
        high=math.inf,
        source="Rybkin, Daniilidis & Levine 2021 (sigma-VAE)",
        fools=(
            "an objective trained on it: it wins by construction; pixels that are exactly 0 or 1, on "
            "which a density can grow without bound"
        ),
        where="likelihood",
        label="NLL, Gaussian calibrated",
        about=("−log p(x|z) under a Gaussian whose one variance was fitted on images not scored, at a sampled z."),
    ),
    Metric(
        name="nll_laplace",
        unit="nats",
        direction="lower",
        low=-math.inf,
        high=math.inf,
        source="closed form",
        fools=("an objective trained on it: it wins by construction; the fixed scale, far too wide for a good decoder"),
        where="likelihood",
        label="NLL, Laplace",
        about="−log p(x|z) under a Laplace of scale 1: absolute error + D ln 2, at a sampled z.",
    ),
    Metric(
        name="nll_laplace_calibrated",
        unit="nats",
        direction="lower",
        low=-math.inf,
        high=math.inf,
        source="closed form; the scale is the mean absolute error",
        fools=(
            "an objective trained on it: it wins by construction; pixels that are exactly 0 or 1, on "
            "which a density can grow without bound"
        ),
        where="likelihood",
        label="NLL, Laplace calibrated",
        about="−log p(x|z) under a Laplace whose one scale was fitted on images not scored, at a sampled z.",
    ),
    Metric(
        name="bits_per_dim",
        unit="bits/pixel",
        direction="lower",
        low=0.0,
        high=math.inf,
        source="Salimans, Karpathy, Chen & Kingma 2017",
        fools=("a scale fitted on the images that are scored; large flat backgrounds, which cost next to nothing"),
        where="likelihood",
        label="bits per dim",
        about=(
            "Discretised-logistic NLL on 256 levels plus the rate, per pixel, one scale fitted per "
            "model: the yardstick across losses."
        ),
    ),
    Metric(
        name="neg_iwae",
        unit="nats",
        direction="lower",
        low=-math.inf,
        high=math.inf,
        source="Burda, Grosse & Salakhutdinov 2016",
        fools="too few draws (settled only where the IWAE gap is below .05 nats), and few images: see the subset",
        where="likelihood",
        label="−IWAE",
        about="Importance-weighted bound on −log p of a subset, binarised: not to be subtracted from −ELBO.",
    ),
    Metric(
        name="iwae_gap",
        unit="nats",
        direction="lower",
        low=0.0,
        high=math.inf,
        source="L_K − L_K/2, K being all draws",
        fools="a posterior that misses a mode altogether: no number of draws finds it",
        where="likelihood",
        label="IWAE gap",
        about="What the last doubling of the draws still bought: the gate of −IWAE.",
    ),
    Metric(
        name="iwae_log_ess",
        unit="nats",
        direction="higher",
        low=-math.inf,
        high=0.0,
        source="(Σ w)² / Σ w², Kong 1992",
        fools="a posterior that misses a mode altogether",
        where="likelihood",
        label="IWAE log ESS/K",
        about="Log of the effective share of the importance draws: 0 where the posterior is exact.",
    ),
)
LATENTS: Final = (
    Metric(
        name="active_units",
        unit="units",
        direction="none",
        low=0.0,
        high=math.inf,
        source="Burda, Grosse & Salakhutdinov 2016",
        fools="the cut-off .01; a latent that is active and useless",
        where="latents",
        label="active units",
        about="Latents whose posterior mean varies over images by more than .01.",
    ),
    Metric(
        name="aggregate_variance",
        unit="1",
        direction="closer to 1",
        low=0.0,
        high=math.inf,
        source="Var(mu_d) + E sigma_d², the prior's being 1",
        fools="units that compensate each other; a wrong shape of the right variance",
        where="latents",
        label="aggregate variance",
        about="Var(mu) + E sigma² over images, averaged over the active units: 1 where they fill the prior.",
    ),
    Metric(
        name="collapsed",
        unit="1",
        direction="lower",
        low=0.0,
        high=1.0,
        source="rate < .1 nat",
        fools="one unit barely used",
        where="latents",
        label="collapsed",
        about="1 if the rate is below .1 nat per image: the latents say nothing.",
    ),
)
SAMPLES: Final = (
    Metric(
        name="sample_acutance",
        unit="1/px",
        direction="none",
        low=0.0,
        high=math.sqrt(2.0),
        source="Higgins & Jones 1952, Perrin 1960; here in two dimensions and linear intensity",
        fools="samples that are sharp and no digits: read with KID and coverage",
        where="samples",
        label="acutance of samples",
        about="Acutance of decoder means of prior draws: read against the originals'.",
    ),
    Metric(
        name="sample_sigma_eq",
        unit="px",
        direction="lower",
        low=0.0,
        high=7.97,
        source="closed form of a blurred, pixel-integrated step",
        fools="over-sharpening, which reads 0 as a pixel-sharp edge does",
        where="samples",
        label="equivalent blur of samples",
        about="The Gaussian blur whose ideal edge has the samples' acutance.",
    ),
    Metric(
        name="sample_n_blank",
        unit="images",
        direction="lower",
        low=0.0,
        high=math.inf,
        source="density range below .001, or no gradient above the threshold",
        fools="nothing: without it, those means hide the failures",
        where="samples",
        label="blank samples",
        about="Samples without any edge, left out of the means of sharpness.",
    ),
    Metric(
        name="kid",
        unit="1",
        direction="lower",
        low=-math.inf,
        high=math.inf,
        source="Bińkowski, Sutherland, Arbel & Gretton 2018",
        fools="samples copied from the training set; whatever the classifier does not look at",
        where="samples",
        label="KID",
        about=(
            "Unbiased squared MMD, cubic kernel, between classifier features of samples and of test "
            "images; about 0 where they agree."
        ),
    ),
    Metric(
        name="frechet",
        unit="1",
        direction="lower",
        low=0.0,
        high=math.inf,
        source="Heusel et al. 2017, on features of the set's own classifier",
        fools=(
            "the number of images: its bias at 64 features is .22 at 10,000 and 2.2 at 1,000; equal "
            "moments of unequal shapes"
        ),
        where="samples",
        label="Fréchet distance",
        about="Distance between Gaussians fitted to classifier features of samples and of test images.",
    ),
    Metric(
        name="coverage",
        unit="1",
        direction="higher",
        low=0.0,
        high=1.0,
        source="Naeem, Oh, Uh, Choi & Yoo 2020",
        fools="memorised training images; the number of images",
        where="samples",
        label="coverage",
        about=(
            "Share of test images with a sample among as near as their fifth neighbour: .969 where the "
            "distributions are the same."
        ),
    ),
    Metric(
        name="class_entropy",
        unit="nats",
        direction="higher",
        low=0.0,
        high=math.inf,
        source="Shannon entropy of the classifier's counts",
        fools="illegible samples that happen to be read evenly",
        where="samples",
        label="class entropy",
        about="Entropy of the classes that samples are read as: ln 10 = 2.303 for ten equal shares.",
    ),
    Metric(
        name="class_accuracy",
        unit="1",
        direction="higher",
        low=0.0,
        high=1.0,
        source="accuracy of a CNN trained once on the training images",
        fools="one clear picture per class, without variety",
        where="samples",
        label="class accuracy",
        about="Share of a conditional model's samples that are read as the class asked for.",
    ),
)
