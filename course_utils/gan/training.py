"""The minimax game: both losses, and training by them."""

import copy
from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from course_utils.checks import check_counts, check_images, check_model, check_sizes
from course_utils.convex import check_finite
from course_utils.device import seeded
from course_utils.gan.networks import Generator, uniform
from course_utils.inference import batches
from course_utils.models import eval_mode
from course_utils.training import copy_of_state


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return -mean log D(x) - mean log(1 - D(G(z))): what D minimises, -V of the paper.

    It is a scalar, at least 0; 2 log 2 where D cannot tell them apart. real, fake: D's logits of
    real images and of generated ones, of any shape, not empty.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), equation 1.
    """
    _check_logits(real=real, fake=fake)
    # log D = logsigmoid(a) and log(1 - D) = logsigmoid(-a): no logarithm of a rounded 0.
    return -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()


def generator_loss(fake: Tensor, *, saturating: bool = False) -> Tensor:
    """Return what G minimises, a scalar, given D's logits of generated images, not empty.

    saturating: True for mean log(1 - D(G(z))), the minimax game's own, whose gradient fades where
    D is sure; False for -mean log D(G(z)), which the paper trains with.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), section 3.
    """
    _check_logits(fake=fake)
    return F.logsigmoid(-fake).mean() if saturating else -F.logsigmoid(fake).mean()


def _check_logits(**logits: Tensor) -> None:
    for name, values in logits.items():
        if not isinstance(values, Tensor) or not values.is_floating_point():
            kind = getattr(values, "dtype", type(values).__name__)
            raise TypeError(f"{name}: got {kind}, expected a tensor of floating point logits")
        if not values.numel():
            raise ValueError(f"{name}: got shape {tuple(values.shape)}, expected a logit or more")


def train_gan(
    generator: Generator,
    discriminator: nn.Module,
    images: Tensor,
    *,
    epochs: int = 10,
    batch_size: int = 100,
    learning_rate: float | tuple[float, float] = (1e-3, 3e-4),
    adam: bool = True,
    saturating: bool = False,
    generator_steps: int = 1,
    eps: float = 0.0,
    average: float = 0.998,
    every: int = 100,
    watch: Callable[[int], object] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Train both networks in place, one against the other.

    In each round D takes a step, on another batch of real images and as many generated ones (the
    paper's k is 1), and then G takes its steps, each on fresh noise. The game is played by a copy
    of G; the generator itself follows as the running mean of that copy's weights, which makes
    cleaner images; batch normalisation is measured anew for these weights, on a batch each round.
    Ctrl-C, or any other error, leaves both networks as they stood at the last row of the report.

    Args:
        generator: from noise (N, generator.noise), uniform in [-1, 1], to images (N, ...).
        discriminator: from images to logits (N, 1) or (N,); it sees real and generated ones in one
            batch, so it should not normalise by batch.
        images: the real ones (N, ...), float32, in [0, 1], on the networks' device.
        epochs, every: passes of D through the images; rounds that make up a row of the report.
        batch_size: real images, and generated ones, of one step; an epoch's last batch has what
            is left, and a single image left goes with the batch before.
        learning_rate: of generator and discriminator, or one for both.
        adam: steps by Adam with beta1 = 0.5; False for plain gradient descent.
        saturating, generator_steps: which loss G minimises, see `generator_loss`, and how often.
        eps: above 0, D is trained adversarially: half of its loss is on the batch moved by eps, in
            pixel units, along the sign of the loss's gradient (Lecture 4's step), within [0, 1].
        average: how much of the running mean stays in each round, at least 0 and below 1; with 0
            the generator is the copy that plays.
        watch: called after each row, in train mode, with the number of rounds so far.
        seed: of noise, dropout and the order in which the images are seen. progress: show a bar?

    Returns one row for every `every` rounds, the last of fewer: "round", "epoch" (with its
    fraction), and means over these rounds: "discriminator loss", "generator loss", "real" (D's
    output on real images, 0 to 1) and "fake" (on generated ones, both before D's step). Raises
    TypeError, ValueError where an argument is not as described, FloatingPointError where a loss is
    no longer finite.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), algorithm 1. Adam and its beta1: Radford,
    Metz and Chintala 2015 (arXiv:1511.06434), section 3. The mean of the weights: Yazıcı et al.
    2018 (arXiv:1806.04498).
    """
    rates = learning_rate if isinstance(learning_rate, tuple) else (learning_rate,) * 2
    if len(rates) != 2 or not all(0 < rate < float("inf") for rate in rates):
        raise ValueError(f"learning_rate: got {learning_rate!r}, expected a number above 0, or two")
    check_counts(epochs=epochs, batch_size=batch_size, generator_steps=generator_steps, every=every)
    check_sizes(eps=eps)
    if not 0 <= average < 1:
        raise ValueError(f"average: got {average!r}, expected a share in [0, 1)")
    _check_players(generator, discriminator, images)
    player = copy.deepcopy(generator).train()
    optimizer = partial(torch.optim.Adam, betas=(0.5, 0.999)) if adam else torch.optim.SGD
    of_player = optimizer(player.parameters(), lr=rates[0], fused=True)
    of_discriminator = optimizer(discriminator.parameters(), lr=rates[1], fused=True)
    random = torch.Generator().manual_seed(seed)
    orders = _orders(len(images), batch_size, random)
    per_epoch = len([*batches(images, batch_size)])
    rounds = epochs * per_epoch
    noise = lambda count: uniform(count, generator.noise, random).to(images)
    judged = lambda both: discriminator(both).chunk(2)  # in one pass: two would cost more

    def discriminator_step(batch: Tensor) -> dict[str, float]:
        with torch.no_grad():
            both = torch.cat([images[batch], player(noise(len(batch)))])
        real, fake = judged(both.requires_grad_(eps > 0))
        loss = discriminator_loss(real, fake)
        if eps:
            (slope,) = torch.autograd.grad(loss, both, retain_graph=True)
            moved = (both.detach() + eps * slope.sign()).clamp_(0, 1)
            loss = (loss + discriminator_loss(*judged(moved))) / 2
        _step(of_discriminator, loss)
        of_real, of_fake = (logits.detach().sigmoid().mean().item() for logits in (real, fake))
        return {"discriminator loss": loss.item(), "real": of_real, "fake": of_fake}

    def generator_step() -> dict[str, float]:
        loss = generator_loss(discriminator(player(noise(batch_size))), saturating=saturating)
        _step(of_player, loss)
        return {"generator loss": loss.item()}

    players = nn.ModuleList([generator, discriminator])
    history, since, saved = [], [], copy_of_state(players)
    bar = tqdm(total=rounds, desc="training", unit="round", disable=not progress)
    with bar, seeded(seed, images.device), eval_mode(players, training=True):
        try:
            for number in range(1, rounds + 1):
                steps = [discriminator_step(next(orders).to(images.device))]
                steps += [generator_step() for _ in range(generator_steps)]
                for loss in (loss for step in steps for loss in step.values()):
                    check_finite(loss, f"round {number}", "learning_rate, or another seed")
                since += steps
                _follow(generator, player, average, noise(batch_size))
                bar.update()
                if number % every and number < rounds:
                    continue
                means = pd.DataFrame(since).mean().to_dict()
                history.append({"round": number, "epoch": number / per_epoch, **means})
                since, saved = [], copy_of_state(players)
                bar.set_postfix_str(f"D(x) {means['real']:.2f}, D(G(z)) {means['fake']:.2f}")
                if watch is not None:
                    watch(number)
        except BaseException:
            players.load_state_dict(saved)
            raise
    return pd.DataFrame(history)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Move one network's parameters down its loss; the other's gets no gradient."""
    loss.backward(inputs=optimizer.param_groups[0]["params"])
    optimizer.step()
    optimizer.zero_grad()


@torch.no_grad()
def _follow(generator: nn.Module, player: nn.Module, average: float, noise: Tensor) -> None:
    """Move the generator's weights towards the player's, and measure its normalisation anew."""
    for mean, last in zip(generator.parameters(), player.parameters()):
        mean.lerp_(last, 1 - average)
    # Mean weights spread the units less than the player's do: its moments would not fit them.
    generator(noise)


def _orders(count: int, size: int, random: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of one batch after the other, without end, each epoch in another order."""
    while True:
        yield from batches(torch.randperm(count, generator=random), size)


def _check_players(generator: Generator, discriminator: nn.Module, images: Tensor) -> None:
    """Refuse images or networks that do not fit together, before any training."""
    check_images(images)
    check_model(discriminator, name="discriminator")
    if not isinstance(generator, Generator):
        raise TypeError(f"generator: got {type(generator).__name__}, expected a Generator")
    with eval_mode(generator), eval_mode(discriminator), torch.no_grad():
        made = generator(torch.zeros(1, generator.noise).to(images))
        got, wanted = tuple(made.shape[1:]), tuple(images.shape[1:])
        if got != wanted:
            raise ValueError(f"generator: makes images of shape {got}, expected {wanted}")
        logits = discriminator(made)
    if logits.numel() != 1:
        got = f"shape {tuple(logits.shape)} for one image"
        raise ValueError(f"discriminator: gave {got}, expected one logit")
