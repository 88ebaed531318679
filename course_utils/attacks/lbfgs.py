"""Box-constrained L-BFGS: the smallest change of an image that gives it another label.

Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.1: minimise ||r||_2 subject to
f(x + r) = l and x + r in [0, 1]^m, by minimising c ||r||^2 + loss(x + r, l) in the box and
searching over c. Here every image has its own c, and all images advance together.

That finds where an image crosses into its target's region (stage 1). How near one can get is
then a problem with one constraint, and is solved as such, by sequential quadratic programming
(stage 2), which the paper does not have: Nocedal and Wright, Numerical Optimization, chapter 18.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils import inference
from course_utils.attacks.quasi_newton import InverseHessian, Memory
from course_utils.checks import EVERYWHERE, check_attack, check_counts, check_images, check_labels

# All were chosen on the deck's networks, by evaluations against distortion. Of both stages:
SLACK = 0.1  # share by which a step may raise what it minimises: strict descent takes longer
SHORTER = 0.35  # of a step that was refused, for the next one
HUGE = 1e12  # above any weight that helps, below float32's overflow
# Sizes of logits, as shares of an image's margin at the start, so that their scale is no matter:
ROUGH = 1e-3  # of the largest logit, which stands for the margin where that is smaller or none
DEPTH = 1e-4  # how far behind the boundary a step aims, so that rounding does not undo it
ROUNDING = 1e-5  # of the largest logit: float32 knows logits no finer
BESIDE = 0.03  # what counts as being at the boundary
# Of stage 1.
FIRST = 0.25  # of the way that the slope says it is to the boundary, for the first step
LOWER_C = 0.75  # c falls by this factor at each step, until the image has its target
BOLDLY = 0.3  # the same of later starts, which so come to other places of the boundary
# Of stage 2. The rivals' maximum is smoothed, since Newton steps need a slope without jumps:
SHARPNESS, SHARPEST = 40, 320  # over the margin: at first, and at last
SHARPEN = 1.4  # growth of the sharpness at each step beside the boundary
JUMP = 4  # most that a Newton step for c may multiply or divide it by: far from linear it errs
PRICE = 1.5  # of being outside, over the multiplier: above 1, the merit's minimum is the solution
CHEAPER = 0.95  # by which the price falls, a step, where the multiplier has fallen
PATIENCE = 4  # adversarial steps beside the boundary without a gain, before an image is done
GAIN = 1.5e-3  # share of ||r||^2 that counts as a gain


@dataclass(frozen=True)
class AttackResult:
    """Adversarial images and how far they are from the originals."""

    images: Tensor  # (N, ...), every pixel in [0, 1]
    perturbation: Tensor  # r = images - originals, the same shape
    distortion: Tensor  # float (N,): root mean square of r per pixel (the paper's section 4.2)
    success: Tensor  # bool (N,): whether the model gives `images` their targets, asked once more
    evaluations: Tensor  # int64 (N,): how often the model's loss and gradient were computed


def distortion(perturbation: Tensor) -> Tensor:
    """Return the root mean square per pixel (N,) of perturbations (N, ...), in pixel units."""
    check_images(perturbation, name="perturbation", bounds=EVERYWHERE)
    return perturbation.flatten(1).square().mean(1).sqrt()


def lbfgs_attack(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    max_steps: int = 100,
    starts: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Find, for each image, a small r such that the model gives x + r the target label.

    Two stages, both on 1/2 ||r||^2 + w * loss with w = 1 / (2 c), both by L-BFGS steps that
    stay in the box:

    1. c starts large, so that r stays near 0, and falls at each step until the image crosses
       into its target's region: near the largest c whose minimiser is adversarial. The loss is
       the cross-entropy, as in the paper.
    2. From there on by sequential quadratic programming. The loss is now the margin, the best
       rival's logit less the target's (the maximum over rivals smoothed). Each step minimises
       the quadratic model of 1/2 ||r||^2 + w * margin where the linearised margin is zero; w is
       the multiplier of that condition, found by Newton's method.

    Args:
        model, images: as in `fgsm`, the pixels in [0, 1].
        targets: int64 (N,), the label wanted for each image.
        max_steps: of either stage, for an image and a start.
        starts: how often to start: first from the image, then from it with Gaussian noise as large
            as its r, with a c that falls faster; the smallest r is kept. Two are worth their time
            where a network is not smooth (rectifiers, max-pooling, RBF).
        seed: of that noise. progress: show a bar?
        batch_size: images that advance together; None for as many as fit the device's memory. One
            that is done goes on while few of them are: r may vary with its company by a percent.

    Returns an AttackResult, detached. An image that already has its target comes back as it is, at
    no evaluations; so does one for which nothing was found, with success False. Raises TypeError
    or ValueError where an argument is not as described, or the model's logits are not finite.
    """
    check_attack(model, images, targets, name="targets")
    check_counts(max_steps=max_steps, starts=starts)
    with inference.differentiable(model) as model:
        # Copies: inference mode's own tensors do not take part in gradients.
        images, targets = images.detach().clone(), targets.to(images.device, copy=True)
        logits = inference.logits_of(model, images, batch_size=batch_size).to(images)
        check_labels(targets, name="targets", classes=logits.shape[1])
        adversarial, evaluations = images.clone(), torch.zeros_like(targets)
        todo = (logits.argmax(1) != targets).nonzero()[:, 0]
        x, lot = images[todo], torch.Generator().manual_seed(seed)
        least, total = torch.zeros_like(x.flatten(1)[:, 0]), len(todo) * starts
        with tqdm(total=total, desc="L-BFGS attack", unit="image", disable=not progress) as bar:
            for again in range(starts) if len(todo) else ():
                lower_c = BOLDLY if again else LOWER_C
                attack = partial(_smallest_perturbation, model, max_steps, lower_c, bar)
                start = torch.zeros_like(x)
                if again:
                    noise = torch.randn(x.shape, generator=lot).to(x)
                    start = (x + inference.per_image(least, x) * noise).clamp(0, 1) - x
                r, spent = inference.in_batches(
                    attack, x, targets[todo], logits[todo], start, batch_size=batch_size
                )
                evaluations[todo] += spent
                better = r.flatten(1).any(1) & ((distortion(r) < least) | (least == 0))
                least = torch.where(better, distortion(r), least)
                adversarial[todo[better]] = (x + r)[better].clamp(0, 1)
        success = inference.predict(model, adversarial, batch_size=batch_size) == targets
    r = adversarial - images
    return AttackResult(adversarial, r, distortion(r), success, evaluations)


