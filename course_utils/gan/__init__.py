"""Generative adversarial networks: the two players, their game, and measures of the outcome."""

# ruff: noqa: F401, I001 (what is imported from here, in lines as they fit)
from course_utils.gan.measures import PAPERS_SIGMAS, SIGMAS, choose_sigma, parzen_log_likelihood
from course_utils.gan.measures import features, frechet_distance
from course_utils.gan.networks import Generator, maxout_discriminator, rectifier_generator
from course_utils.gan.networks import draw_noise, sample
from course_utils.gan.shipped import load_gan, load_gan_record
from course_utils.gan.theory import game_value, jensen_shannon
from course_utils.gan.training import discriminator_loss, generator_loss, train_gan

# The site's page has the functions and classes that stand in `__all__`.
__all__ = [n for n, it in [*vars().items()] if getattr(it, "__module__", "").startswith(__name__)]
