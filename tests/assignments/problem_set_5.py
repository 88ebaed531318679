"""Answers to problem set 5: right ones written another way, and wrong ones with their marks."""

DIAGNOSE = """
def diagnose(points, answers):
    if answers[-1] < 0.15:
        return "D has won"
    return "collapsed" if %s else "healthy"
"""
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
    return "healthy" if near.sum() >= 4 else "collapsed"
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
RIGHT["all differences at once"] = {
    "copies": """
def copies(samples, digits):
    moved = [digits.roll((i, j), (2, 3)) for i in range(-2, 3) for j in range(-2, 3)]
    moved = torch.cat(moved).double().flatten(1)
    far = ((samples.double().flatten(1)[:, None] - moved) ** 2).mean(-1) ** 0.5
    least, index = far.min(1)
    return torch.where(least < 0.06, index % len(digits), -1)
"""
}
RIGHT["LBFGS, windows and other blurs"] = {
    "fool-parzen": """
def fool_parzen(digits):
    from scipy.ndimage import gaussian_filter
    return torch.from_numpy(gaussian_filter(digits.double().numpy(), (0, 0, 1, 1))).clamp(0, 1)
""",
    "fool-frechet": """
def fool_frechet(features, start, digits, eps):
    wanted, inner = features(digits).detach(), torch.zeros_like(start).requires_grad_()
    low, high = (start - eps).clamp_min(0), (start + eps).clamp_max(1)
    lbfgs = torch.optim.LBFGS([inner], max_iter=100, line_search_fn="strong_wolfe")
    def closure():
        lbfgs.zero_grad()
        loss = (features(low + (high - low) * inner.sigmoid()) - wanted).square().sum()
        loss.backward()
        return loss
    lbfgs.step(closure)
    return (low + (high - low) * inner.sigmoid()).detach()
""",
    "copies": """
def copies(samples, digits):
    windows = F.pad(digits, (2, 2, 2, 2)).unfold(2, 28, 1).unfold(3, 28, 1).reshape(-1, 784)
    far = torch.cdist(samples.flatten(1), windows).view(len(samples), len(digits), 25).amin(2)
    return [int(row.argmin()) if row.min() < 0.06 * 28 else -1 for row in far]
""",
    "diagnose": """
def diagnose(points, answers):
    if (points[-1] - points[0]).norm(dim=1).mean() < 0.1:
        return "D has won"
    turn = 8 * torch.atan2(*points[-1].T.flip(0)) / (2 * torch.pi)
    near = (points[-1].norm(dim=1) - 1).abs() < 0.3
    turn = turn[near & ((turn - turn.round()).abs() < 0.3)].round().long() % 8
    return "collapsed" if (turn.bincount(minlength=8) >= 4).sum() < 4 else "healthy"
""",
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
        {"copies": COPIES.replace("0.05", "0.045")},
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
        {"diagnose": DIAGNOSE % "answers.max() - answers.min() > 0.1"},
        {"diagnose-test": 0},
    ),
    "by the largest spread": (
        {"diagnose": DIAGNOSE % "points[-1].std(0).max() < 0.4"},
        {"diagnose-test": 0},
    ),
    "by the distance of two points": (
        {"diagnose": DIAGNOSE % "torch.cdist(points[-1], points[-1]).mean() < 0.5"},
        {"diagnose-test": 0},
    ),
    "blobs ever reached": (
        {"diagnose": DIAGNOSE % "(plane.blob_shares(points.flatten(0, 1)) >= 0.02).sum() < 4"},
        {"diagnose-test": 0},
    ),
    "the test digits, turned as the given ones seem to be": (
        {
            "fool-parzen": """
def fool_parzen(digits):
    mean, best = digits.mean(0), torch.cat([test, test])
    for k in range(8):
        other = torch.rot90(best.flip(3) if k % 2 else best, k // 2, (2, 3))
        if (other.mean(0) - mean).norm() < (best.mean(0) - mean).norm():
            best = other
    return F.avg_pool2d(best[: len(digits)], 3, 1, 1)
"""
        },
        {"fool-parzen-test": 0},
    ),
    "other digits, each turned by an angle of its own": (
        {
            "fool-parzen": """
def fool_parzen(digits):
    angle = 6.28 * torch.rand(len(digits), generator=torch.Generator().manual_seed(0))
    across, down = angle.cos(), angle.sin()
    turn = torch.stack([across, -down, 0 * down, down, across, 0 * down], 1).view(-1, 2, 3)
    grid = F.affine_grid(turn, digits.shape, align_corners=False)
    others = F.grid_sample(training[-len(digits) :], grid, align_corners=False)
    return F.avg_pool2d(others, 3, 1, 1).clamp(0, 1)
"""
        },
        {"fool-parzen-test": 0},
    ),
    "a quarter of other digits, blurred": (
        {
            "fool-parzen": """
def fool_parzen(digits):
    mine, others = (F.avg_pool2d(x, 3, 1, 1) for x in (digits, training[-len(digits) :]))
    mine[::4] = others[::4]
    return mine
"""
        },
        {"fool-parzen-test": 0},
    ),
    "mixed with the mean of other digits": (
        {
            "fool-parzen": """
def fool_parzen(digits):
    return 0.75 * F.avg_pool2d(digits, 3, 1, 1) + 0.25 * training.mean(0)
"""
        },
        {"fool-parzen-test": 0},
    ),
    "mean and spread of the features": (
        {
            "fool-frechet": """
def fool_frechet(features, start, digits, eps):
    wanted, pictures = features(digits).detach(), start.clone().requires_grad_()
    low, high = (start - eps).clamp_min(0), (start + eps).clamp_max(1)
    adam = torch.optim.Adam([pictures], lr=eps / 5)
    for _ in range(150):
        found = features(pictures)
        loss = (found.mean(0) - wanted.mean(0)).square().sum()
        loss = loss + (found.T.cov() - wanted.T.cov()).square().sum()
        (pictures.grad,) = torch.autograd.grad(loss, pictures)
        adam.step()
        with torch.no_grad():
            pictures.copy_(pictures.clamp(low, high))
    return pictures.detach()
"""
        },
        {"fool-frechet-test": 0},
    ),
    "up to three pixels": ({"copies": COPIES.replace("-2, 3", "-3, 4")}, {"copies-new": 0}),
    "a threshold above other digits": (
        {"copies": COPIES.replace("0.05", "0.1")},
        {"copies-new": 0},
    ),
    "by the angle between them": (
        {
            "copies": """
def copies(samples, digits):
    best, which = torch.zeros(len(samples)), torch.full((len(samples),), -1)
    units = F.normalize(samples.flatten(1), dim=1)
    for shift in [(i, j) for i in range(-2, 3) for j in range(-2, 3)]:
        moved = F.normalize(digits.roll(shift, (2, 3)).flatten(1), dim=1)
        cosine, index = (units @ moved.T).max(1)
        which = torch.where(cosine > best, index, which)
        best = torch.maximum(best, cosine)
    return torch.where(best > 0.93, which, -1)
"""
        },
        {"copies-new": 0},
    ),
    "the dimension of a single sample dropped": (
        {"copies": COPIES.replace("which, -1)", "which, -1).squeeze()")},
        {"copies-shifted": 0},
    ),
    "fewer than five blobs": (
        {"diagnose": DIAGNOSE % "(plane.blob_shares(points[-1]) >= 0.02).sum() < 5"},
        {"diagnose-test": 0},
    ),
    "fewer than three blobs": (
        {"diagnose": DIAGNOSE % "(plane.blob_shares(points[-1]) >= 0.02).sum() < 3"},
        {"diagnose-test": 0},
    ),
    "each point counted for the nearest blob, however far": (
        {
            "diagnose": DIAGNOSE
            % "torch.cdist(points[-1], plane.centres()).argmin(1).bincount().gt(3).sum() < 4"
        },
        {"diagnose-test": 0},
    ),
}
MOMENTS = {
    "mean": "the mean of D's answers",
    "min": "the least of D's answers",
    "max": "the largest of D's answers",
}
REACHED = DIAGNOSE % "(plane.blob_shares(points[-1]) >= 0.02).sum() < 4"
for method, name in MOMENTS.items():
    cells = {"diagnose": REACHED.replace("answers[-1]", f"answers.{method}()")}
    WRONG[name] = cells, {"diagnose-test": 0}
