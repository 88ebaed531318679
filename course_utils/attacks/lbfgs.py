"""Box-constrained L-BFGS: the smallest change of an image that gives it another label.

Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.1: minimise ||r||_2 subject to
f(x + r) = l and x + r in [0, 1]^m, by minimising c ||r||^2 + loss(x + r, l) in the box and
searching over c. Here every image has its own c, and all images advance together.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils.attacks.checks import AttackResult, first_logits, logits_of
from course_utils.attacks.quasi_newton import Memory, Model
from course_utils.checks import check_counts, check_images, check_labels, check_model
from course_utils.models import eval_mode

LOWER_C = 0.75  # c falls by this factor at each step, until the image has its target
SLACK = 0.1  # share by which a step may raise what it minimises and still be taken
JUMP = 4  # most that a Newton step for c may multiply or divide it by
SHARPEN = 1.4  # growth of the smooth maximum's sharpness, a step beside the boundary
PATIENCE = 4  # adversarial steps beside the boundary without a gain, before an image is done
GAIN = 1.5e-3  # share of ||r||^2 that counts as a gain


def lbfgs_attack(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    max_steps: int = 100,
    chunk: int = 1000,
    progress: bool = False,
) -> AttackResult:
    """Find, for each image, a small r such that the model gives x + r the target label.

    Two stages, both on 1/2 ||r||^2 + w * loss with w = 1 / (2 c), both by L-BFGS steps that
    stay in the box:

    1. c starts large, so that r stays near 0, and falls at each step until the image crosses
       into its target's region: near the largest c whose minimiser is adversarial. The loss is
       the cross-entropy, as in the paper.
    2. From there c is found by Newton's method. The loss is now the margin, the best rival's
       logit less the target's (the maximum over rivals smoothed). Each step minimises the
       quadratic model of 1/2 ||r||^2 + w * margin where the linearised margin is zero; w is the
       multiplier of that condition.

    Args:
        model: gives logits (N, k) for images (N, ...). Its mode and gradients are left alone.
        images: float (N, ...) in [0, 1], on the model's device.
        targets: int64 (N,), the label wanted for each image.
        max_steps: of either stage, for an image.
        chunk: images that advance together; memory grows with it.
        progress: show a bar.

    Returns:
        An AttackResult, detached. An image that already has its target comes back as it is, at
        no evaluations; so does one for which nothing was found, with success False.

    Raises:
        TypeError, ValueError: an argument is not as described above, or the model gives logits
            that are not finite.
    """
    check_model(model)
    check_images(images)
    check_labels(targets, images, name="targets")
    check_counts(max_steps=max_steps, chunk=chunk)
    with torch.inference_mode(False), eval_mode(model):
        # Copies: inference mode's own tensors do not take part in gradients.
        images, targets = images.detach().clone(), targets.to(images.device, copy=True)
        logits = first_logits(model, images, targets, name="targets")
        adversarial = images.clone()
        evaluations = torch.zeros_like(targets)
        todo = (logits.argmax(1) != targets).nonzero()[:, 0]
        with tqdm(total=len(todo), desc="L-BFGS attack", unit="image", disable=not progress) as bar:
            for rows in todo.split(chunk):
                r, evaluations[rows] = _smallest_perturbation(
                    model, images[rows], targets[rows], logits[rows], max_steps
                )
                adversarial[rows] = (images[rows] + r).clamp(0, 1)
                bar.update(len(rows))
        success = logits_of(model, adversarial).argmax(1) == targets
    perturbation = adversarial - images
    distortion = perturbation.flatten(1).square().mean(1).sqrt()
    return AttackResult(adversarial, perturbation, distortion, success, evaluations)


def _smallest_perturbation(
    model: nn.Module, images: Tensor, targets: Tensor, logits: Tensor, max_steps: int
) -> tuple[Tensor, Tensor]:
    """Return r like `images`, zero where nothing was found, and the evaluations it took."""
    best = torch.zeros_like(images.flatten(1))
    evaluations = torch.zeros_like(targets)
    weight = torch.zeros_like(best[:, 0])
    for crossed in (False, True):
        rows = best.any(1).nonzero()[:, 0] if crossed else torch.arange(len(best)).to(targets)
        if not len(rows):
            break
        search = _Search(model, images, targets, logits, best, weight, rows, crossed=crossed)
        for _ in range(max_steps):
            trial, found, done = search.step()
            best[search.row[found]] = trial[found]
            weight[search.row[found]] = search.weight[found]
            evaluations[search.row] += 1
            # Taking images out costs a copy of the rest, so wait until a quarter is done.
            if 4 * done.sum() >= len(done):
                search.keep((~done).nonzero()[:, 0])
            if not len(search.row):
                break
        evaluations[rows] += 1  # the one with which the stage began
    return best.view_as(images), evaluations


def _squares(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1).square()


def _margin(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the margin (B,), the target's logit (B,) and the rivals' (B, k), its own at -inf."""
    wanted = logits.gather(1, targets[:, None])
    rivals = logits.scatter(1, targets[:, None], -torch.inf)
    return rivals.amax(1) - wanted[:, 0], wanted[:, 0], rivals


