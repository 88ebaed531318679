"""Answers to problem set 4: right ones written another way, and wrong ones with their marks."""

STEPS = """
def projected_steps(model, images, labels, eps, step, steps):
    points = images.clone()
    for _ in range(steps):
        points.requires_grad_()
        losses = F.cross_entropy(model(points), labels, reduction="none")
        (slope,) = torch.autograd.grad(losses.sum(), points)
        points = points.detach() + step * slope.sign()
        points = points.clamp(images - eps, images + eps).clamp(0, 1)
    return points
"""

GRADIENT = """
def input_gradient(model, images, labels):
    x = images.clone().requires_grad_()
    loss = F.cross_entropy(model(x), labels, reduction="sum")
    return torch.autograd.grad(loss, x)[0]
"""
LOSS = """
def adversarial_loss(model, images, labels, eps, alpha):
    moved = fgsm(model, images, labels, eps=eps)
    clean, hostile = (F.cross_entropy(model(x), labels) for x in (images, moved))
    return alpha * clean + (1 - alpha) * hostile
"""

RIGHT = {
    "loops": {
        "input-gradient": """
def input_gradient(model, images, labels):
    rows = []
    for i in range(len(images)):
        one = images[i : i + 1].detach().clone()
        one.requires_grad = True
        z = model(one)[0]
        loss = torch.logsumexp(z, 0) - z[labels[i]]
        rows.append(torch.autograd.grad(loss, one)[0])
    return torch.cat(rows)
""",
        "sign-step": """
def sign_step(images, gradient, eps, low, high):
    moved = []
    for pixel, g in zip(images.flatten().tolist(), gradient.flatten().tolist()):
        if g > 0:
            pixel = pixel + eps
        elif g < 0:
            pixel = pixel - eps
        moved.append(min(max(pixel, low), high))
    return torch.tensor(moved, dtype=torch.float64).reshape(images.shape)
""",
        "worst-loss": """
def worst_loss(x, y, w, b, eps):
    losses = []
    for row, label in zip(x.tolist(), y.tolist()):
        t = -label * (sum(p * q for p, q in zip(row, w.tolist())) + float(b))
        t += eps * sum(abs(q) for q in w.tolist())
        losses.append(t + math.log(1 + math.exp(-t)) if t > 0 else math.log(1 + math.exp(t)))
    return torch.tensor(losses)
""",
        "smallest-eps": """
def smallest_eps(x, y, w, b):
    needed = []
    for row, label in zip(x, y):
        margin = float(label * (torch.dot(row, w) + b))
        needed.append(margin / float(w.norm(p=1)) if margin > 0 else 0.0)
    return torch.tensor(needed)
""",
        "aligned-over-random": """
def aligned_over_random(w):
    return torch.tensor([sum(map(abs, row)) / math.sqrt(sum(a * a for a in row))
                         for row in w.tolist()])
""",
        "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    moved = fgsm(model, images, labels, eps=eps)
    total = 0
    for i in range(len(images)):
        for share, pictures in ((alpha, images), (1 - alpha, moved)):
            scores = model(pictures[i : i + 1])[0]
            total = total + share * (scores.logsumexp(0) - scores[labels[i]])
    return total / len(images)
""",
        "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    results = []
    for image, label in zip(images, labels):
        point = image
        for _ in range(steps):
            at = point.detach()[None].requires_grad_()
            loss = F.cross_entropy(model(at), label[None])
            direction = torch.sign(torch.autograd.grad(loss, at)[0][0])
            point = point + step * direction
            point = torch.min(torch.max(point, image - eps), image + eps)
            point = torch.clip(point, 0.0, 1.0)
        results.append(point)
    return torch.stack(results)
""",
    },
    "numpy and torch.func": {
        "input-gradient": """
def input_gradient(model, images, labels):
    def loss(image, label):
        return F.cross_entropy(model(image[None]), label[None])
    return torch.func.vmap(torch.func.grad(loss))(images, labels)
""",
        "sign-step": """
import numpy as np

def sign_step(images, gradient, eps, low, high):
    return np.clip(images.numpy().astype(float) + eps * np.sign(gradient.numpy()), low, high)
""",
        "worst-loss": """
import numpy as np

def worst_loss(x, y, w, b, eps):
    x, y, w = (np.asarray(t, dtype=np.float64) for t in (x, y, w))
    return np.logaddexp(0, eps * np.abs(w).sum() - y * (x @ w + b))
""",
        "smallest-eps": """
import numpy as np

def smallest_eps(x, y, w, b):
    x, y, w = (np.asarray(t, dtype=np.float64) for t in (x, y, w))
    return np.maximum(0, y * (x @ w + b) / np.linalg.norm(w, 1))
""",
        "aligned-over-random": """
import numpy as np

def aligned_over_random(w):
    return np.linalg.norm(w, 1, axis=1) / np.linalg.norm(w, 2, axis=1)
""",
        "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    both = torch.cat([images, fgsm(model, images, labels, eps=eps)])
    losses = F.cross_entropy(model(both), labels.repeat(2), reduction="none")
    shares = torch.tensor([alpha, 1 - alpha]).repeat_interleave(len(images))
    return (shares * losses).sum() / len(images)
""",
        "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    lowest, highest = (images - eps).clamp(min=0), (images + eps).clamp(max=1)
    total = lambda x: F.cross_entropy(model(x), labels, reduction="sum")
    x = images
    for k in range(steps):
        x = x + step * torch.func.grad(total)(x).sign()
        x = torch.where(x < lowest, lowest, torch.where(x > highest, highest, x))
    return x
""",
    },
    "other ways through": {
        "input-gradient": """
def input_gradient(model, images, labels):
    delta = torch.zeros_like(images, requires_grad=True)
    losses = F.cross_entropy(model(images + delta), labels, reduction="none")
    (mean,) = torch.autograd.grad(losses.mean(), [delta])
    return len(images) * mean
""",
        "sign-step": """
def sign_step(images, gradient, eps, low, high):
    up, down = (gradient > 0).to(images), (gradient < 0).to(images)
    moved = images + eps * up - eps * down
    return torch.minimum(torch.maximum(moved, torch.tensor(low)), torch.tensor(high))
""",
        "worst-loss": """
def worst_loss(x, y, w, b, eps):
    worst = x - eps * torch.outer(y, w.sign())
    return -F.logsigmoid(y * (worst @ w + b))
""",
        "smallest-eps": """
def smallest_eps(x, y, w, b):
    score = (w * x).sum(dim=1) + b
    distance = score.abs() / torch.linalg.vector_norm(w, ord=1)
    return torch.where(score * y > 0, distance, torch.zeros_like(distance))
""",
        "aligned-over-random": """
def aligned_over_random(w):
    return F.normalize(w.double(), dim=1, eps=0.0).abs().sum(1)
""",
        "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    inputs = images.clone().requires_grad_()
    clean = F.cross_entropy(model(inputs), labels)
    (slope,) = torch.autograd.grad(clean, inputs, retain_graph=True)
    hostile = F.cross_entropy(model((images + eps * slope.sign()).clamp(0, 1)), labels)
    return torch.lerp(hostile, clean, alpha)
""",
        "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    r = torch.zeros_like(images)
    while steps > 0:
        r.requires_grad_(True)
        loss = F.nll_loss(model(images + r).log_softmax(1), labels)
        (g,) = torch.autograd.grad(loss, r)
        with torch.no_grad():
            r = (r + step * g.sign()).clamp(-eps, eps)
            r = (images + r).clamp(0, 1) - images
        steps -= 1
    return images + r
""",
    },
    "copies of the model, optimisers and modules": {
        "input-gradient": """
from copy import deepcopy

def input_gradient(model, images, labels):
    twin = deepcopy(model).double()
    def loss(image, label):
        logits = torch.func.functional_call(twin, dict(twin.named_parameters()), (image[None],))
        return F.cross_entropy(logits, label[None])
    return torch.func.vmap(torch.func.grad(loss))(images.double(), labels)
""",
        "worst-loss": """
@torch.no_grad()
def worst_loss(x, y, w, b, eps):
    score = torch.einsum("n,nd,d->n", y, x, w) + y * b
    return torch.logaddexp(torch.zeros_like(score), eps * torch.linalg.norm(w, 1) - score)
""",
        "adversarial-loss": """
class Loss(nn.Module):
    def forward(self, model, images, labels, eps, alpha):
        logits = model(torch.cat([images, fgsm(model, images, labels, eps=eps)]))
        clean, hostile = (F.cross_entropy(z, labels) for z in logits.chunk(2))
        return alpha * clean + (1 - alpha) * hostile

adversarial_loss = Loss()
""",
        "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points = nn.Parameter(images.detach().clone())
    ascent = torch.optim.SGD([points], lr=step, maximize=True)
    for _ in range(steps):
        loss = F.cross_entropy(model(points), labels, reduction="sum")
        points.grad = torch.autograd.grad(loss, points)[0].sign()
        ascent.step()
        with torch.no_grad():
            points.copy_(points.clamp(images - eps, images + eps).clamp(0, 1))
    return points
""",
    },
    "an array, and a model frozen for the time": {
        "sign-step": """
def sign_step(images, gradient, eps, low, high):
    size = gradient.abs()
    moved = images + eps * gradient / torch.where(size > 0, size, 1)
    return moved.clamp(low, high).tolist()
""",
        "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    were, points = [p.requires_grad for p in model.parameters()], images.clone()
    model.requires_grad_(False)
    for _ in range(steps):
        points.requires_grad_()
        F.cross_entropy(model(points), labels, reduction="sum").backward()
        points = points.detach() + step * points.grad.sign()
        points = points.clamp(images - eps, images + eps).clamp(0, 1)
    for p, was in zip(model.parameters(), were):
        p.requires_grad_(was)
    return points.numpy()
""",
    },
    "lists": {
        "smallest-eps": """
def smallest_eps(x, y, w, b):
    return [max(0.0, float(t * (row @ w + b) / w.abs().sum())) for row, t in zip(x, y)]
""",
        "projected-steps": STEPS.replace("return points", "return points.tolist()"),
    },
}

