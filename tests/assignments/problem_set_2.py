"""Answers to problem set 2: right ones written another way, and wrong ones with their marks."""

RIGHT = {
    "loops": {
        "error": """
def error(model, images, labels):
    count = 0
    for image, label in zip(images, labels):
        scores = model(image.unsqueeze(0))[0].tolist()
        best = 0
        for k in range(len(scores)):
            if scores[k] > scores[best]:
                best = k
        if best != label:
            count += 1
    return count / len(images) * 100
""",
        "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    known, fooled = 0, 0
    for i in range(len(labels)):
        if model(images[i : i + 1])[0].argmax().item() == labels[i].item():
            known += 1
            if model(adversarial[i : i + 1])[0].argmax().item() != labels[i].item():
                fooled += 1
    if known == 0:
        return float("nan")
    return 100 * fooled / known
""",
        "wilson": """
def wilson(errors, n, z=1.96):
    seen = errors / n
    a, b, c = 1 + z * z / n, -2 * seen - z * z / n, seen * seen
    root = max(b * b - 4 * a * c, 0.0) ** 0.5
    return [100 * (-b - root) / (2 * a), 100 * (-b + root) / (2 * a)]
""",
        "coverage": """
def coverage(interval, p, n):
    q = p / 100
    probabilities = [1.0]
    for _ in range(n):
        longer = [0.0] * (len(probabilities) + 1)
        for k, value in enumerate(probabilities):
            longer[k] += value * (1 - q)
            longer[k + 1] += value * q
        probabilities = longer
    total = 0
    for k, value in enumerate(probabilities):
        low, high = interval(k, n)
        if not (p < low or p > high):
            total += value
    return total * 100
""",
        "rescale": """
def rescale(images, adversarial, stddev):
    result = adversarial.clone()
    for i in range(len(images)):
        r = adversarial[i] - images[i]
        size = (r**2).mean() ** 0.5
        if size > 0:
            result[i] = images[i] + r / size * stddev
    return result
""",
        "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    table = np.zeros((len(adversarial), len(models)))
    for column, model in enumerate(models):
        for row, images in enumerate(adversarial):
            for image, label in zip(images, labels.tolist()):
                if model(image[None]).argmax().item() != label:
                    table[row, column] += 100 / len(labels)
    return torch.from_numpy(table)
""",
        "mean-of-others": """
def mean_of_others(matrix):
    means = []
    for i, row in enumerate(matrix):
        means.append(torch.cat([row[:i], row[i + 1 :]]).mean())
    return torch.stack(means)
""",
        "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    d = [int(a) - int(b) for a, b in zip(wrong_a, wrong_b)]
    n = len(d)
    mean = sum(d) / n
    s = math.sqrt(sum((value - mean) ** 2 for value in d) / n)
    half = z * s / math.sqrt(n)
    return 100 * mean, 100 * (mean - half), 100 * (mean + half)
""",
    },
    "other functions": {
        "error": """
def error(model, images, labels):
    best = model(images).topk(1, dim=1).indices.squeeze(1)
    return torch.count_nonzero(best - labels) * 100.0 / labels.numel()
""",
        "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    known = model(images).max(1).indices.eq(labels)
    wrong = model(adversarial).max(1).indices.ne(labels)
    return (known & wrong).sum() / known.sum() * 100
""",
        "wilson": """
def wilson(errors, n, z=1.96):
    from scipy.stats import binomtest, norm

    ends = binomtest(errors, n).proportion_ci(2 * norm.cdf(z) - 1, method="wilson")
    return 100 * ends.low, 100 * ends.high
""",
        "coverage": """
def coverage(interval, p, n):
    k = np.arange(n + 1)
    ends = np.array([interval(int(errors), n) for errors in k])
    inside = (ends[:, 0] <= p) & (p <= ends[:, 1])
    return float(100 * binom.pmf(k[inside], n, p / 100).sum())
""",
        "rescale": """
def rescale(images, adversarial, stddev):
    change = adversarial - images
    flat = torch.nn.functional.normalize(change.reshape(len(change), -1), dim=1)
    return images + (flat * stddev * flat.shape[1] ** 0.5).reshape(change.shape)
""",
        "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    columns = []
    for model in models:
        answers = torch.stack([model(images).argmax(-1) for images in adversarial])
        columns.append(100 - 100 * (answers == labels).float().mean(-1))
    return torch.stack(columns, dim=1)
""",
        "mean-of-others": """
def mean_of_others(matrix):
    diagonal = torch.eye(len(matrix)).bool()
    return matrix.masked_fill(diagonal, 0).sum(dim=1) / (len(matrix) - 1)
""",
        "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    a, b = wrong_a.float(), wrong_b.float()
    d = a - b
    half = z * (d.var(unbiased=False) / len(d)).sqrt()
    return 100 * torch.stack([d.mean(), d.mean() - half, d.mean() + half])
""",
    },
    "float64 and NumPy": {
        "error": """
def error(model, images, labels):
    answers = model(images).numpy().argmax(axis=1)
    return 100 * np.mean(answers != labels.numpy())
""",
        "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    y = labels.numpy()
    known = model(images).numpy().argmax(1) == y
    if not known.any():
        return np.nan
    return 100 * np.average(model(adversarial).numpy().argmax(1)[known] != y[known])
""",
        "wilson": """
def wilson(errors, n, z=1.96):
    p = torch.tensor(errors / n, dtype=torch.float64)
    t = z**2 / n
    middle, spread = p + t / 2, (t * p * (1 - p) + t**2 / 4).sqrt()
    return 100 * torch.stack([middle - spread, middle + spread]) / (1 + t)
""",
        "coverage": """
def coverage(interval, p, n):
    share, total = p / 100, 0.0
    for k in range(n + 1):
        low, high = interval(k, n)
        if low <= p <= high:
            if share in (0.0, 1.0):
                total += float(k == n * share)
            else:
                total += math.exp(
                    math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
                    + k * math.log(share) + (n - k) * math.log(1 - share)
                )
    return 100 * total
""",
        "rescale": """
def rescale(images, adversarial, stddev):
    x, moved = images.double().numpy(), adversarial.double().numpy()
    change = moved - x
    axes = tuple(range(1, change.ndim))
    size = np.sqrt((change**2).mean(axis=axes, keepdims=True))
    return torch.from_numpy(x + stddev * change / np.where(size == 0, 1, size))
""",
        "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    def cell(model, images):
        return 100.0 * (model(images).argmax(1) != labels).sum().item() / len(labels)

    return torch.tensor(
        [[cell(model, images) for model in models] for images in adversarial], dtype=torch.float64
    )
""",
        "mean-of-others": """
def mean_of_others(matrix):
    m = matrix.double().clone()
    m.fill_diagonal_(math.nan)
    return m.nanmean(dim=1)
""",
        "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    a, b = wrong_a.numpy().astype(float), wrong_b.numpy().astype(float)
    d = a - b
    half = z * np.std(d) / np.sqrt(d.size)
    return 100 * np.array([d.mean(), d.mean() - half, d.mean() + half])
""",
    },
}

RIGHT["in other processes and threads, with everything imported"] = {
    "wilson": """
from numpy import *
from math import *
import multiprocessing
from collections import namedtuple

Interval = namedtuple("Interval", "low high")

def _end(errors, n, z, sign):
    p = errors / n
    spread = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return 100 / (1 + z**2 / n) * (p + z**2 / (2 * n) + sign * spread)

def wilson(errors, n, z=1.96):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        ends = pool.starmap(_end, [(errors, n, z, -1), (errors, n, z, 1)])
    return Interval(*ends)
""",
    "coverage": """
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

def coverage(interval, p, n):
    share = Fraction(p) / 100
    with ThreadPoolExecutor(2) as pool:
        terms = pool.map(lambda k: math.comb(n, k) * share**k * (1 - share) ** (n - k), range(n + 1))
    total = Fraction(0)  # `sum` is NumPy's now
    for k, term in enumerate(terms):
        low, high = interval(k, n)
        total += term if low <= p <= high else 0
    return 100 * total
""",
}
RIGHT["models set to evaluation first"] = {
    "error": """
def error(model, images, labels):
    model.eval()
    return 100 * (model(images).argmax(1) != labels).float().mean()
""",
    "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    model.eval()
    right = model(images).argmax(1) == labels
    return 100 * (model(adversarial[right]).argmax(1) != labels[right]).float().mean()
""",
    "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    rates = [(m.eval()(x).argmax(1) != labels).double().mean() for x in adversarial for m in models]
    return 100 * torch.stack(rates).view(len(adversarial), -1)
""",
}
RIGHT["in float32 throughout"] = {
    "wilson": """
def wilson(errors, n, z=1.96):
    q, t = torch.tensor(errors / n), torch.tensor(z * z / n)
    a, b, c = 1 + t, -(2 * q + t), q * q
    root = (b * b - 4 * a * c).clamp(min=0).sqrt()
    return 100 * (-b - root) / (2 * a), 100 * (-b + root) / (2 * a)
""",
    "rescale": """
def rescale(images, adversarial, stddev):
    images, adversarial = images.float(), adversarial.float()
    d = (adversarial - images).flatten(1)
    s = d.square().mean(1, keepdim=True).sqrt()
    return images + (torch.where(s > 0, stddev / s, 0) * d).view_as(images)
""",
    "mean-of-others": """
def mean_of_others(matrix):
    others = matrix.float().clone().fill_diagonal_(0)
    return others.sum(1) / (len(others) - 1)
""",
    "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    d = wrong_a.float() - wrong_b.float()
    half = z * ((d * d).mean() - d.mean() ** 2).clamp(min=0).sqrt() / len(d) ** 0.5
    return 100 * d.mean(), 100 * (d.mean() - half), 100 * (d.mean() + half)
""",
}

WRONG = {
    "error: accuracy": (
        {
            "error": """
def error(model, images, labels):
    return 100 * (model(images).argmax(dim=1) == labels).double().mean().item()
"""
        },
        {"error-test": 0, "error-hidden": 0},
    ),
    "error: rounded to one decimal": (
        {
            "error": """
def error(model, images, labels):
    return round(100 * (model(images).argmax(1) != labels).double().mean().item(), 1)
""",
            "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    right = model(images).argmax(1) == labels
    fooled = model(adversarial).argmax(1) != labels
    rate = 100 * (fooled & right).sum().item() / right.sum().item() if right.any() else math.nan
    return rate if math.isnan(rate) else round(rate, 1)
""",
        },
        {"error-hidden": 0, "transfer-rate-hidden": 0},
    ),
    "error: a share": (
        {
            "error": """
def error(model, images, labels):
    return (model(images).argmax(dim=1) != labels).double().mean().item()
"""
        },
        {"error-test": 0, "error-hidden": 0},
    ),
    "error: largest logit of each class": (
        {
            "error": """
def error(model, images, labels):
    answers = model(images).argmax(dim=0)
    n = min(len(answers), len(labels))
    return 100 * (answers[:n] != labels[:n]).double().mean().item()
"""
        },
        {"error-test": 0, "error-hidden": 0},
    ),
    "error: of four images, as in the visible test": (
        {
            "error": """
def error(model, images, labels):
    return 25 * (model(images).argmax(dim=1) != labels).sum().item()
"""
        },
        {"error-hidden": 0},
    ),
    "transfer rate: the error": (
        {
            "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    return 100 * (model(adversarial).argmax(dim=1) != labels).double().mean().item()
"""
        },
        {"transfer-rate-test": 0, "transfer-rate-hidden": 0},
    ),
    "transfer rate: out of all images": (
        {
            "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    right = model(images).argmax(dim=1) == labels
    fooled = model(adversarial).argmax(dim=1) != labels
    return 100 * (right & fooled).double().mean().item()
"""
        },
        {"transfer-rate-test": 0, "transfer-rate-hidden": 0},
    ),
    "transfer rate: difference of the errors": (
        {
            "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    before = (model(images).argmax(dim=1) != labels).double().mean().item()
    after = (model(adversarial).argmax(dim=1) != labels).double().mean().item()
    return 100 * (after - before)
"""
        },
        {"transfer-rate-test": 0, "transfer-rate-hidden": 0},
    ),
    "transfer rate: any change of the answer": (
        {
            "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    before, after = model(images).argmax(dim=1), model(adversarial).argmax(dim=1)
    return 100 * (before != after).double().mean().item()
"""
        },
        {"transfer-rate-test": 0, "transfer-rate-hidden": 0},
    ),
    "transfer rate: 0 where none is right": (
        {
            "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    right = model(images).argmax(dim=1) == labels
    fooled = model(adversarial).argmax(dim=1) != labels
    return 100 * (right & fooled).sum().item() / max(1, right.sum().item())
"""
        },
        {"transfer-rate-hidden": 0},
    ),
    "interval: plus or minus": (
        {
            "wilson": """
def wilson(errors, n, z=1.96):
    p = errors / n
    half = z * math.sqrt(p * (1 - p) / n)
    return 100 * (p - half), 100 * (p + half)
"""
        },
        {"wilson-test": 0, "wilson-hidden": 0},
    ),
    "interval: not divided by 1 + z^2 / n": (
        {
            "wilson": """
def wilson(errors, n, z=1.96):
    p = errors / n
    middle = p + z**2 / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return 100 * (middle - spread), 100 * (middle + spread)
"""
        },
        {"wilson-test": 0, "wilson-hidden": 0},
    ),
    "interval: z is always 1.96": (
        {
            "wilson": """
def wilson(errors, n, z=1.96):
    p, z = errors / n, 1.96
    middle = p + z**2 / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 100 / (1 + z**2 / n)
    return scale * (middle - spread), scale * (middle + spread)
"""
        },
        {"wilson-hidden": 0},
    ),
    "interval: remembers the visible test": (
        {
            "wilson": """
def wilson(errors, n, z=1.96):
    return 10.778929, 60.322678
"""
        },
        {"wilson-hidden": 0},
    ),
    "coverage: up to n - 1 errors": (
        {
            "coverage": """
def coverage(interval, p, n):
    share, total = p / 100, 0.0
    for k in range(n):
        low, high = interval(k, n)
        if low <= p <= high:
            total += math.comb(n, k) * share**k * (1 - share) ** (n - k)
    return 100 * total
"""
        },
        {"coverage-test": 0, "coverage-hidden": 0},
    ),
    "coverage: from 1 error on": (
        {
            "coverage": """
def coverage(interval, p, n):
    share, total = p / 100, 0.0
    for k in range(1, n + 1):
        low, high = interval(k, n)
        if low <= p <= high:
            total += math.comb(n, k) * share**k * (1 - share) ** (n - k)
    return 100 * total
"""
        },
        {"coverage-hidden": 0},
    ),
    "coverage: all numbers of errors equally likely": (
        {
            "coverage": """
def coverage(interval, p, n):
    inside = 0
    for k in range(n + 1):
        low, high = interval(k, n)
        inside += low <= p <= high
    return 100 * inside / (n + 1)
"""
        },
        {"coverage-test": 0, "coverage-hidden": 0},
    ),
    "coverage: by drawing": (
        {
            "coverage": """
def coverage(interval, p, n):
    draws = np.random.default_rng(0).binomial(n, p / 100, 2000)
    ends = [interval(int(k), n) for k in draws]
    return 100 * sum(low <= p <= high for low, high in ends) / len(ends)
"""
        },
        {"coverage-test": 0, "coverage-hidden": 0},
    ),
    "rescaling: one factor for all": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    change = adversarial - images
    return images + stddev * change / change.square().mean().sqrt()
"""
        },
        {"rescale-test": 0, "rescale-hidden": 0},
    ),
    "rescaling: to a 2-norm": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    change = (adversarial - images).flatten(1)
    size = change.norm(dim=1, keepdim=True)
    return images + torch.where(size > 0, stddev * change / size, 0).view_as(images)
"""
        },
        {"rescale-test": 0, "rescale-hidden": 0},
    ),
    "rescaling: clipped": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    change = (adversarial - images).flatten(1)
    size = change.square().mean(dim=1, keepdim=True).sqrt()
    factor = torch.where(size > 0, stddev / size, 0)
    return (images + (factor * change).view_as(images)).clamp(0, 1)