class _Search:
    """The images that are still under way: every tensor has one row for each of them."""

    def __init__(self, model, images, targets, logits, r, weight, rows, *, crossed: bool):
        self.model, self.shape, self.crossed = model, images.shape[1:], crossed
        self.row, self.target = rows, targets[rows]
        x = images.flatten(1)[rows]
        self.lowest, self.highest = -x, 1 - x  # of r
        self.state = torch.stack([r[rows], torch.zeros_like(x)], 1)  # r, and the gradient
        self.trial = torch.empty_like(self.state)
        self.memory = Memory(self.state)
        # Measured against the margin at the start, so that scaling the logits changes nothing;
        # but never finer than float32 computes them.
        margin, coarse = _margin(logits, targets)[0][rows], logits[rows].abs().amax(1)
        self.sharpness = 40 / torch.maximum(margin, 1e-3 * coarse)
        self.sharpest = 8 * self.sharpness
        self.depth = torch.maximum(1e-4 * margin, 1e-5 * coarse)  # aimed at, behind the boundary
        self.beside = torch.maximum(0.03 * margin, self.depth)
        self.scale = torch.ones_like(margin)  # of the next step: each image's own line search
        self.margin, self.loss = self.evaluate(self.state)
        if crossed:
            # On the boundary the margin's slope is about twice the cross-entropy's.
            self.weight = weight[rows] / 2
        else:
            # The first step goes a quarter of the way to where the linearised loss is what it
            # would be if the target's logit rose by the margin.
            raised = logits[rows].scatter_add(1, self.target[:, None], margin[:, None])
            fall = self.loss - nn.functional.cross_entropy(raised, self.target, reduction="none")
            squares = _squares(self.state[:, 1]).clamp_min(1e-30)
            self.weight = (fall / (4 * squares)).clamp(0, 1e12)
        # Of stage 2: the price of being outside, ||r||^2 now and at its smallest, idle steps.
        self.price = 1.5 * self.weight
        self.size = _squares(self.state[:, 0])
        self.least = self.size
        self.idle = torch.zeros_like(rows)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.trial = self.trial[: len(rows)]
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and name != "trial":
                setattr(self, name, value.index_select(0, rows))
        self.memory.keep(rows)

    def evaluate(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margin (B,) and the loss (B,) at x + r; write the gradient into `state`."""
        with torch.enable_grad():
            points = (state[:, 0] - self.lowest).view(-1, *self.shape).requires_grad_()
            logits = self.model(points)
            margin, wanted, rivals = _margin(logits.detach(), self.target)
            if self.crossed:
                sharp = self.sharpness[:, None] * rivals
                loss, slopes = sharp.logsumexp(1) / self.sharpness - wanted, sharp.softmax(1)
            else:
                loss = logits.detach().logsumexp(1) - wanted
                slopes = logits.detach().softmax(1)
            slopes.scatter_add_(1, self.target[:, None], -torch.ones_like(slopes[:, :1]))
            if not logits.requires_grad:
                raise ValueError("model: its logits carry no gradient back to the images")
            (gradient,) = torch.autograd.grad(
                logits, points, slopes, allow_unused=True, materialize_grads=True
            )
        state[:, 1] = gradient.flatten(1)
        return margin, loss

    def step(self) -> tuple[Tensor, Tensor, Tensor]:
        """Try one step each; return the trial r (B, n), which of them to keep, and who is done."""
        return self.along_the_boundary() if self.crossed else self.towards_the_target()

    def towards_the_target(self) -> tuple[Tensor, Tensor, Tensor]:
        """Stage 1: step with the c of the moment, then lower c."""

        def objective(size: Tensor, loss: Tensor) -> Tensor:
            return 0.5 * size + self.weight * loss

        self.try_step(self.quasi_newton().direction(self.weight), objective)
        self.weight = (self.weight / LOWER_C).clamp_max(1e12)
        found = self.margin < 0
        return self.state[:, 0], found, found

    def along_the_boundary(self) -> tuple[Tensor, Tensor, Tensor]:
        """Stage 2: minimise the quadratic model where loss + gradient'd = -depth."""
        model = self.quasi_newton()
        gg, gr = model.products()
        newton = (self.loss + self.depth - gr) / gg.clamp_min(1e-30)
        self.weight = newton.clamp(self.weight / JUMP, JUMP * self.weight)
        self.price = torch.maximum(0.95 * self.price, 1.5 * self.weight)

        def merit(size: Tensor, loss: Tensor) -> Tensor:
            return 0.5 * size + self.price * (loss + self.depth).clamp_min(0)

        trial, size, margin, loss = self.try_step(model.direction(self.weight), merit)
        record = (margin < -0.1 * self.depth) & (size < self.least)
        gained = record & (size < (1 - GAIN) * self.least)
        beside = (loss + self.depth).abs() < self.beside
        self.idle = torch.where(gained, 0, self.idle + (beside & (margin < 0)))
        sharper = torch.minimum(SHARPEN * self.sharpness, self.sharpest)
        self.sharpness = torch.where(beside, sharper, self.sharpness)
        self.least = torch.where(record, size, self.least)
        return trial, record, self.idle >= PATIENCE

    def quasi_newton(self) -> Model:
        """Return the model of 1/2 ||r||^2 + weight * loss on the pixels that are free to move."""
        r, gradient = self.state.unbind(1)
        slope = torch.addcmul(r, self.weight[:, None], gradient)
        # Held: a long step down the slope leaves the pixel at the bound where it is.
        moved = torch.add(r, slope, alpha=-1e6, out=slope).clamp_(self.lowest, self.highest)
        return Model(self.memory, self.weight, torch.ne(moved, r, out=moved), self.state)

    def try_step(
        self, direction: Tensor, merit: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Step into the box; stay, with a shorter step next time, where merit(size, loss) rises.

        A step that is refused still teaches the memory something, and costs the batch no
        evaluation of its own. Returns the trial r, its size ||r||^2, its margin and its loss.
        """
        trial = torch.addcmul(
            self.state[:, 0], self.scale[:, None], direction, out=self.trial[:, 0]
        ).clamp_(self.lowest, self.highest)
        margin, loss = self.evaluate(self.trial)
        finite = self.trial[:, 1].sum(1).isfinite() & loss.isfinite()
        if not finite.all():
            self.trial[~finite] = self.state[~finite]
        self.memory.push(self.trial, self.state)
        size = _squares(trial)
        taken = finite & (merit(size, loss) <= (1 + SLACK) * merit(self.size, self.loss))
        self.size = torch.where(taken, size, self.size)
        self.scale = torch.where(taken, 1.0, 0.35 * self.scale)
        self.margin = torch.where(taken, margin, self.margin)
        self.loss = torch.where(taken, loss, self.loss)
        # lerp with weights 0 and 1 is exact, and many times as fast as torch.where.
        self.state.lerp_(self.trial, taken.to(trial)[:, None, None])
        return trial, size, margin, loss