def _smallest_perturbation(model, max_steps, lower_c, bar, images, targets, logits, start):
    """Return r like `images`, zero where nothing was found, and the evaluations it took."""
    best, evaluations = torch.zeros_like(images.flatten(1)), torch.zeros_like(targets)
    weight = reach = torch.zeros_like(best[:, 0])
    for crossed in (False, True):
        rows = best.any(1).nonzero()[:, 0] if crossed else torch.arange(len(best)).to(targets)
        if not len(rows):
            break
        r = best if crossed else start.flatten(1)
        search = _Search(model, images, targets, logits, r, weight, reach, rows, crossed=crossed)
        reach = reach if crossed else search.reach
        towards_the_target = partial(search.towards_the_target, lower_c)
        step = search.along_the_boundary if crossed else towards_the_target
        for _ in range(max_steps):
            trial, found, done = step()  # trial r (B, n), which of them to keep, and who is done
            best[search.row[found]] = trial[found]
            weight[search.row[found]] = search.weight[found]
            evaluations[search.row] += 1
            # Taking images out costs a copy of the rest, so wait until a quarter is done.
            if 4 * done.sum() >= len(done):
                search.keep((~done).nonzero()[:, 0])
            if not len(search.row):
                break
        evaluations[rows] += 1  # the one with which the stage began
    bar.update(len(images))
    return best.view_as(images), evaluations


def _squares(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1).square()