"""
        },
        {"rescale-test": 0, "rescale-hidden": 0},
    ),
    "rescaling: NaN where nothing was changed": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    change = (adversarial - images).flatten(1)
    size = change.square().mean(dim=1, keepdim=True).sqrt()
    return images + (stddev * change / size).view_as(images)
"""
        },
        {"rescale-hidden": 0},
    ),
    "rescaling: in place": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    adversarial -= images
    for r in adversarial:
        size = r.square().mean().sqrt()
        if size > 0:
            r *= stddev / size
    adversarial += images
    return adversarial
"""
        },
        {"rescale-hidden": 0},
    ),
    "rescaling: by the standard deviation": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    change = (adversarial - images).flatten(1)
    size = change.std(dim=1, keepdim=True, correction=0)
    return images + torch.where(size > 0, stddev * change / size, 0).view_as(images)
"""
        },
        {"rescale-test": 0, "rescale-hidden": 0},
    ),
    "matrix: transposed": (
        {
            "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    return torch.tensor([
        [100 * (model(x).argmax(dim=1) != labels).double().mean() for x in adversarial]
        for model in models
    ])
"""
        },
        {"transfer-matrix-test": 0, "transfer-matrix-hidden": 0},
    ),
    "matrix: square only": (
        {
            "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    table = torch.zeros(len(models), len(models))
    for i in range(len(models)):
        for j in range(len(models)):
            table[i, j] = 100 * (models[j](adversarial[i]).argmax(1) != labels).double().mean()
    return table
"""
        },
        {"transfer-matrix-test": 0, "transfer-matrix-hidden": 0},
    ),
    "matrix: a percentage of four images": (
        {
            "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    return torch.tensor([
        [25.0 * (model(x).argmax(dim=1) != labels).sum() for model in models] for x in adversarial
    ])