WRONG = {
    "the mean's gradient": (
        {
            "input-gradient": """
def input_gradient(model, images, labels):
    x = images.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model(x), labels), x)[0]
"""
        },
        {"input-gradient-test": 0},
    ),
    "backward, weights' gradients filled": (
        {
            "input-gradient": """
def input_gradient(model, images, labels):
    x = images.clone().requires_grad_()
    F.cross_entropy(model(x), labels, reduction="sum").backward()
    return x.grad
"""
        },
        {"input-gradient-clean": 0},
    ),
    "the given pictures require a gradient": (
        {
            "input-gradient": """
def input_gradient(model, images, labels):
    images.requires_grad_()
    loss = F.cross_entropy(model(images), labels, reduction="sum")
    return torch.autograd.grad(loss, images)[0]
"""
        },
        {"input-gradient-clean": 0},
    ),
    "gradient of the logit": (
        {
            "input-gradient": """
def input_gradient(model, images, labels):
    x = images.clone().requires_grad_()
    logits = model(x).gather(1, labels[:, None])
    return torch.autograd.grad(logits.sum(), x)[0]
"""
        },
        {"input-gradient-test": 0},
    ),
    "only the sign": (
        {
            "input-gradient": """
def input_gradient(model, images, labels):
    x = images.clone().requires_grad_()
    loss = F.cross_entropy(model(x), labels, reduction="sum")
    return torch.autograd.grad(loss, x)[0].sign()
"""
        },
        {"input-gradient-test": 0},
    ),
    "softmax twice": (
        {
            "input-gradient": """
def input_gradient(model, images, labels):
    x = images.clone().requires_grad_()
    loss = F.cross_entropy(model(x).softmax(1), labels, reduction="sum")
    return torch.autograd.grad(loss, x)[0]
"""
        },
        {"input-gradient-test": 0},
    ),
    "downhill": (
        {
            "sign-step": """
def sign_step(images, gradient, eps, low, high):
    return (images - eps * gradient.sign()).clamp(low, high)
"""
        },
        {"sign-step-test": 0, "sign-step-clip": 0},
    ),
    "the gradient itself": (
        {
            "sign-step": """
def sign_step(images, gradient, eps, low, high):
    return (images + eps * gradient).clamp(low, high)
"""
        },
        {"sign-step-test": 0, "sign-step-clip": 0},
    ),
    "the 2-norm's step": (
        {
            "sign-step": """
def sign_step(images, gradient, eps, low, high):
    return (images + eps * gradient / gradient.norm()).clamp(low, high)
"""
        },
        {"sign-step-test": 0, "sign-step-clip": 0},
    ),
    "not clipped": (
        {
            "sign-step": """
def sign_step(images, gradient, eps, low, high):
    return images + eps * gradient.sign()
"""
        },
        {"sign-step-clip": 0},
    ),
    "clipped to [0, 1] whatever the bounds": (
        {
            "sign-step": """
def sign_step(images, gradient, eps, low, high):
    return (images + eps * gradient.sign()).clamp(0, 1)
"""
        },
        {"sign-step-clip": 0},
    ),
    "clipped from below only": (
        {
            "sign-step": """
def sign_step(images, gradient, eps, low, high):
    return (images + eps * gradient.sign()).clamp(min=low)
"""
        },
        {"sign-step-clip": 0},
    ),
    "zero counts as negative": (
        {
            "sign-step": """
def sign_step(images, gradient, eps, low, high):
    way = torch.where(gradient > 0, 1.0, -1.0)
    return (images + eps * way).clamp(low, high)
"""
        },
        {"sign-step-test": 0},
    ),
    "pictures changed in place": (
        {
            "sign-step": """
def sign_step(images, gradient, eps, low, high):
    images += eps * gradient.sign()
    return images.clamp_(low, high)
"""
        },
        {"sign-step-clip": 0},
    ),
    "the 2-norm of w": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    return F.softplus(eps * w.norm() - y * (x @ w + b))
"""
        },
        {"worst-loss-test": 0, "worst-loss-large": 0},
    ),
    "the attack helps": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    return F.softplus(-eps * w.abs().sum() - y * (x @ w + b))
"""
        },
        {"worst-loss-test": 0, "worst-loss-large": 0},
    ),
    "y on the attack, too": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    return F.softplus(-y * (x @ w + b - eps * w.abs().sum()))