class _Search:
    """The images that are still under way: every tensor has one row for each of them."""

    def __init__(self, model, images, targets, logits, r, weight, reach, rows, *, crossed: bool):
        self.model, self.shape, self.crossed = model, images.shape[1:], crossed
        self.row, self.target = rows, targets[rows]
        x, logits = images.flatten(1)[rows], logits[rows]
        self.lowest, self.highest = -x, 1 - x  # of r
        self.state = torch.stack([r[rows], torch.zeros_like(x)], 1)  # r, and the gradient
        self.trial = torch.empty_like(self.state)
        self.memory = Memory(self.state)
        self.reach = reach[rows]  # the margin at the start, or what stands for it
        self.sharpness = SHARPNESS / self.reach.clamp_min(1 / HUGE)  # stage 1 does without
        self.margin, self.loss = self.evaluate(self.state)
        largest = logits.abs().amax(1)
        if crossed:
            # On the boundary the margin's slope is about twice the cross-entropy's.
            self.weight = weight[rows] / 2
        else:
            slope, reach = self.state[:, 1], torch.maximum(self.margin, ROUGH * largest)
            # Where all logits are zero: a share of what the slope can change them by in the box.
            self.reach = torch.where(reach > 0, reach, ROUGH * slope.abs().sum(1))
            # The first step goes a quarter of the way to where the linearised loss is what it
            # would be if the target's logit rose by the margin.
            raised = logits.scatter_add(1, self.target[:, None], self.reach[:, None])
            fall = self.loss - nn.functional.cross_entropy(raised, self.target, reduction="none")
            self.weight = (FIRST * fall / _squares(slope).clamp_min(1e-30)).clamp(0, HUGE)
        self.sharpest = SHARPEST / self.reach
        self.depth = torch.maximum(DEPTH * self.reach, ROUNDING * largest)
        self.beside = torch.maximum(BESIDE * self.reach, self.depth)
        self.scale = torch.ones_like(self.margin)  # of the next step: each image's line search
        # Of stage 2: the price of being outside, ||r||^2 now and at its smallest, idle steps.
        self.price, self.idle = PRICE * self.weight, torch.zeros_like(rows)
        self.size = self.least = _squares(self.state[:, 0])

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        for part in (self, self.memory):
            for name, value in vars(part).items():
                if isinstance(value, Tensor):
                    setattr(part, name, value.index_select(0, rows))

    def evaluate(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margin (B,) and the loss (B,) at x + r; write the gradient into `state`."""
        with torch.enable_grad():
            r = state[:, 0].detach().requires_grad_()
            logits = self.model((r - self.lowest).view(-1, *self.shape)).to(r)
            wanted, rivals = inference.own_and_rivals(logits.detach(), self.target)
            if self.crossed:
                sharp = self.sharpness[:, None] * rivals
                loss, slopes = sharp.logsumexp(1) / self.sharpness - wanted, sharp.softmax(1)
            else:
                loss, slopes = logits.detach().logsumexp(1) - wanted, logits.detach().softmax(1)
            slopes.scatter_add_(1, self.target[:, None], -torch.ones_like(slopes[:, :1]))
            state[:, 1] = inference.gradient_in(r, logits, logits, slopes)
        return rivals.amax(1) - wanted, loss

    def towards_the_target(self, lower_c: float) -> tuple[Tensor, Tensor, Tensor]:
        """Stage 1: step with the c of the moment, then lower c."""
        direction = self.quasi_newton().direction(self.weight)
        self.try_step(direction, lambda size, loss: 0.5 * size + self.weight * loss)
        self.weight = (self.weight / lower_c).clamp_max(HUGE)
        found = self.margin < 0
        return self.state[:, 0], found, found

    def along_the_boundary(self) -> tuple[Tensor, Tensor, Tensor]:
        """Stage 2, SQP: minimise the quadratic model where loss + gradient'd = -depth."""
        model = self.quasi_newton()
        gg, gr = model.products()
        newton = (self.loss + self.depth - gr) / gg.clamp_min(1e-30)
        self.weight = newton.clamp(self.weight / JUMP, JUMP * self.weight)
        self.price = torch.maximum(CHEAPER * self.price, PRICE * self.weight)
        merit = lambda size, loss: 0.5 * size + self.price * (loss + self.depth).clamp_min(0)
        trial, size, margin, loss = self.try_step(model.direction(self.weight), merit)
        # Behind the boundary by a tenth of what is aimed at, at the least.
        record = (margin < -0.1 * self.depth) & (size < self.least)
        gained = record & (size < (1 - GAIN) * self.least)
        beside = (loss + self.depth).abs() < self.beside
        self.idle = torch.where(gained, 0, self.idle + (beside & (margin < 0)))
        sharper = torch.minimum(SHARPEN * self.sharpness, self.sharpest)
        self.sharpness = torch.where(beside, sharper, self.sharpness)
        self.least = torch.where(record, size, self.least)
        return trial, record, self.idle >= PATIENCE

    def quasi_newton(self) -> InverseHessian:
        """Return the model of 1/2 ||r||^2 + weight * loss on the pixels that are free to move."""
        r, gradient = self.state.unbind(1)
        slope = torch.addcmul(r, self.weight[:, None], gradient)
        # Held: a long step down the slope leaves the pixel at the bound where it is.
        moved = torch.add(r, slope, alpha=-1e6, out=slope).clamp_(self.lowest, self.highest)
        return InverseHessian(self.memory, self.weight, torch.ne(moved, r, out=moved), self.state)

    def try_step(self, direction: Tensor, merit: Callable) -> tuple[Tensor, ...]:
        """Step into the box; stay, with a shorter step next time, where merit(size, loss) rises.

        A step that is refused still teaches the memory something. Returns the trial r, its size
        ||r||^2, its margin and its loss.
        """
        trial = self.trial[:, 0]
        torch.addcmul(self.state[:, 0], self.scale[:, None], direction, out=trial)
        trial.clamp_(self.lowest, self.highest)
        margin, loss = self.evaluate(self.trial)
        finite = self.trial[:, 1].sum(1).isfinite() & loss.isfinite()
        self.trial[~finite] = self.state[~finite]
        self.memory.push(self.trial, self.state)
        size = _squares(trial)
        taken = finite & (merit(size, loss) <= (1 + SLACK) * merit(self.size, self.loss))
        self.size = torch.where(taken, size, self.size)
        self.scale = torch.where(taken, 1.0, SHORTER * self.scale)
        self.margin = torch.where(taken, margin, self.margin)
        self.loss = torch.where(taken, loss, self.loss)
        # lerp with weights 0 and 1 is exact, and many times as fast as torch.where.
        self.state.lerp_(self.trial, taken.to(trial)[:, None, None])
        return trial, size, margin, loss