"""
        },
        {"transfer-matrix-hidden": 0},
    ),
    "mean of the others: with the diagonal": (
        {
            "mean-of-others": """
def mean_of_others(matrix):
    return matrix.mean(dim=1)
"""
        },
        {"mean-of-others-test": 0, "mean-of-others-hidden": 0},
    ),
    "mean of the others: columns": (
        {
            "mean-of-others": """
def mean_of_others(matrix):
    others = matrix.masked_fill(torch.eye(len(matrix)).bool(), 0)
    return others.sum(dim=0) / (len(matrix) - 1)
"""
        },
        {"mean-of-others-test": 0, "mean-of-others-hidden": 0},
    ),
    "mean of the others: takes the diagonal for 100": (
        {
            "mean-of-others": """
def mean_of_others(matrix):
    return (matrix.sum(dim=1) - 100) / (len(matrix) - 1)
"""
        },
        {"mean-of-others-hidden": 0},
    ),
    "mean of the others: the diagonal's NaN stays": (
        {
            "mean-of-others": """
def mean_of_others(matrix):
    return (matrix.sum(dim=1) - matrix.diagonal()) / (len(matrix) - 1)
"""
        },
        {"mean-of-others-hidden": 0},
    ),
    "mean of the others: clears the diagonal in place": (
        {
            "mean-of-others": """