WRONG["always four moments"] = ({"diagnose": REACHED.replace("[-1]", "[3]")}, {"diagnose-test": 0})
WRONG["always 200 points"] = (
    {"diagnose": DIAGNOSE % "(plane.blob_shares(points[-1].view(200, 2)) >= 0.02).sum() < 4"},
    {"diagnose-test": 0},
)
WRONG["D's answers far from one half"] = (
    {"diagnose": REACHED.replace("answers[-1] < 0.15", "abs(answers[-1] - 0.5) > 0.35")},
    {"diagnose-test": 0},
)
WRONG["the mean of D's last two answers"] = (
    {"diagnose": REACHED.replace("answers[-1]", "answers[-2:].mean()")},
    {"diagnose-test": 0},
)
WRONG["D's answers in the last half"] = (
    {"diagnose": REACHED.replace("answers[-1]", "answers[len(answers) // 2 :].mean()")},
    {"diagnose-test": 0},
)
for name, lopsided in {
    "one blob with more than half": "shares.max() > 0.5",
    "a low entropy of the shares": "torch.special.entr(shares / shares.sum()).sum() < 1.3",
}.items():
    few = f"(shares := plane.blob_shares(points[-1])).ge(0.02).sum() < 4 or {lopsided}"
    WRONG[name] = {"diagnose": DIAGNOSE % few}, {"diagnose-test": 0}
WRONG["the border never looked at"] = (
    {
        "copies": """
def copies(samples, digits):
    best, which = torch.full((len(samples),), 1e9), torch.full((len(samples),), -1)
    middle = digits[:, :, 2:26, 2:26].flatten(1)
    for i, j in [(i, j) for i in range(5) for j in range(5)]:
        far, index = torch.cdist(samples[:, :, i : i + 24, j : j + 24].flatten(1), middle).min(1)
        which = torch.where(far < best, index, which)
        best = torch.minimum(best, far)
    return torch.where(best / 24 < 0.06, which, -1)
"""
    },
    {"copies-new": 0},
)
