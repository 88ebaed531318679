"""Answers to problem set 5: right ones written another way, and wrong ones with their marks."""

COPIES = """
SHIFTS = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]

def copies(samples, digits):
    best, which = torch.full((len(samples),), 1e9), torch.full((len(samples),), -1)
    for shift in SHIFTS:
        far, index = torch.cdist(samples.flatten(1), digits.roll(shift, (2, 3)).flatten(1)).min(1)
        which = torch.where(far < best, index, which)
        best = torch.minimum(best, far)
    return torch.where(best / 28 < 0.05, which, -1)
"""
FOOL = """
def fool_frechet(features, start, digits, eps):
    wanted, pictures = features(digits).detach(), start.detach()
    for number in range(150):
        pictures = pictures.detach().requires_grad_()
        loss = (features(pictures) - wanted).square().sum()
        slope, = torch.autograd.grad(loss, pictures)
        step = eps / 10 * (1 - number / 150)
        pictures = start + (pictures - step * slope.sign() - start).clamp(-eps, eps)
        pictures = pictures.clamp(0, 1)
    return pictures.detach()
"""

RIGHT = {
    "written another way": {
        "fool-parzen": """
def fool_parzen(digits):
    made = []
    for digit in digits:  # each mixed with its nearest, and all a little towards the mean
        far = (digits - digit).square().sum((1, 2, 3))
        near = digits[far.argsort()[:8]].mean(0)
        made.append(0.9 * near + 0.1 * digits.mean(0))
    return torch.stack(made)
""",
        "fool-frechet": FOOL,
        "copies": """
def copies(samples, digits):
    found = []
    for sample in samples:
        least, place = 0.06, -1
        for down in range(-2, 3):
            for right in range(-2, 3):
                back = sample.roll((-down, -right), dims=(1, 2))
                far = (digits - back).square().mean((1, 2, 3)).sqrt()
                if far.min() < least:
                    least, place = far.min().item(), far.argmin().item()
        found.append(place)
    return torch.tensor(found)
""",
        "diagnose": """
def diagnose(points, answers):
    if answers[-1].item() < 0.2:
        return "D has won"
    near = torch.cdist(points[-1], plane.centres()).min(0).values < 0.2
    return "healthy" if near.sum() >= 5 else "collapsed"
""",
    },
    "convolutions and torch.func": {
        "fool-parzen": """
def fool_parzen(digits):
    window = torch.tensor([1.0, 2.0, 1.0])
    kernel = torch.outer(window, window)[None, None] / 16
    return F.conv2d(F.conv2d(digits, kernel, padding=1), kernel, padding=1)
""",
        "fool-frechet": """
def fool_frechet(features, start, digits, eps):
    wanted = features(digits)
    slope_at = torch.func.grad(lambda x: (features(x) - wanted).square().sum())
    pictures = start
    for number in range(150):
        step = eps / 10 * (1 - number / 150)
        pictures = pictures - step * slope_at(pictures).sign()
        pictures = torch.clamp(pictures, start - eps, start + eps).clamp(0, 1)
    return pictures
""",
    },
    "numpy": {
        "copies": """
import numpy as np

def copies(samples, digits):
    flat, best, which = samples.numpy().reshape(len(samples), -1), None, None
    for down in range(-2, 3):
        for right in range(-2, 3):
            moved = np.roll(digits.numpy(), (down, right), (2, 3)).reshape(len(digits), -1)
            far = np.sqrt(((flat[:, None] - moved[None]) ** 2).mean(2))
            index, least = far.argmin(1), far.min(1)
            which = index if best is None else np.where(least < best, index, which)
            best = least if best is None else np.minimum(best, least)
    return torch.from_numpy(np.where(best < 0.05, which, -1))
""",
        "diagnose": """
from enum import Enum

class Word(str, Enum):
    HEALTHY, COLLAPSED, WON = "healthy", "collapsed", "D has won"

def diagnose(points, answers):
    if float(answers.numpy()[-1]) < 0.15:
        return Word.WON
    return [Word.COLLAPSED, Word.HEALTHY][
        int((plane.blob_shares(points[-1]).numpy() >= 0.02).sum() > 3)]
""",
    },
}