def mean_of_others(matrix):
    matrix.fill_diagonal_(0)
    return matrix.sum(dim=1) / (len(matrix) - 1)
"""
        },
        {"mean-of-others-hidden": 0},
    ),
    "paired difference: as if unpaired": (
        {
            "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    a, b, n = wrong_a.double().mean().item(), wrong_b.double().mean().item(), len(wrong_a)
    half = z * math.sqrt(a * (1 - a) / n + b * (1 - b) / n)
    return 100 * (a - b), 100 * (a - b - half), 100 * (a - b + half)
"""
        },
        {"paired-difference-test": 0, "paired-difference-hidden": 0},
    ),
    "paired difference: second less first": (
        {
            "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    d = wrong_b.double() - wrong_a.double()
    mean, half = d.mean().item(), z * d.std(correction=0).item() / math.sqrt(len(d))
    return 100 * mean, 100 * (mean - half), 100 * (mean + half)
"""
        },
        {"paired-difference-test": 0, "paired-difference-hidden": 0},
    ),
    "paired difference: N - 1": (
        {
            "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    d = wrong_a.double() - wrong_b.double()
    mean, half = d.mean().item(), z * d.std().item() / math.sqrt(len(d))
    return 100 * mean, 100 * (mean - half), 100 * (mean + half)
"""
        },
        {"paired-difference-test": 0, "paired-difference-hidden": 0},
    ),
    "paired difference: z is always 1.96": (
        {
            "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    d = wrong_a.double() - wrong_b.double()
    mean, half = d.mean().item(), 1.96 * d.std(correction=0).item() / math.sqrt(len(d))
    return 100 * mean, 100 * (mean - half), 100 * (mean + half)
"""
        },
        {"paired-difference-hidden": 0},
    ),
    "paired difference: disagreements only": (
        {
            "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    d = wrong_a.double() - wrong_b.double()
    d = d[d != 0]
    mean, half = d.mean().item(), z * d.std(correction=0).item() / math.sqrt(len(d))
    return 100 * mean, 100 * (mean - half), 100 * (mean + half)
"""
        },
        {"paired-difference-test": 0, "paired-difference-hidden": 0},
    ),
    "error: of whole batches of 50": (
        {
            "error": """
def error(model, images, labels):
    n = max(1, len(images) // 50) * 50
    return 100 * (model(images[:n]).argmax(dim=1) != labels[:n]).double().mean().item()
"""
        },
        {"error-hidden": 0},
    ),
    "coverage: ends that reach .01 too far": (
        {
            "coverage": """
def coverage(interval, p, n):
    ends = [interval(errors, n) for errors in range(n + 1)]
    held = np.array([low - 0.01 <= p <= high + 0.01 for low, high in ends])
    return 100 * (binom.pmf(np.arange(n + 1), n, p / 100) * held).sum()
"""
        },
        {"coverage-hidden": 0},
    ),
    "coverage: asks for 0 of 0 images": (
        {
            "coverage": """
def coverage(interval, p, n):
    return sum(interval(0, 0))
"""
        },
        {"coverage-test": 0, "coverage-hidden": 0},
    ),
    "coverage: from the first number of errors to the last": (
        {
            "coverage": """
def coverage(interval, p, n):
    inside = [k for k in range(n + 1) if interval(k, n)[0] <= p <= interval(k, n)[1]]
    if not inside:
        return 0.0
    below = binom.cdf(inside[0] - 1, n, p / 100)
    return 100 * (binom.cdf(inside[-1], n, p / 100) - below)
"""
        },
        {"coverage-hidden": 0},
    ),
    "rescaling: a small number added below": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    change = (adversarial - images).flatten(1)
    size = change.square().mean(dim=1, keepdim=True).sqrt()
    return images + (stddev * change / (size + 1e-6)).view_as(images)
