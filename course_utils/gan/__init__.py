"""Generative adversarial networks: the two players, their game, and measures of the outcome."""

from course_utils.gan.measures import (
    PAPERS_SIGMAS,
    SIGMAS,
    choose_sigma,
    features,
    frechet_distance,
    parzen_log_likelihood,
)
from course_utils.gan.networks import (
    Generator,
    draw_noise,
    maxout_discriminator,
    rectifier_generator,
    sample,
)
from course_utils.gan.shipped import load_gan, load_gan_record
from course_utils.gan.theory import game_value, jensen_shannon
from course_utils.gan.training import discriminator_loss, generator_loss, train_gan

__all__ = ["PAPERS_SIGMAS", "SIGMAS", "Generator", "choose_sigma", "discriminator_loss",
           "draw_noise", "features", "frechet_distance", "game_value", "generator_loss",
           "jensen_shannon", "load_gan", "load_gan_record", "maxout_discriminator",
           "parzen_log_likelihood", "rectifier_generator", "sample", "train_gan"]
