"""What an attack returns, and how far its images are from the originals."""

from dataclasses import dataclass

from torch import Tensor

from course_utils.checks import EVERYWHERE, check_images


@dataclass(frozen=True)
class AttackResult:
    """Adversarial images and how far they are from the originals.

    Attributes:
        images: the adversarial images (N, ...), every pixel in [0, 1].
        perturbation: r = images - originals, the same shape.
        distortion: root mean square of r per pixel, float (N,), in pixel units. Szegedy et al.
            2013, section 4.2.
        success: whether the model gives an image its target, bool (N,), decided by one last
            forward pass on `images`.
        evaluations: how often the model's loss and gradient were computed, int64 (N,).
    """

    images: Tensor
    perturbation: Tensor
    distortion: Tensor
    success: Tensor
    evaluations: Tensor


def distortion(perturbation: Tensor) -> Tensor:
    """Return the root mean square per pixel (N,) of perturbations (N, ...), in pixel units."""
    check_images(perturbation, name="perturbation", bounds=EVERYWHERE)
    return perturbation.flatten(1).square().mean(1).sqrt()