"""
        },
        {"rescale-hidden": 0},
    ),
    "rescaling: small perturbations count as zero": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    change = (adversarial - images).flatten(1)
    size = change.square().mean(dim=1, keepdim=True).sqrt()
    return images + torch.where(size > 1e-3, stddev * change / size, 0).view_as(images)
"""
        },
        {"rescale-hidden": 0},
    ),
    "matrix: against the first model's answers": (
        {
            "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    known = models[0](adversarial[0]).argmax(dim=1)
    return torch.tensor([
        [100 * (model(x).argmax(dim=1) != known).double().mean() for model in models]
        for x in adversarial
    ])
"""
        },
        {"transfer-matrix-hidden": 0},
    ),
    "paired difference: as text": (
        {
            "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    d = wrong_a.double() - wrong_b.double()
    mean, half = d.mean().item(), z * d.std(correction=0).item() / math.sqrt(len(d))
    return [repr(100 * x) for x in (mean, mean - half, mean + half)]
"""
        },
        {"paired-difference-test": 0, "paired-difference-hidden": 0},
    ),
    "paired difference: without its sign": (
        {
            "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    d = wrong_a.double() - wrong_b.double()
    mean, half = d.mean().abs().item(), z * d.std(correction=0).item() / math.sqrt(len(d))
    return 100 * mean, 100 * (mean - half), 100 * (mean + half)
"""
        },
        {"paired-difference-hidden": 0},
    ),
    "coverage: of Wilson's interval, whichever was given": (
        {
            "coverage": """
def coverage(interval, p, n, z=1.96):
    def inside(k):
        return (k / n - p / 100) ** 2 <= z**2 * p / 100 * (1 - p / 100) / n
    return 100 * sum(binom.pmf(k, n, p / 100) for k in range(n + 1) if inside(k))
"""
        },
        {"coverage-test": 0, "coverage-hidden": 0},
    ),
    "images flattened before the model gets them": (
        {
            "error": """
def error(model, images, labels):
    return 100 * (model(images.flatten(1)).argmax(1) != labels).double().mean().item()
""",
            "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    right = model(images.flatten(1)).argmax(1) == labels
    fooled = model(adversarial.flatten(1)).argmax(1) != labels
    return 100 * fooled[right].double().mean().item()
""",
            "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    return torch.tensor([
        [100 * (model(x.flatten(1)).argmax(1) != labels).double().mean() for model in models]
        for x in adversarial
    ])