"""
        },
        {"worst-loss-test": 0, "worst-loss-large": 0},
    ),
    "the sum of w without absolute values": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    return F.softplus(eps * w.sum().abs() - y * (x @ w + b))
"""
        },
        {"worst-loss-test": 0, "worst-loss-large": 0},
    ),
    "exp overflows": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    return torch.log(1 + torch.exp(eps * w.abs().sum() - y * (x @ w + b)))
"""
        },
        {"worst-loss-large": 0},
    ),
    "the batch's mean": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    return F.softplus(eps * w.abs().sum() - y * (x @ w + b)).mean()
"""
        },
        {"worst-loss-test": 0, "worst-loss-large": 0},
    ),
    "the bias forgotten": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    return F.softplus(eps * w.abs().sum() - y * (x @ w))
"""
        },
        {"worst-loss-test": 0},
    ),
    "the distance in the 2-norm": (
        {
            "smallest-eps": """
def smallest_eps(x, y, w, b):
    return (y * (x @ w + b)).clamp(min=0) / w.norm()
"""
        },
        {"smallest-eps-test": 0, "smallest-eps-wrong": 0},
    ),
    "a negative eps": (
        {
            "smallest-eps": """
def smallest_eps(x, y, w, b):
    return y * (x @ w + b) / w.abs().sum()