WRONG = {
    "the digits as they are": (
        {
            "fool-parzen": """
def fool_parzen(digits):
    return digits.clone()
"""
        },
        {"fool-parzen-test": 0},
    ),
    "fewer pictures": (
        {
            "fool-parzen": """
def fool_parzen(digits):
    return F.avg_pool2d(digits, 3, 1, 1)[:100]
"""
        },
        {"fool-parzen-test": 0},
    ),
    "the mean alone": (
        {
            "fool-parzen": """
def fool_parzen(digits):
    return digits.mean(0, keepdim=True).expand(len(digits), -1, -1, -1).clone()
"""
        },
        {"fool-parzen-test": 0},
    ),
    "in place": (
        {
            "fool-parzen": """
def fool_parzen(digits):
    digits.copy_(F.avg_pool2d(digits, 3, 1, 1))
    return digits
"""
        },
        {"fool-parzen-test": 0},
    ),
    "start as it is": (
        {
            "fool-frechet": """
def fool_frechet(features, start, digits, eps):
    return start.clone()
"""
        },
        {"fool-frechet-test": 0},
    ),
    "uphill": (
        {
            "fool-frechet": """
def fool_frechet(features, start, digits, eps):
    pictures = start.clone().requires_grad_()
    loss = (features(pictures) - features(digits)).square().sum()
    slope, = torch.autograd.grad(loss, pictures)
    return (start + eps * slope.sign()).clamp(0, 1)
"""
        },
        {"fool-frechet-test": 0},
    ),
    "outside the box": (
        {
            "fool-frechet": """
def fool_frechet(features, start, digits, eps):
    return digits.clone()
"""
        },
        {"fool-frechet-test": 0},
    ),
    "not shifted": (
        {
            "copies": """
def copies(samples, digits):
    far, index = torch.cdist(samples.flatten(1), digits.flatten(1)).min(1)
    return torch.where(far / 28 < 0.05, index, -1)
"""
        },
        {"copies-shifted": 0},
    ),
    "no threshold": (
        {
            "copies": """
def copies(samples, digits):
    shifts = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]
    far = torch.stack([torch.cdist(samples.flatten(1), digits.roll(s, (2, 3)).flatten(1))
                       for s in shifts])
    return far.amin(0).argmin(1)
"""
        },
        {"copies-new": 0},
    ),
    "one direction": (
        {
            "copies": """
def copies(samples, digits):
    far = torch.stack([torch.cdist(samples.flatten(1), digits.roll(k, 3).flatten(1))
                       for k in range(-2, 3)]).amin(0)
    least, index = far.min(1)
    return torch.where(least / 28 < 0.05, index, -1)
"""
        },
        {"copies-shifted": 0},
    ),
    "by D's answers alone": (
        {
            "diagnose": """
def diagnose(points, answers):
    if answers[-1] < 0.15:
        return "D has won"
    return "healthy" if answers[-1] < 0.5 else "collapsed"
"""
        },
        {"diagnose-test": 0},
    ),
    "always healthy": (
        {
            "diagnose": """
def diagnose(points, answers):
    return "healthy"
"""
        },
        {"diagnose-test": 0},
    ),
    "the test digits themselves": (
        {
            "fool-parzen": """
def fool_parzen(digits):
    return torch.cat([test, validation])[: len(digits)]
"""
        },
        {"fool-parzen-test": 0},
    ),
    "other digits, blurred": (
        {
            "fool-parzen": """
def fool_parzen(digits):
    return F.avg_pool2d(load_mnist("test")[0][: len(digits)], 3, 1, 1)
"""
        },
        {"fool-parzen-test": 0},
    ),
    "an eps of its own": (
        {"fool-frechet": FOOL.replace("eps):", "eps):\n    eps = 0.3", 1)},
        {"fool-frechet-test": 0},
    ),
    "features of its own": (
        {"fool-frechet": FOOL.replace("eps):", "eps):\n    features = seen", 1)},
        {"fool-frechet-test": 0},
    ),
    "digits of its own": (
        {"fool-frechet": FOOL.replace("eps):", "eps):\n    digits = training[: len(start)]", 1)},
        {"fool-frechet-test": 0},
    ),
    "a threshold below the spoilt": (
        {"copies": COPIES.replace("0.05", "0.03")},
        {"copies-shifted": 0},
    ),
    "all shifts but one": (
        {"copies": COPIES.replace("in SHIFTS", "in set(SHIFTS) - {(1, 0)}")},
        {"copies-shifted": 0},
    ),
    "not detached": (
        {"fool-frechet": "".join(FOOL.rsplit(".detach()", 1))},
        {"fool-frechet-test": 0},
    ),
    "always thirty samples": (
        {
            "copies": """
def copies(samples, digits):
    best, which = torch.full((30,), 1e9), torch.full((30,), -1)
    for shift in [(i, j) for i in range(-2, 3) for j in range(-2, 3)]:
        far, index = torch.cdist(samples.flatten(1), digits.roll(shift, (2, 3)).flatten(1)).min(1)
        which = torch.where(far < best, index, which)
        best = torch.minimum(best, far)
    return torch.where(best / 28 < 0.05, which, -1)
"""
        },
        {"copies-shifted": 0},
    ),
    "in the order of the visible test": (
        {
            "diagnose": """
from itertools import cycle
words = cycle(["healthy", "collapsed", "D has won"])

def diagnose(points, answers):
    return next(words)
"""
        },
        {"diagnose-test": 0},
    ),
    "by the range of D's answers": (
        {
            "diagnose": """
def diagnose(points, answers):
    if answers[-1] < 0.15:
        return "D has won"
    return "collapsed" if answers.max() - answers.min() > 0.1 else "healthy"
"""
        },
        {"diagnose-test": 0},
    ),
}