""",
        },
        {"error-hidden": 0, "transfer-rate-hidden": 0, "transfer-matrix-hidden": 0},
    ),
    "the mean over batches of 1000, the last as much as the others": (
        {
            "error": """
def error(model, images, labels):
    parts = [(model(x).argmax(1) != y).double().mean()
             for x, y in zip(images.split(1000), labels.split(1000))]
    return 100 * sum(parts) / len(parts)
""",
            "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    rates = []
    for x, a, y in zip(images.split(1000), adversarial.split(1000), labels.split(1000)):
        right = model(x).argmax(1) == y
        rates.append((model(a).argmax(1) != y)[right].double().mean())
    return 100 * sum(rates) / len(rates)
""",
            "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    def cell(model, images):
        parts = [(model(x).argmax(1) != y).double().mean()
                 for x, y in zip(images.split(1000), labels.split(1000))]
        return 100 * sum(parts) / len(parts)

    return torch.tensor([[cell(model, x) for model in models] for x in adversarial])
""",
        },
        {"error-hidden": 0, "transfer-rate-hidden": 0, "transfer-matrix-hidden": 0},
    ),
    "error: takes no logit below 0 for the largest": (
        {
            "error": """
def error(model, images, labels):
    return 100 * (model(images).clamp(min=0).argmax(1) != labels).double().mean().item()