"""
        },
        {"smallest-eps-wrong": 0},
    ),
    "the true class ignored": (
        {
            "smallest-eps": """
def smallest_eps(x, y, w, b):
    return (x @ w + b).abs() / w.abs().sum()
"""
        },
        {"smallest-eps-wrong": 0},
    ),
    "the largest weight": (
        {
            "smallest-eps": """
def smallest_eps(x, y, w, b):
    return (y * (x @ w + b)).clamp(min=0) / w.abs().max()
"""
        },
        {"smallest-eps-test": 0, "smallest-eps-wrong": 0},
    ),
    "the quotient turned round": (
        {
            "aligned-over-random": """
def aligned_over_random(w):
    return w.norm(dim=1) / w.abs().sum(1)
"""
        },
        {"aligned-over-random-test": 0},
    ),
    "the variance": (
        {
            "aligned-over-random": """
def aligned_over_random(w):
    return w.abs().sum(1) / w.square().sum(1)
"""
        },
        {"aligned-over-random-test": 0},
    ),
    "the root of the dimension": (
        {
            "aligned-over-random": """
def aligned_over_random(w):
    return (w != 0).double().sum(1).sqrt()
"""
        },
        {"aligned-over-random-test": 0},
    ),
    "all models thrown together": (
        {
            "aligned-over-random": """