"""
        },
        {"error-hidden": 0},
    ),
    "error: the largest exponential": (
        {
            "error": """
def error(model, images, labels):
    return 100 * (model(images).exp().argmax(1) != labels).double().mean().item()
"""
        },
        {"error-hidden": 0},
    ),
    "z is 1 at least": (
        {
            "wilson": """
def wilson(errors, n, z=1.96):
    p, z = errors / n, max(z, 1)
    middle = p + z**2 / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 100 / (1 + z**2 / n)
    return scale * (middle - spread), scale * (middle + spread)
""",
            "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    d = wrong_a.double() - wrong_b.double()
    mean, half = d.mean(), max(z, 1) * d.std(correction=0) / math.sqrt(len(d))
    return 100 * mean, 100 * (mean - half), 100 * (mean + half)
""",
        },
        {"wilson-hidden": 0, "paired-difference-hidden": 0},
    ),
    "z is 3 at most": (
        {
            "wilson": """
def wilson(errors, n, z=1.96):
    p, z = errors / n, min(z, 3)
    middle = p + z**2 / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 100 / (1 + z**2 / n)
    return scale * (middle - spread), scale * (middle + spread)
"""
        },
        {"wilson-hidden": 0},
    ),
    "interval: another default for z": (
        {
            "wilson": """
def wilson(errors, n, z=1.959964):
    p = errors / n
    middle = p + z**2 / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 100 / (1 + z**2 / n)
    return scale * (middle - spread), scale * (middle + spread)
"""
        },
        {"wilson-hidden": 0},
    ),
    "coverage: ends that reach .0005 too far": (
        {
            "coverage": """
def coverage(interval, p, n):
    ends = [interval(errors, n) for errors in range(n + 1)]
    held = np.array([low - 5e-4 <= p <= high + 5e-4 for low, high in ends])
    return 100 * (binom.pmf(np.arange(n + 1), n, p / 100) * held).sum()
"""
        },
        {"coverage-hidden": 0},
    ),
    "coverage: only within four standard deviations": (
        {
            "coverage": """
def coverage(interval, p, n):
    share, total = p / 100, 0.0
    far = 4 * math.sqrt(n * share * (1 - share))
    for k in range(max(0, int(n * share - far)), min(n, math.ceil(n * share + far)) + 1):
        low, high = interval(k, n)
        total += binom.pmf(k, n, share) if low <= p <= high else 0
    return 100 * total
"""
        },
        {"coverage-hidden": 0},
    ),
    "rescaling: below 1e-6 counts as zero": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    change = (adversarial - images).flatten(1)
    size = change.square().mean(dim=1, keepdim=True).sqrt()
    return images + torch.where(size > 1e-6, stddev * change / size, 0).view_as(images)