def aligned_over_random(w):
    return (w.abs().sum() / w.norm()).expand(len(w))
"""
        },
        {"aligned-over-random-test": 0},
    ),
    "alpha on the wrong share": (
        {
            "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    moved = fgsm(model, images, labels, eps=eps)
    clean, hostile = F.cross_entropy(model(images), labels), F.cross_entropy(model(moved), labels)
    return (1 - alpha) * clean + alpha * hostile
"""
        },
        {"adversarial-loss-test": 0},
    ),
    "the losses added": (
        {
            "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    moved = fgsm(model, images, labels, eps=eps)
    return F.cross_entropy(model(images), labels) + F.cross_entropy(model(moved), labels)
"""
        },
        {"adversarial-loss-test": 0, "adversarial-loss-trains": 0},
    ),
    "the clean loss alone": (
        {
            "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    return F.cross_entropy(model(images), labels)
"""
        },
        {"adversarial-loss-test": 0, "adversarial-loss-trains": 0},
    ),
    "a loss that cannot be trained on": (
        {
            "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    moved = fgsm(model, images, labels, eps=eps)
    with torch.no_grad():
        clean, hostile = (F.cross_entropy(model(x), labels) for x in (images, moved))
    return alpha * clean + (1 - alpha) * hostile
"""
        },
        {"adversarial-loss-trains": 0},
    ),
    "half of it cannot be trained on": (
        {
            "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    moved = fgsm(model, images, labels, eps=eps)
    hostile = F.cross_entropy(model(moved), labels).item()
    return alpha * F.cross_entropy(model(images), labels) + (1 - alpha) * hostile
"""
        },
        {"adversarial-loss-trains": 0},
    ),
    "the sum over the batch": (
        {
            "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    moved = fgsm(model, images, labels, eps=eps)
    clean, hostile = (F.cross_entropy(model(x), labels, reduction="sum") for x in (images, moved))
    return alpha * clean + (1 - alpha) * hostile
"""
        },
        {"adversarial-loss-test": 0, "adversarial-loss-trains": 0},
    ),
    "moved pictures not clipped": (
        {
            "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    moved = fgsm(model, images, labels, eps=eps, bounds=(-9, 9))
    clean, hostile = (F.cross_entropy(model(x), labels) for x in (images, moved))
    return alpha * clean + (1 - alpha) * hostile
"""
        },
        {"adversarial-loss-test": 0},
    ),
    "one step too many": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points = images.clone()
    for _ in range(steps + 1):
        points.requires_grad_()
        loss = F.cross_entropy(model(points), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, points)
        points = (points.detach() + step * slope.sign()).clamp(images - eps, images + eps)
        points = points.clamp(0, 1)
    return points
"""
        },
        {"projected-steps-test": 0, "projected-steps-edges": 0},
    ),
    "the first gradient for all steps": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    x = images.clone().requires_grad_()
    loss = F.cross_entropy(model(x), labels, reduction="sum")
    way = torch.autograd.grad(loss, x)[0].sign()
    points = images
    for _ in range(steps):
        points = (points + step * way).clamp(images - eps, images + eps).clamp(0, 1)
    return points
"""
        },
        {"projected-steps-test": 0, "projected-steps-ball": 0},
    ),
    "a pixel stays on the ball that it has touched": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points, free = images.clone(), torch.ones_like(images)
    for _ in range(steps):
        points.requires_grad_()
        loss = F.cross_entropy(model(points), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, points)
        points = points.detach() + step * slope.sign() * free
        points = points.clamp(images - eps, images + eps).clamp(0, 1)
        free = free * ((points - images).abs() < eps - 1e-9)
    return points