"""
        },
        {"rescale-hidden": 0},
    ),
    "rescaling: as if from 1e-6": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    change = (adversarial - images).flatten(1)
    size = change.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-6)
    return images + (stddev * change / size).view_as(images)
"""
        },
        {"rescale-hidden": 0},
    ),
    "rescaling: of four dimensions or two": (
        {
            "rescale": """
def rescale(images, adversarial, stddev):
    change = adversarial - images
    pixels = (1, 2, 3) if change.ndim == 4 else 1
    size = change.square().mean(dim=pixels, keepdim=True).sqrt()
    return images + torch.where(size > 0, stddev * change / size, 0)
"""
        },
        {"rescale-hidden": 0},
    ),
    "mean of the others: without what equals the diagonal": (
        {
            "mean-of-others": """
def mean_of_others(matrix):
    matrix = matrix.nan_to_num(nan=-1.0)
    keep = matrix != matrix.diagonal()[:, None]
    return torch.where(keep, matrix, 0).sum(dim=1) / keep.sum(dim=1).clamp(min=1)
"""
        },
        {"mean-of-others-test": 0, "mean-of-others-hidden": 0},
    ),
    "mean of the others: NaN to 0, then the sum less the diagonal": (
        {
            "mean-of-others": """
def mean_of_others(matrix):
    matrix = torch.where(matrix.isnan(), 0, matrix)
    return (matrix.sum(dim=1) - matrix.diagonal()) / (len(matrix) - 1)
"""
        },
        {"mean-of-others-hidden": 0},
    ),
    "mean of the others: the finite ones' sum less the diagonal": (
        {
            "mean-of-others": """
def mean_of_others(matrix):
    matrix = torch.where(matrix.isfinite(), matrix, 0)
    return (matrix.sum(dim=1) - matrix.diagonal()) / (len(matrix) - 1)
"""
        },
        {"mean-of-others-hidden": 0},
    ),
    "mean of the others: without zeros": (
        {
            "mean-of-others": """
def mean_of_others(matrix):
    others = matrix.masked_fill(torch.eye(len(matrix)).bool(), 0)
    return others.sum(dim=1) / (others != 0).sum(dim=1).clamp(min=1)
"""
        },
        {"mean-of-others-test": 0, "mean-of-others-hidden": 0},
    ),
    "paired difference: ends from -100 to 100": (
        {
            "paired-difference": """
def paired_difference(wrong_a, wrong_b, z=1.96):
    d = wrong_a.double() - wrong_b.double()
    mean, half = d.mean().item(), z * d.std(correction=0).item() / math.sqrt(len(d))
    return 100 * mean, max(-100, 100 * (mean - half)), min(100, 100 * (mean + half))
"""
        },
        {"paired-difference-hidden": 0},
    ),
    "error: the model is left in training": (
        {
            "error": """
def error(model, images, labels):
    model.train()
    return 100 * (model(images).argmax(1) != labels).float().mean()
"""
        },
        {"error-hidden": 0},
    ),
    "no class above the largest label": (
        {
            "error": """
def error(model, images, labels):
    answers = model(images)[:, : labels.max() + 1].argmax(1)
    return 100 * (answers != labels).double().mean().item()
""",
            "transfer-rate": """
def transfer_rate(model, images, adversarial, labels):
    classes = labels.max() + 1
    right = model(images)[:, :classes].argmax(1) == labels
    fooled = model(adversarial)[:, :classes].argmax(1) != labels
    return 100 * fooled[right].double().mean().item()
""",
            "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    classes = labels.max() + 1
    return torch.tensor([
        [100 * (model(x)[:, :classes].argmax(1) != labels).double().mean() for model in models]
        for x in adversarial
    ])
""",
        },
        {"error-hidden": 0, "transfer-rate-hidden": 0, "transfer-matrix-hidden": 0},
    ),
    "interval: of what is right from one half on": (
        {
            "wilson": """
def wilson(errors, n, z=1.96):
    p = errors / n
    p = 1 - p if 0.5 < p < 1 else p
    middle = p + z**2 / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 100 / (1 + z**2 / n)
    return scale * (middle - spread), scale * (middle + spread)
"""
        },
        {"wilson-hidden": 0},
    ),
    "coverage: a p below 1 taken for a share": (
        {
            "coverage": """
def coverage(interval, p, n):
    total, share = 0.0, p / 100 if p >= 1 else p
    for k in range(n + 1):
        low, high = interval(k, n)
        total += binom.pmf(k, n, share) if low <= p <= high else 0
    return 100 * total
"""
        },
        {"coverage-hidden": 0},
    ),
    "coverage: intervals without width are empty": (
        {
            "coverage": """
def coverage(interval, p, n):
    total, share = 0.0, p / 100
    for k in range(n + 1):
        low, high = interval(k, n)
        total += binom.pmf(k, n, share) if low < high and low <= p <= high else 0
    return 100 * total
"""
        },
        {"coverage-hidden": 0},
    ),
    "coverage: 0 and 100 are always contained": (
        {
            "coverage": """
def coverage(interval, p, n):
    total, share = 0.0, p / 100
    for k in range(n + 1):
        low, high = interval(k, n)
        total += binom.pmf(k, n, share) if low <= p <= high or p in (0, 100) else 0
    return 100 * total
"""
        },
        {"coverage-hidden": 0},
    ),
    "matrix: rounded to two decimals": (
        {
            "transfer-matrix": """
def transfer_matrix(models, adversarial, labels):
    return torch.tensor([
        [100 * (model(x).argmax(dim=1) != labels).double().mean() for model in models]
        for x in adversarial
    ]).round(decimals=2)
"""
        },
        {"transfer-matrix-hidden": 0},
    ),
}