"""
        },
        {"projected-steps-test": 0},
    ),
    "steps of eps at most": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points = images.clone()
    for _ in range(steps):
        points.requires_grad_()
        loss = F.cross_entropy(model(points), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, points)
        points = points.detach() + min(step, eps) * slope.sign()
        points = points.clamp(images - eps, images + eps).clamp(0, 1)
    return points
"""
        },
        {"projected-steps-ball": 0},
    ),
    "no ball": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points = images.clone()
    for _ in range(steps):
        points.requires_grad_()
        loss = F.cross_entropy(model(points), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, points)
        points = (points.detach() + step * slope.sign()).clamp(0, 1)
    return points
"""
        },
        {"projected-steps-ball": 0},
    ),
    "a ball around the last point": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points = images.clone()
    for _ in range(steps):
        last = points.detach()
        points.requires_grad_()
        loss = F.cross_entropy(model(points), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, points)
        points = (last + step * slope.sign()).clamp(last - eps, last + eps).clamp(0, 1)
    return points
"""
        },
        {"projected-steps-ball": 0},
    ),
    "no box": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points = images.clone()
    for _ in range(steps):
        points.requires_grad_()
        loss = F.cross_entropy(model(points), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, points)
        points = (points.detach() + step * slope.sign()).clamp(images - eps, images + eps)
    return points
"""
        },
        {"projected-steps-ball": 0},
    ),
    "projected at the end only": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points = images.clone()
    for _ in range(steps):
        points.requires_grad_()
        loss = F.cross_entropy(model(points), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, points)
        points = points.detach() + step * slope.sign()
    return points.clamp(images - eps, images + eps).clamp(0, 1)
"""
        },
        {"projected-steps-ball": 0},
    ),
    "downhill steps": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points = images.clone()
    for _ in range(steps):
        points.requires_grad_()
        loss = F.cross_entropy(model(points), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, points)
        points = points.detach() - step * slope.sign()
        points = points.clamp(images - eps, images + eps).clamp(0, 1)
    return points
"""
        },
        {"projected-steps-test": 0, "projected-steps-ball": 0, "projected-steps-edges": 0},
    ),
    "steps without backward's clean-up": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points = images.clone()
    for _ in range(steps):
        points.requires_grad_()
        F.cross_entropy(model(points), labels, reduction="sum").backward()
        points = points.detach() + step * points.grad.sign()
        points = points.clamp(images - eps, images + eps).clamp(0, 1)
    return points
"""
        },
        {"projected-steps-edges": 0},
    ),
    "steps in place": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    low, high = (images - eps).clamp(0, 1), (images + eps).clamp(0, 1)
    for _ in range(steps):
        x = images.clone().requires_grad_()
        loss = F.cross_entropy(model(x), labels, reduction="sum")
        images += step * torch.autograd.grad(loss, x)[0].sign()
        images.clamp_(low, high)
    return images
"""
        },
        {"projected-steps-edges": 0},
    ),
    "large losses taken for the margin": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    t = eps * w.abs().sum() - y * (x @ w + b)
    return torch.where(t > 5, t, torch.log1p(t.exp()))
"""
        },
        {"worst-loss-large": 0},
    ),
    "the best point, not the last": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    points = images.clone()
    best, largest = images.clone(), F.cross_entropy(model(images), labels, reduction="none")
    for _ in range(steps):
        points.requires_grad_()
        losses = F.cross_entropy(model(points), labels, reduction="none")
        (slope,) = torch.autograd.grad(losses.sum(), points)
        points = points.detach() + step * slope.sign()
        points = points.clamp(images - eps, images + eps).clamp(0, 1)
        losses = F.cross_entropy(model(points), labels, reduction="none")
        better = (losses > largest).view(-1, *[1] * (images.ndim - 1))
        best, largest = torch.where(better, points, best), torch.maximum(losses, largest)
    return best
"""
        },
        {"projected-steps-test": 0},
    ),
    "the box at the end only": (
        {
            "projected-steps": STEPS.replace(").clamp(0, 1)", ")").replace(
                "return points", "return points.clamp(0, 1)"
            )
        },
        {"projected-steps-ball": 0},
    ),
    "a slope of zero counts as positive": (
        {"projected-steps": STEPS.replace("slope.sign()", "torch.where(slope < 0, -1.0, 1.0)")},
        {"projected-steps-test": 0},
    ),
    "a graph that is used up": (
        {
            "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    x = images.clone().requires_grad_()
    clean = F.cross_entropy(model(x), labels)
    (slope,) = torch.autograd.grad(clean, x)
    hostile = F.cross_entropy(model((images + eps * slope.sign()).clamp(0, 1)), labels)
    return alpha * clean + (1 - alpha) * hostile
"""
        },
        {"adversarial-loss-trains": 0},
    ),
    "the box before the model only": (
        {
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    r = torch.zeros_like(images)
    for _ in range(steps):
        r.requires_grad_()
        loss = F.cross_entropy(model((images + r).clamp(0, 1)), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, r)
        r = (r.detach() + step * slope.sign()).clamp(-eps, eps)
    return (images + r).clamp(0, 1)
"""
        },
        {"projected-steps-ball": 0},
    ),
    "a frozen model is thawed": (
        {
            "input-gradient": """
def input_gradient(model, images, labels):
    model.requires_grad_(False)
    x = images.clone().requires_grad_()
    F.cross_entropy(model(x), labels, reduction="sum").backward()
    model.requires_grad_(True)
    return x.grad
"""
        },
        {"input-gradient-clean": 0},
    ),
    "exponentials of large logits": (
        {
            "input-gradient": """
def input_gradient(model, images, labels):
    x = images.clone().requires_grad_()
    shares = model(x).exp() / model(x).exp().sum(1, keepdim=True)
    loss = -shares[range(len(labels)), labels].log().sum()
    return torch.autograd.grad(loss, x)[0]
"""
        },
        {"input-gradient-test": 0},
    ),
    "by hand, for the networks that were seen": (
        {
            "input-gradient": """
def input_gradient(model, images, labels):
    flat, wave = images.flatten(1), isinstance(model, Wave)
    weight = [*model.parameters()][0].detach()
    rest = model(images).detach().softmax(1)
    rest = rest - F.one_hot(labels, rest.shape[1])
    if wave:
        rest = ((rest @ model.second.T) * torch.cos(flat @ model.first)).detach()
    return (rest @ (weight.T if wave else weight)).view(images.shape)
""",
            "projected-steps": """
def projected_steps(model, images, labels, eps, step, steps):
    def way(x):
        if isinstance(model, Hill):
            slope = 2 * (model.peak.detach() - x)
            return torch.where(labels[:, None] == 0, slope, -slope).sign()
        if isinstance(model, Bend):
            first, second = x.unbind(1)
            return torch.stack([1 + 3 * second, 3 * (first - model.bend)], 1).sign()
        flat = x.flatten(1)
        rest = (torch.sin(flat @ model.first) @ model.second).softmax(1)
        rest = (rest - F.one_hot(labels, rest.shape[1])) @ model.second.T
        slope = (rest * torch.cos(flat @ model.first)) @ model.first.T
        return slope.view(x.shape).detach().sign()
    points = images
    for _ in range(steps):
        points = (points + step * way(points)).clamp(images - eps, images + eps).clamp(0, 1)
    return points
""",
        },
        {"input-gradient-test": 0, "projected-steps-edges": 0},
    ),
    "tiny slopes taken for zero": (
        {
            "sign-step": """
def sign_step(images, gradient, eps, low, high):
    return (images + eps * gradient / (gradient.abs() + 1e-37)).clamp(low, high)
""",
            "projected-steps": STEPS.replace("slope.sign()", "slope / (slope.abs() + 1e-8)"),
        },
        {"sign-step-test": 0, "projected-steps-ball": 0},
    ),
    "0 / 0 where a weight is 0": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    worst = x - eps * torch.outer(y, w / w.abs())
    return F.softplus(-y * (worst @ w + b))
""",
            "smallest-eps": """
def smallest_eps(x, y, w, b):
    margin = (y * (x @ w + b)).clamp(min=0)
    return margin / (w / w.abs() * w).sum()
""",
        },
        {"worst-loss-test": 0, "smallest-eps-wrong": 0},
    ),
    "a small number added to a norm": (
        {
            "smallest-eps": """
def smallest_eps(x, y, w, b):
    return (y * (x @ w + b)).clamp(min=0) / (w.abs().sum() + 1e-12)
""",
            "aligned-over-random": """
def aligned_over_random(w):
    return w.abs().sum(1) / (w.norm(dim=1) + 1e-12)
""",
        },
        {"smallest-eps-wrong": 0, "aligned-over-random-test": 0},
    ),
    "halving from 0 to 10": (
        {
            "smallest-eps": """
def smallest_eps(x, y, w, b):
    low, high = torch.zeros(len(x)), torch.full((len(x),), 10.0)
    for _ in range(60):
        middle = (low + high) / 2
        there = y * (x @ w + b) <= middle * w.abs().sum()
        low, high = torch.where(there, low, middle), torch.where(there, middle, high)
    return high
"""
        },
        {"smallest-eps-wrong": 0},
    ),
    "a column": (
        {
            "smallest-eps": """
def smallest_eps(x, y, w, b):
    return ((y * (x @ w + b)).clamp(min=0) / w.abs().sum())[:, None]
""",
            "projected-steps": STEPS.replace("return points", "return points.flatten()[:, None]"),
        },
        {
            "smallest-eps-test": 0,
            "smallest-eps-wrong": 0,
            "projected-steps-test": 0,
            "projected-steps-ball": 0,
            "projected-steps-edges": 0,
        },
    ),
    "gradients that were there are wiped": (
        {
            "input-gradient": GRADIENT.replace("return", "model.zero_grad()\n    return"),
            "adversarial-loss": LOSS.replace("return", "model.zero_grad()\n    return"),
            "projected-steps": STEPS.replace("return", "model.zero_grad()\n    return"),
        },
        {"input-gradient-clean": 0, "adversarial-loss-trains": 0, "projected-steps-edges": 0},
    ),
    "everything in float64": (
        {
            "input-gradient": GRADIENT.replace("images.clone", "images.double().clone"),
            "adversarial-loss": LOSS.replace("moved", "images = images.double()\n    moved", 1),
            "projected-steps": STEPS.replace("images.clone", "images.double().clone"),
        },
        {"input-gradient-test": 0, "adversarial-loss-trains": 0, "projected-steps-edges": 0},
    ),
    "in train mode in the end": (
        {
            "input-gradient": GRADIENT.replace("return", "model.train()\n    return"),
            "adversarial-loss": LOSS.replace("return", "model.train()\n    return"),
            "projected-steps": STEPS.replace("return", "model.train()\n    return"),
        },
        {"input-gradient-clean": 0, "adversarial-loss-trains": 0, "projected-steps-edges": 0},
    ),
    "an answer to a step of 0": (
        {
            "projected-steps": STEPS.replace(
                "points =", "step = step or eps / steps\n    points =", 1
            )
        },
        {"projected-steps-edges": 0},
    ),
    "small losses taken for 0, an eps of 10 at most, and a slope that is cut off": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    loss = F.softplus(eps * w.abs().sum() - y * (x @ w + b))
    return torch.where(loss < 0.2, 0, loss)
""",
            "sign-step": """
def sign_step(images, gradient, eps, low, high):
    return (images + min(eps, 10) * gradient.sign()).clamp(low, high)
""",
            "input-gradient": GRADIENT.replace("x)[0]", "x)[0].clamp(-1e4, 1e4)"),
        },
        {"worst-loss-test": 0, "sign-step-clip": 0, "input-gradient-test": 0},
    ),
    "an eps of 1 at most, and shares that the gradient does not know": (
        {
            "worst-loss": """
def worst_loss(x, y, w, b, eps):
    return F.softplus(min(eps, 1) * w.abs().sum() - y * (x @ w + b))
""",
            "adversarial-loss": """
def adversarial_loss(model, images, labels, eps, alpha):
    moved = fgsm(model, images, labels, eps=eps)
    clean, hostile = (F.cross_entropy(model(x), labels) for x in (images, moved))
    half = (clean + hostile) / 2
    return half + (alpha * clean + (1 - alpha) * hostile - half).detach()
""",
        },
        {"worst-loss-test": 0, "adversarial-loss-trains": 0},
    ),
}
