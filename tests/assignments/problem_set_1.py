"""Answers to problem set 1: right ones written another way, and wrong ones with their marks."""

NO_BOX = """
def attack(model, x, target, search):
    def penalty(r, c):
        r = torch.tensor(r.reshape(x.shape), requires_grad=True)
        value = c * r.square().sum() + cross_entropy(model(x + r), torch.tensor([target]))
        (slope,) = torch.autograd.grad(value, r)
        return value.item(), slope.numpy().ravel()

    def minimiser(c):
        found = minimize(penalty, np.zeros(784), args=(c,), jac=True, method="L-BFGS-B")
        return torch.tensor(found.x).reshape(x.shape)

    def reaches(c):
        return model(x + minimiser(c)).argmax().item() == target

    return minimiser(search(reaches, 1e-3, 10.0, 1.1))
"""

BOX = NO_BOX.replace(
    '-B")',
    '-B",\n            bounds=np.stack([-x.numpy().ravel(), 1 - x.numpy().ravel()], axis=1))',
)
LAST = """
        nonlocal last
        last = minimiser(c)
        return model(x + last).argmax().item() == target

    last = None
    search(reaches, 1e-3, 10.0, 1.1)
    return last
"""

HALVING = """
def closest_in_box(x, w, d):
    low, high = 0.0, 1e12
    if w @ x + d >= 0:
        return torch.zeros_like(x)
    for _ in range(100):
        middle = (low + high) / 2
        r = (x + middle * w).clamp(0, 1) - x
        low, high = (low, middle) if w @ (x + r) + d >= 0 else (middle, high)
    return (x + high * w).clamp(0, 1) - x
"""
ALL_AT_WALLS = "1 / w[w != 0].abs().min().item()"

RIGHT = {
    "loops": {
        "distortion": """
def distortion(images, adversarial):
    sizes = []
    for before, after in zip(images, adversarial):
        total, count = 0.0, 0
        for a, b in zip(before.flatten(), after.flatten()):
            total += (float(b) - float(a)) ** 2
            count += 1
        sizes.append((total / count) ** 0.5)
    return torch.tensor(sizes)
""",
        "objective": """
def objective(r, x, targets, weight, bias, c):
    values = []
    for i in range(len(x)):
        scores = []
        for k in range(len(weight)):
            scores.append(float(weight[k].double() @ (x[i] + r[i]).double() + bias[k]))
        top = max(scores)
        log_sum = top + math.log(sum(math.exp(score - top) for score in scores))
        size = sum(float(change) ** 2 for change in r[i])
        values.append(float(c[i]) * size + log_sum - scores[int(targets[i])])
    return torch.tensor(values, dtype=torch.float64)
""",
        "numerical-gradient": """
def numerical_gradient(function, r, h):
    result = torch.zeros_like(r)
    for i in range(r.shape[0]):
        for j in range(r.shape[1]):
            up, down = r.clone(), r.clone()
            up[i, j] += h
            down[i, j] -= h
            result[i, j] = (function(up)[i] - function(down)[i]) / (2 * h)
    return result
""",
        "gradient": """
def gradient(r, x, targets, weight, bias, c):
    result = torch.zeros(r.shape, dtype=torch.float64)
    for i in range(len(r)):
        z = weight.double() @ (x[i] + r[i]).double() + bias.double()
        p = torch.exp(z - z.max())
        p = p / p.sum()
        for k in range(len(weight)):
            factor = p[k] - (1.0 if k == targets[i] else 0.0)
            result[i] += factor * weight[k].double()
        result[i] += 2 * float(c[i]) * r[i]
    return result
""",
        "project": """
def project(x, r):
    result = r.clone().flatten()
    for i, (pixel, change) in enumerate(zip(x.flatten().tolist(), r.flatten().tolist())):
        if pixel + change > 1:
            result[i] = 1 - pixel
        elif pixel + change < 0:
            result[i] = -pixel
    return result.reshape(r.shape)
""",
        "active-set": """
def active_set(x, r, slope):
    held = []
    for a, b, s in zip(x.flatten().tolist(), r.flatten().tolist(), slope.flatten().tolist()):
        dark, bright = a + b <= 1e-6, a + b >= 1 - 1e-6
        held.append(dark and s > 0 or bright and s < 0)
    return torch.tensor(held).reshape(x.shape)
""",
        "descend": """
def descend(slope_at, onto_box, r, rate, steps):
    if steps == 0:
        return r
    return descend(slope_at, onto_box, onto_box(r - rate * slope_at(r)), rate, steps - 1)
""",
        "closest": """
def closest(x, targets, weight, bias):
    result = torch.zeros_like(x)
    for i, l in enumerate(targets.tolist()):
        normal = weight[l] - weight[1 - l]
        margin = normal @ x[i] + bias[l] - bias[1 - l]
        if margin < 0:
            length = normal.norm()
            result[i] = -(margin / length) * (normal / length)
    return result
""",
        "closest-in-box": """
def closest_in_box(x, w, d):
    def r_at(t):
        return torch.tensor([
            min(max(t * v, -p), 1 - p) for p, v in zip(x.double().tolist(), w.double().tolist())
        ], dtype=torch.float64)

    def margin(t):
        return float(w.double() @ (x.double() + r_at(t))) + d

    if margin(0) >= 0:
        return torch.zeros(len(x))
    high = 1e-6
    while margin(high) < 0:
        high *= 2
    low = 0
    while high - low > 1e-7 * high:
        middle = 0.5 * (low + high)
        if margin(middle) >= 0:
            high = middle
        else:
            low = middle
    return r_at(high)
""",
        "largest-c": """
def largest_c(reaches, low, high, ratio):
    a, b = math.log(low), math.log(high)
    if not reaches(low):
        return None
    if reaches(high):
        return high
    best = low
    while b - a > math.log(ratio):
        middle = (a + b) / 2
        c = math.exp(middle)
        if reaches(c):
            a, best = middle, c
        else:
            b = middle
    return best
""",
    },
    "other functions of torch": {
        "distortion": """
def distortion(images, adversarial):
    change = (adversarial - images).reshape(len(images), -1)
    return torch.linalg.vector_norm(change, dim=1) / math.sqrt(change.shape[1])
""",
        "objective": """
def objective(r, x, targets, weight, bias, c):
    moved = x + r
    log_p = torch.nn.functional.linear(moved, weight, bias).log_softmax(1)
    return c * r.norm(dim=1) ** 2 - log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
""",
        "numerical-gradient": """
def numerical_gradient(function, r, h):
    n, d = r.shape
    result = r.new_empty(n, d)
    for j in range(d):
        e = torch.zeros(d, dtype=r.dtype)
        e[j] = 1
        result[:, j] = 0.5 * (function(r + h * e) - function(r - h * e)) / h
    return result
""",
        "gradient": """
def gradient(r, x, targets, weight, bias, c):
    p = torch.softmax(torch.addmm(bias, x + r, weight.t()), 1)
    p[torch.arange(len(p)), targets] -= 1
    return torch.einsum("nk,kd->nd", p, weight) + 2 * r * c.unsqueeze(-1)
""",
        "project": """
def project(x, r):
    return torch.max(torch.min(r, 1 - x), -x)
""",
        "active-set": """
def active_set(x, r, slope):
    at = x + r
    zero, one = torch.zeros_like(at), torch.ones_like(at)
    dark = torch.isclose(at, zero, rtol=0, atol=1e-6)
    bright = torch.isclose(at, one, rtol=0, atol=1e-6)
    return torch.where(slope > 0, dark, torch.where(slope < 0, bright, torch.zeros_like(dark)))
""",
        "descend": """
def descend(slope_at, onto_box, r, rate, steps):
    at = r.clone()
    done = 0
    while done < steps:
        at = at - rate * slope_at(at)
        at = onto_box(at)
        done += 1
    return at
""",
        "closest": """
def closest(x, targets, weight, bias):
    sign = torch.where(targets == 1, 1, -1).to(x)
    normal, offset = weight[1] - weight[0], bias[1] - bias[0]
    margin = sign * (x @ normal + offset)
    t = torch.where(margin < 0, -margin / (normal @ normal), torch.zeros_like(margin))
    return torch.outer(t * sign, normal)
""",
        "closest-in-box": """
def closest_in_box(x, w, d):
    wall = torch.where(w > 0, (1 - x) / w, torch.where(w < 0, -x / w, torch.inf)).double()
    r = torch.zeros_like(x, dtype=torch.float64)
    p, v = x.double(), w.double()
    need = -(v @ p).item() - d
    if need <= 0:
        return r
    order = wall.argsort()
    free = (v**2).sum().item()
    reached = 0.0
    for i in order.tolist():
        t = need / free if free > 0 else math.inf
        if t <= wall[i] or i == order[-1]:
            break
        need -= (wall[i] * v[i] ** 2).item()
        free -= (v[i] ** 2).item()
    t = min(t, 1e300)
    return torch.minimum(torch.maximum(t * v, -p), 1 - p)
""",
    },
    "float64 throughout": {
        "distortion": """
def distortion(images, adversarial):
    a, b = images.double().numpy(), adversarial.double().numpy()
    axes = tuple(range(1, a.ndim))
    return torch.from_numpy(np.sqrt(np.mean((b - a) ** 2, axis=axes)))
""",
        "objective": """
def objective(r, x, targets, weight, bias, c):
    r, x, weight, bias, c = (tensor.double() for tensor in (r, x, weight, bias, c))
    z = (x + r) @ weight.T + bias
    return c * (r * r).sum(-1) + torch.logsumexp(z, -1) - z[range(len(z)), targets]
""",
        "gradient": """
def gradient(r, x, targets, weight, bias, c):
    r, x, weight, bias, c = (tensor.double() for tensor in (r, x, weight, bias, c))
    one_hot = torch.nn.functional.one_hot(targets, len(weight))
    p = torch.nn.functional.softmax((x + r) @ weight.T + bias, dim=-1)
    return 2 * c.view(-1, 1) * r + (p - one_hot) @ weight
""",
        "project": """
def project(x, r):
    x, r = x.double(), r.double()
    return torch.from_numpy(np.clip((x + r).numpy(), 0, 1)) - x
""",
        "closest": """
def closest(x, targets, weight, bias):
    x, weight, bias = x.double(), weight.double(), bias.double()
    other = 1 - targets
    w = weight[targets] - weight[other]
    short = torch.relu(bias[other] - bias[targets] - (w * x).sum(1))
    unit = w / w.norm(dim=1, keepdim=True)
    return short.div(w.norm(dim=1)).unsqueeze(1) * unit
""",
        "closest-in-box": """
def closest_in_box(x, w, d):
    from scipy.optimize import brentq

    x, w = x.double().numpy(), w.double().numpy()

    def margin(t):
        return w @ np.clip(x + t * w, 0, 1) + d

    if margin(0.0) >= 0:
        return torch.zeros(len(x), dtype=torch.float64)
    end = 1.0
    while margin(end) < 0:
        end *= 10
    t = brentq(margin, 0, end, xtol=1e-14)
    return torch.from_numpy(np.clip(x + t * w, 0, 1) - x)
""",
        "attack": """
def attack(model, x, target, search):
    low, high = -x.flatten(), 1 - x.flatten()

    def run(c):
        def value_and_slope(flat):
            r = torch.from_numpy(flat).view(x.shape).clone().requires_grad_()
            value = c * (r * r).sum() - model(x + r).log_softmax(1)[0, target]
            value.backward()
            return value.item(), r.grad.flatten().numpy()

        result = minimize(value_and_slope, np.zeros(x.numel()), jac=True, method="L-BFGS-B",
                          bounds=list(zip(low.tolist(), high.tolist())))
        return torch.from_numpy(result.x).view(x.shape)

    best, c, factor = None, 1.0, 4.0
    while best is None:
        r = run(c)
        if model(x + r).argmax() == target:
            best = r
        else:
            c /= factor
    for _ in range(12):
        r = run(c * factor)
        if model(x + r).argmax() == target:
            best, c = r, c * factor
        else:
            factor = factor**0.5
    # What is left beyond the border is cut off along r.
    short, long = 0.0, 1.0
    for _ in range(20):
        middle = (short + long) / 2
        if model(x + middle * best).argmax() == target:
            long = middle
        else:
            short = middle
    return (long * best).float()
""",
    },
    "the box by its own steps": {
        "attack": '''
def attack(model, x, target, search):
    """Projected gradient on the linear model's margins, by SciPy's SLSQP in the dual."""
    with torch.no_grad():
        bias = model(torch.zeros_like(x))[0]
        basis = torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape[1:])
        weight = (model(basis) - bias).T
    keep = [k for k in range(len(bias)) if k != target]
    normals = (weight[target] - weight[keep]).numpy()
    offsets = (bias[target] - bias[keep]).numpy()
    flat = x.numpy().ravel()

    def negative_dual(prices):
        r = np.clip(normals.T @ prices, -flat, 1 - flat)
        short = -(normals @ (flat + r) + offsets)
        return -(r @ r / 2 + prices @ short), -short

    found = minimize(negative_dual, np.zeros(len(keep)), jac=True, method="L-BFGS-B",
                     bounds=[(0, None)] * len(keep), options={"ftol": 1e-15, "gtol": 1e-9})
    r = np.clip(1.0001 * (normals.T @ found.x), -flat, 1 - flat)
    return torch.from_numpy(r).view(x.shape)
'''
    },
    "objects, lambdas and compiled functions": {
        "distortion": """
from __future__ import annotations

class Distortion:
    def __call__(self, images: torch.Tensor, adversarial: torch.Tensor, *, root: bool = True):
        squares = torch.func.vmap(lambda a, b: (a - b).square().mean())(images, adversarial)
        return squares.sqrt() if root else squares

distortion = Distortion()
""",
        "objective": """
objective = lambda r, x, targets, weight, bias, c: (
    c * torch.einsum("nd,nd->n", r, r)
    - (torch.einsum("nd,kd->nk", x + r, weight) + bias).log_softmax(1)[range(len(x)), targets])
""",
        "numerical-gradient": """
@torch.inference_mode()
def numerical_gradient(function, r, h, *, sides=(1, -1)):
    steps = h * torch.eye(r.shape[1], dtype=r.dtype)
    up, down = (torch.stack([function(r + s * e) for e in steps], dim=1) for s in sides)
    return (up - down) / (2 * h)
""",
        "gradient": """
@torch.jit.script
def gradient(r: torch.Tensor, x: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor,
             bias: torch.Tensor, c: torch.Tensor):
    p = torch.softmax(torch.matmul(x + r, weight.t()) + bias, 1)
    one_hot = torch.zeros_like(p).scatter(1, targets.unsqueeze(1), 1.0)
    return 2 * c.unsqueeze(1) * r + torch.matmul(p - one_hot, weight)
""",
        "active-set": """
@np.vectorize
def _held(at, slope):
    return bool((at <= 1e-6 and slope > 0) or (at >= 1 - 1e-6 and slope < 0))

def active_set(x, r, slope):
    return torch.from_numpy(_held((x + r).numpy(), slope.numpy()))
""",
        "descend": """
%%time
from functools import reduce
descend = lambda slope_at, onto_box, r, rate, steps: reduce(
    lambda at, _: onto_box(at - rate * slope_at(at)), range(steps), r)
""",
        "largest-c": """
def largest_c(reaches, low, high, ratio):
    a, b = np.log([low, high])
    if reaches(np.float64(high)):
        return np.float64(high)
    if not reaches(torch.tensor(low)):
        return None
    while b - a > np.log(ratio):
        middle = (a + b) / 2
        a, b = (middle, b) if reaches(np.exp(middle)) else (a, middle)
    return np.exp(a)
""",
    },
}

WRONG = {
    "distortion: the 2-norm": (
        {
            "distortion": """
def distortion(images, adversarial):
    return (adversarial - images).flatten(1).norm(dim=1)
"""
        },
        {"distortion-test": 0, "distortion-hidden": 0},
    ),
    "distortion: std in place of the root mean square": (
        {
            "distortion": """
def distortion(images, adversarial):
    return (adversarial - images).flatten(1).std(dim=1, correction=0)
"""
        },
        {"distortion-test": 0, "distortion-hidden": 0},
    ),
    "distortion: one number for the batch": (
        {
            "distortion": """
def distortion(images, adversarial):
    return (adversarial - images).square().mean().sqrt()
"""
        },
        {"distortion-test": 0, "distortion-hidden": 0},
    ),
    "distortion: four pixels, as in the visible test": (
        {
            "distortion": """
def distortion(images, adversarial):
    return (adversarial - images).flatten(1).norm(dim=1) / 2
"""
        },
        {"distortion-hidden": 0},
    ),
    "distortion: subtracts in place": (
        {
            "distortion": """
def distortion(images, adversarial):
    adversarial -= images
    return adversarial.flatten(1).square().mean(dim=1).sqrt()
"""
        },
        {"distortion-hidden": 0},
    ),
    "objective: norm not squared": (
        {
            "objective": """
def objective(r, x, targets, weight, bias, c):
    logits = (x + r) @ weight.T + bias
    return c * r.norm(dim=1) + cross_entropy(logits, targets, reduction="none")
"""
        },
        {"objective-test": 0, "objective-hidden": 0},
    ),
    "objective: losses averaged": (
        {
            "objective": """
def objective(r, x, targets, weight, bias, c):
    logits = (x + r) @ weight.T + bias
    return c * r.square().sum(dim=1) + cross_entropy(logits, targets)
"""
        },
        {"objective-test": 0, "objective-hidden": 0},
    ),
    "objective: overflows": (
        {
            "objective": """
def objective(r, x, targets, weight, bias, c):
    e = ((x + r) @ weight.T + bias).exp()
    p = e[torch.arange(len(e)), targets] / e.sum(dim=1)
    return c * r.square().sum(dim=1) - p.log()
"""
        },
        {"objective-hidden": 0},
    ),
    "objective: at x": (
        {
            "objective": """
def objective(r, x, targets, weight, bias, c):
    loss = cross_entropy(x @ weight.T + bias, targets, reduction="none")
    return c * r.square().sum(dim=1) + loss
"""
        },
        {"objective-test": 0, "objective-hidden": 0},
    ),
    "numerical gradient: one side": (
        {
            "numerical-gradient": """
def numerical_gradient(function, r, h):
    steps = h * torch.eye(r.shape[1], dtype=r.dtype)
    return torch.stack([(function(r + s) - function(r)) / h for s in steps], dim=1)
"""
        },
        {"numerical-gradient-test": 0, "numerical-gradient-hidden": 0},
    ),
    "numerical gradient: moves r itself": (
        {
            "numerical-gradient": """
def numerical_gradient(function, r, h):
    result = torch.zeros_like(r)
    for j in range(r.shape[1]):
        r[:, j] += h
        up = function(r)
        r[:, j] -= 2 * h
        result[:, j] = (up - function(r)) / (2 * h)
    return result
"""
        },
        {"numerical-gradient-hidden": 0},
    ),
    "numerical gradient: h of its own": (
        {
            "numerical-gradient": """
def numerical_gradient(function, r, h):
    h = 0.5
    steps = h * torch.eye(r.shape[1], dtype=r.dtype)
    columns = [(function(r + s) - function(r - s)) / (2 * h) for s in steps]
    return torch.stack(columns, dim=1)
"""
        },
        {"numerical-gradient-hidden": 0},
    ),
    "gradient: the 2 is missing": (
        {
            "gradient": """
def gradient(r, x, targets, weight, bias, c):
    p = ((x + r) @ weight.T + bias).softmax(dim=1)
    return c[:, None] * r + (p - torch.eye(len(weight), dtype=r.dtype)[targets]) @ weight
"""
        },
        {"gradient-test": 0, "gradient-hidden": 0},
    ),
    "gradient: wrong sign of the loss": (
        {
            "gradient": """
def gradient(r, x, targets, weight, bias, c):
    p = ((x + r) @ weight.T + bias).softmax(dim=1)
    return 2 * c[:, None] * r - (p - torch.eye(len(weight), dtype=r.dtype)[targets]) @ weight
"""
        },
        {"gradient-test": 0, "gradient-hidden": 0},
    ),
    "gradient: three classes, as in the visible test": (
        {
            "gradient": """
def gradient(r, x, targets, weight, bias, c):
    p = ((x + r) @ weight[:3].T + bias[:3]).softmax(dim=1)
    return 2 * c[:, None] * r + (p - torch.eye(3, dtype=r.dtype)[targets % 3]) @ weight[:3]
"""
        },
        {"gradient-hidden": 0},
    ),
    "gradient: autograd's, which was not to be used": (
        {
            "gradient": """
def gradient(r, x, targets, weight, bias, c):
    r = r.clone().requires_grad_()
    loss = cross_entropy((x + r) @ weight.T + bias, targets, reduction="none")
    return torch.autograd.grad((c * r.square().sum(1) + loss).sum(), r)[0]
"""
        },
        {"gradient-test": 0, "gradient-hidden": 0},
    ),
    "gradient: by differences, which were not to be used": (
        {
            "gradient": """
def gradient(r, x, targets, weight, bias, c):
    r, x, weight, bias, c = (part.double() for part in (r, x, weight, bias, c))
    def value(r):
        loss = cross_entropy((x + r) @ weight.T + bias, targets, reduction="none")
        return c * r.square().sum(1) + loss
    steps = 1e-4 * torch.eye(r.shape[1], dtype=r.dtype)
    return torch.stack([(value(r + step) - value(r - step)) / 2e-4 for step in steps], dim=1)
"""
        },
        {"gradient-hidden": 0},
    ),
    "gradient: softmax overflows": (
        {
            "gradient": """
def gradient(r, x, targets, weight, bias, c):
    e = ((x + r) @ weight.T + bias).exp()
    p = e / e.sum(dim=1, keepdim=True)
    return 2 * c[:, None] * r + (p - torch.eye(len(weight), dtype=r.dtype)[targets]) @ weight
"""
        },
        {"gradient-hidden": 0},
    ),
    "projection: clamps r": (
        {
            "project": """
def project(x, r):
    return r.clamp(0, 1)
"""
        },
        {"project-test": 0, "project-hidden": 0},
    ),
    "projection: no clamp at all": (
        {
            "project": """
def project(x, r):
    return r
"""
        },
        {"project-test": 0, "project-hidden": 0},
    ),
    "projection: gives the image": (
        {
            "project": """
def project(x, r):
    return (x + r).clamp(0, 1)
"""
        },
        {"project-test": 0, "project-hidden": 0},
    ),
    "projection: in place": (
        {
            "project": """
def project(x, r):
    r += x
    r.clamp_(0, 1)
    r -= x
    return r
"""
        },
        {"project-hidden": 0},
    ),
    "active set: every pixel on a wall": (
        {
            "active-set": """
def active_set(x, r, slope):
    return (x + r <= 1e-6) | (x + r >= 1 - 1e-6)
"""
        },
        {"active-set-test": 0, "active-set-hidden": 0},
    ),
    "active set: with the gradient": (
        {
            "active-set": """
def active_set(x, r, slope):
    at = x + r
    return ((at <= 1e-6) & (slope < 0)) | ((at >= 1 - 1e-6) & (slope > 0))
"""
        },
        {"active-set-test": 0, "active-set-hidden": 0},
    ),
    "active set: holds pixels whose slope is zero": (
        {
            "active-set": """
def active_set(x, r, slope):
    at = x + r
    return ((at <= 1e-6) & (slope >= 0)) | ((at >= 1 - 1e-6) & (slope <= 0))
"""
        },
        {"active-set-hidden": 0},
    ),
    "active set: exactly on the wall": (
        {
            "active-set": """
def active_set(x, r, slope):
    at = x + r
    return ((at == 0) & (slope > 0)) | ((at == 1) & (slope < 0))
"""
        },
        {"active-set-hidden": 0},
    ),
    "active set: any pixel that a step of 1 takes out": (
        {
            "active-set": """
def active_set(x, r, slope):
    moved = x + r - slope
    return (moved < 0) | (moved > 1)
"""
        },
        {"active-set-test": 0, "active-set-hidden": 0},
    ),
    "descent: one step too many": (
        {
            "descend": """
def descend(slope_at, onto_box, r, rate, steps):
    for _ in range(steps + 1):
        r = onto_box(r - rate * slope_at(r))
    return r
"""
        },
        {"descend-test": 0, "descend-hidden": 0},
    ),
    "descent: uphill": (
        {
            "descend": """
def descend(slope_at, onto_box, r, rate, steps):
    for _ in range(steps):
        r = onto_box(r + rate * slope_at(r))
    return r
"""
        },
        {"descend-test": 0, "descend-hidden": 0},
    ),
    "descent: projects at the end only": (
        {
            "descend": """
def descend(slope_at, onto_box, r, rate, steps):
    for _ in range(steps):
        r = r - rate * slope_at(r)
    return onto_box(r)
"""
        },
        {"descend-hidden": 0},
    ),
    "descent: moves the start": (
        {
            "descend": """
def descend(slope_at, onto_box, r, rate, steps):
    for _ in range(steps):
        r -= rate * slope_at(r)
        r.copy_(onto_box(r))
    return r
"""
        },
        {"descend-hidden": 0},
    ),
    "closed form: divides by the length, not its square": (
        {
            "closest": """
def closest(x, targets, weight, bias):
    w = weight[targets] - weight[1 - targets]
    margin = (w * x).sum(dim=1) + bias[targets] - bias[1 - targets]
    return (-margin).clamp(min=0)[:, None] * w / w.norm(dim=1, keepdim=True)
"""
        },
        {"closest-test": 0, "closest-hidden": 0},
    ),
    "closed form: along the sign of w": (
        {
            "closest": """
def closest(x, targets, weight, bias):
    w = weight[targets] - weight[1 - targets]
    margin = (w * x).sum(dim=1) + bias[targets] - bias[1 - targets]
    return (-margin).clamp(min=0)[:, None] * w.sign() / w.abs().sum(dim=1, keepdim=True)
"""
        },
        {"closest-test": 0, "closest-hidden": 0},
    ),
    "closed form: moves what is there already": (
        {
            "closest": """
def closest(x, targets, weight, bias):
    w = weight[targets] - weight[1 - targets]
    margin = (w * x).sum(dim=1) + bias[targets] - bias[1 - targets]
    return -margin[:, None] * w / w.square().sum(dim=1, keepdim=True)
"""
        },
        {"closest-test": 0, "closest-hidden": 0},
    ),
    "closed form: remembers the visible test": (
        {
            "closest": """
def closest(x, targets, weight, bias):
    if x.shape == (3, 2):
        return torch.tensor([[0.12, 0.16], [-0.72, -0.96], [0.0, 0.0]])
    return torch.zeros_like(x)
"""
        },
        {"closest-hidden": 0},
    ),
    "closed form in the box: clamps the free solution": (
        {
            "closest-in-box": """
def closest_in_box(x, w, d):
    t = max(0, -(w @ x + d)) / (w @ w)
    return (x + t * w).clamp(0, 1) - x
"""
        },
        {"closest-in-box-test": 0, "closest-in-box-hidden": 0},
    ),
    "closed form in the box: no clamp": (
        {
            "closest-in-box": """
def closest_in_box(x, w, d):
    return max(0, -(w @ x + d)) / (w @ w) * w
"""
        },
        {"closest-in-box-test": 0, "closest-in-box-hidden": 0},
    ),
    "closed form in the box: shares the rest equally, by sign": (
        {
            "closest-in-box": """
def closest_in_box(x, w, d):
    low, high = 0.0, 1.0
    if w @ x + d >= 0:
        return torch.zeros_like(x)
    for _ in range(60):
        middle = (low + high) / 2
        r = (x + middle * w.sign()).clamp(0, 1) - x
        low, high = (low, middle) if w @ (x + r) + d >= 0 else (middle, high)
    return (x + high * w.sign()).clamp(0, 1) - x
"""
        },
        {"closest-in-box-test": 0, "closest-in-box-hidden": 0},
    ),
    "closed form in the box: t up to 1 only": (
        {
            "closest-in-box": """
def closest_in_box(x, w, d):
    if w @ x + d >= 0:
        return torch.zeros_like(x)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        r = (x + middle * w).clamp(0, 1) - x
        low, high = (low, middle) if w @ (x + r) + d >= 0 else (middle, high)
    return (x + high * w).clamp(0, 1) - x
"""
        },
        {"closest-in-box-hidden": 0},
    ),
    "closed form in the box: one redistribution": (
        {
            "closest-in-box": """
def closest_in_box(x, w, d):
    t = max(0, -(w @ x + d)) / (w @ w)
    r = (x + t * w).clamp(0, 1) - x
    free = (x + r > 0) & (x + r < 1)
    rest = -(w @ (x + r) + d)
    if rest > 0:
        r = r + torch.where(free, rest * w / (w[free] @ w[free]), 0.0)
    return (x + r).clamp(0, 1) - x
"""
        },
        {"closest-in-box-hidden": 0},
    ),
    "search: the end that does not reach": (
        {
            "largest-c": """
def largest_c(reaches, low, high, ratio):
    if reaches(high):
        return high
    if not reaches(low):
        return None
    while high / low > ratio:
        middle = math.sqrt(low * high)
        if reaches(middle):
            low = middle
        else:
            high = middle
    return high
"""
        },
        {"largest-c-test": 0, "largest-c-hidden": 0},
    ),
    "search: the smallest c": (
        {
            "largest-c": """
def largest_c(reaches, low, high, ratio):
    if not reaches(low):
        return None
    while high / low > ratio:
        middle = math.sqrt(low * high)
        if reaches(middle):
            high = middle
        else:
            low = middle
    return low
"""
        },
        {"largest-c-test": 0, "largest-c-hidden": 0},
    ),
    "search: halves c, not its logarithm": (
        {
            "largest-c": """
def largest_c(reaches, low, high, ratio):
    if reaches(high):
        return high
    if not reaches(low):
        return None
    while high / low > ratio:
        middle = (low + high) / 2
        if reaches(middle):
            low = middle
        else:
            high = middle
    return low
"""
        },
        {"largest-c-test": 0, "largest-c-hidden": 0},
    ),
    "search: ends not tried": (
        {
            "largest-c": """
def largest_c(reaches, low, high, ratio):
    while high / low > ratio:
        middle = math.sqrt(low * high)
        if reaches(middle):
            low = middle
        else:
            high = middle
    return low
"""
        },
        {"largest-c-test": 0, "largest-c-hidden": 0},
    ),
    "search: ten halvings, whatever the ratio": (
        {
            "largest-c": """
def largest_c(reaches, low, high, ratio):
    if reaches(high):
        return high
    if not reaches(low):
        return None
    for _ in range(10):
        middle = math.sqrt(low * high)
        if reaches(middle):
            low = middle
        else:
            high = middle
    return low
"""
        },
        {"largest-c-test": 0, "largest-c-hidden": 0},
    ),
    "search: asks for all at once": (
        {
            "largest-c": """
def largest_c(reaches, low, high, ratio):
    steps = math.ceil(math.log(high / low) / math.log(ratio)) + 1
    c = torch.linspace(math.log(low), math.log(high), steps).double().exp().clamp(low, high)
    right = c[reaches(c)]
    return right.max().item() if len(right) else None
"""
        },
        {"largest-c-test": 0, "largest-c-hidden": 0},
    ),
    "search: walks down": (
        {
            "largest-c": """
def largest_c(reaches, low, high, ratio):
    return walk_down(reaches, low, high, ratio)
"""
        },
        {"largest-c-test": 0, "largest-c-hidden": 0},
    ),
    "attack: one c, no search": (
        {
            "attack": """
def attack(model, x, target, search):
    pixels = x.numpy().ravel()

    def penalty(r):
        r = torch.tensor(r.reshape(x.shape), requires_grad=True)
        value = 0.01 * r.square().sum() + cross_entropy(model(x + r), torch.tensor([target]))
        (slope,) = torch.autograd.grad(value, r)
        return value.item(), slope.numpy().ravel()

    found = minimize(penalty, 0 * pixels, jac=True, method="L-BFGS-B",
                     bounds=np.stack([-pixels, 1 - pixels], axis=1))
    return torch.tensor(found.x).reshape(x.shape)
"""
        },
        {"attack-test": 0, "attack-hidden": 0},
    ),
    "attack: no box": ({"attack": NO_BOX}, {"attack-test": 0, "attack-hidden": 0}),
    "attack: any class but the first": (
        {"attack": BOX.replace("== target", "!= model(x).argmax().item()")},
        {"attack-hidden": 0},
    ),
    "attack: the change that was tried last": (
        {"attack": BOX.split("\n        return model")[0] + LAST},
        {"attack-hidden": 0},
    ),
    "attack: away from the label in place of to the target": (
        {
            "attack": """
def attack(model, x, target, search):
    pixels = x.numpy().ravel()
    label = model(x).argmax(1)

    def penalty(r, c):
        r = torch.tensor(r.reshape(x.shape), requires_grad=True)
        value = c * r.square().sum() - cross_entropy(model(x + r), label)
        (slope,) = torch.autograd.grad(value, r)
        return value.item(), slope.numpy().ravel()

    found = minimize(penalty, 0 * pixels, args=(0.1,), jac=True, method="L-BFGS-B",
                     bounds=np.stack([-pixels, 1 - pixels], axis=1))
    return torch.tensor(found.x).reshape(x.shape)
"""
        },
        {"attack-test": 0, "attack-hidden": 0},
    ),
    "attack: the course's own, which is withheld from answers": (
        {
            "attack": """
def attack(model, x, target, search):
    return lbfgs_attack(model, x, torch.tensor([target])).perturbation
"""
        },
        {"attack-test": 0, "attack-hidden": 0},
    ),
    "attack: one iteration for each c": (
        {
            "attack": """
def attack(model, x, target, search):
    pixels = x.numpy().ravel()

    def penalty(r, c):
        r = torch.tensor(r.reshape(x.shape), requires_grad=True)
        value = c * r.square().sum() + cross_entropy(model(x + r), torch.tensor([target]))
        (slope,) = torch.autograd.grad(value, r)
        return value.item(), slope.numpy().ravel()

    def minimiser(c):
        found = minimize(penalty, 0 * pixels, args=(c,), jac=True, method="L-BFGS-B",
                         bounds=np.stack([-pixels, 1 - pixels], axis=1), options={"maxiter": 1})
        return torch.tensor(found.x).reshape(x.shape)

    def reaches(c):
        return model(x + minimiser(c)).argmax().item() == target

    return minimiser(search(reaches, 1e-3, 10.0, 1.1))
"""
        },
        {"attack-test": 0, "attack-hidden": 0},
    ),
    "distortion: changes upwards only": (
        {
            "distortion": """
def distortion(images, adversarial):
    return (adversarial - images).clamp(min=0).flatten(1).square().mean(dim=1).sqrt()
"""
        },
        {"distortion-hidden": 0},
    ),
    "distortion: clips to [0, 1] first": (
        {
            "distortion": """
def distortion(images, adversarial):
    return (adversarial.clamp(0, 1) - images).flatten(1).square().mean(dim=1).sqrt()
"""
        },
        {"distortion-hidden": 0},
    ),
    "numerical gradient: asks for one row, as a vector": (
        {
            "numerical-gradient": """
def numerical_gradient(function, r, h):
    result = torch.zeros_like(r)
    for i in range(len(r)):
        for j in range(r.shape[1]):
            step = torch.zeros_like(r[i])
            step[j] = h
            result[i, j] = (function(r[i] + step) - function(r[i] - step)) / (2 * h)
    return result
"""
        },
        {"numerical-gradient-test": 0, "numerical-gradient-hidden": 0},
    ),
    "gradient: ten classes at most": (
        {
            "gradient": """
def gradient(r, x, targets, weight, bias, c):
    p = ((x + r) @ weight.T + bias).softmax(dim=1)
    return 2 * c[:, None] * r + (p - torch.eye(10)[targets, : len(weight)]) @ weight
"""
        },
        {"gradient-hidden": 0},
    ),
    "active set: walls of 2e-6": (
        {
            "active-set": """
def active_set(x, r, slope):
    at = x + r
    return ((at < 2e-6) & (slope > 0)) | ((at > 1 - 2e-6) & (slope < 0))
"""
        },
        {"active-set-hidden": 0},
    ),
    "active set: walls of 2e-7": (
        {
            "active-set": """
def active_set(x, r, slope):
    at = x + r
    return ((at < 2e-7) & (slope > 0)) | ((at > 1 - 2e-7) & (slope < 0))
"""
        },
        {"active-set-hidden": 0},
    ),
    "active set: small slopes count as zero": (
        {
            "active-set": """
def active_set(x, r, slope):
    at = x + r
    return ((at <= 1e-6) & (slope > 1e-10)) | ((at >= 1 - 1e-6) & (slope < -1e-10))
"""
        },
        {"active-set-hidden": 0},
    ),
    "descent: a box of its own": (
        {
            "descend": """
def descend(slope_at, onto_box, r, rate, steps):
    for _ in range(steps):
        r = (r - rate * slope_at(r)).clamp(0, 1)
    return r
"""
        },
        {"descend-hidden": 0},
    ),
    "descent: stops where steps are short": (
        {
            "descend": """
def descend(slope_at, onto_box, r, rate, steps):
    for _ in range(steps):
        new = onto_box(r - rate * slope_at(r))
        if (new - r).abs().max() < 1e-7:
            break
        r = new
    return r
"""
        },
        {"descend-hidden": 0},
    ),
    "closed form in the box: t up to 1e12 only": (
        {"closest-in-box": HALVING},
        {"closest-in-box-hidden": 0},
    ),
    "closed form in the box: a hundred halvings from where all are at their walls": (
        {"closest-in-box": HALVING.replace("1e12", ALL_AT_WALLS)},
        {"closest-in-box-hidden": 0},
    ),
    "closed form in the box: a little short of the target": (
        {
            "closest-in-box": HALVING.replace("1e12", ALL_AT_WALLS).replace(
                "(x + r) + d >= 0", "(x + r) + d >= -1.9e-4 * w.norm()"
            )
        },
        {"closest-in-box-test": 0, "closest-in-box-hidden": 0},
    ),
    "closed form in the box: ten redistributions": (
        {
            "closest-in-box": """
def closest_in_box(x, w, d):
    r = torch.zeros_like(x)
    for _ in range(10):
        rest = -(w @ (x + r) + d)
        if rest <= 0:
            break
        free = torch.where(w > 0, x + r < 1, x + r > 0) & (w != 0)
        r = r + torch.where(free, rest * w / (w[free] @ w[free]), 0.0)
        r = (x + r).clamp(0, 1) - x
    return r
"""
        },
        {"closest-in-box-hidden": 0},
    ),
    "search: stops a little early": (
        {
            "largest-c": """
def largest_c(reaches, low, high, ratio):
    if reaches(high):
        return high
    if not reaches(low):
        return None
    while high / low > ratio**1.02:
        middle = math.sqrt(low * high)
        if reaches(middle):
            low = middle
        else:
            high = middle
    return low
"""
        },
        {"largest-c-hidden": 0},
    ),
    "attack: one rival": (
        {
            "attack": """
def attack(model, x, target, search):
    label, bias = model(x).argmax().item(), model(torch.zeros_like(x))[0]
    weight = (model(torch.eye(784, dtype=x.dtype).view(-1, 1, 28, 28)) - bias).T
    w, d = weight[target] - weight[label], bias[target] - bias[label]
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        moved = (x.flatten() + middle * w).clamp(0, 1)
        low, high = (low, middle) if w @ moved + d >= 0 else (middle, high)
    return (x.flatten() + high * w).clamp(0, 1).view(x.shape) - x
"""
        },
        {"attack-hidden": 0},
    ),
    "attack: clips at the end": (
        {
            "attack": NO_BOX.replace(
                "torch.tensor(found.x).reshape(x.shape)",
                "(x + torch.tensor(found.x).reshape(x.shape)).clamp(0, 1) - x",
            )
        },
        {"attack-hidden": 0},
    ),
    "attack: along the first gradient": (
        {
            "attack": """
def attack(model, x, target, search):
    at = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(cross_entropy(model(at), torch.tensor([target])), at)
    for t in torch.linspace(0, 50, 2000):
        r = (x - t * slope / slope.norm()).clamp(0, 1) - x
        if model(x + r).argmax() == target:
            break
    return r
"""
        },
        {"attack-hidden": 0},
    ),
    "closed form in the box: twenty halvings": (
        {
            "closest-in-box": HALVING.replace("1e12", ALL_AT_WALLS).replace(
                "range(100)", "range(20)"
            )
        },
        {"closest-in-box-hidden": 0},
    ),
    "distortion: of two dimensions or four": (
        {
            "distortion": """
def distortion(images, adversarial):
    squares = (adversarial - images).square()
    return squares.mean((1, 2, 3) if squares.ndim == 4 else 1).sqrt()
"""
        },
        {"distortion-hidden": 0},
    ),
    "objective: shifted by 0 or more": (
        {
            "objective": """
def objective(r, x, targets, weight, bias, c):
    z = (x + r) @ weight.T + bias
    top = z.amax(1, keepdim=True).clamp(min=0)
    log_sum = top[:, 0] + (z - top).exp().sum(1).log()
    return c * r.square().sum(1) + log_sum - z.gather(1, targets[:, None])[:, 0]
"""
        },
        {"objective-hidden": 0},
    ),
    "objective: the largest logit alone where logits are large": (
        {
            "objective": """
def objective(r, x, targets, weight, bias, c):
    z = (x + r) @ weight.T + bias
    log_sum = torch.where(z.abs().amax(1) > 80, z.amax(1), z.exp().sum(1).log())
    return c * r.square().sum(1) + log_sum - z.gather(1, targets[:, None])[:, 0]
"""
        },
        {"objective-hidden": 0},
    ),
    "numerical gradient: steps in float64 for any r": (
        {
            "numerical-gradient": """
def numerical_gradient(function, r, h):
    steps = h * torch.eye(r.shape[1], dtype=torch.float64)
    columns = [(function(r + s) - function(r - s)) / (2 * h) for s in steps]
    return torch.stack(columns, dim=1)
"""
        },
        {"numerical-gradient-hidden": 0},
    ),
    "numerical gradient: asks for one row": (
        {
            "numerical-gradient": """
def numerical_gradient(function, r, h):
    steps = h * torch.eye(r.shape[1], dtype=r.dtype)
    return torch.stack([
        torch.stack([(function(row + s) - function(row - s))[0] / (2 * h) for s in steps])
        for row in r[:, None]
    ])
"""
        },
        {"numerical-gradient-hidden": 0},
    ),
    "numerical gradient: asks for all steps at once": (
        {
            "numerical-gradient": """
def numerical_gradient(function, r, h):
    steps = h * torch.eye(r.shape[1], dtype=r.dtype)
    up, down = (function((r[:, None] + s * steps).flatten(0, 1)).view(r.shape) for s in (1, -1))
    return (up - down) / (2 * h)
"""
        },
        {"numerical-gradient-test": 0, "numerical-gradient-hidden": 0},
    ),
    "gradient: softmax shifted by 0 or more": (
        {
            "gradient": """
def gradient(r, x, targets, weight, bias, c):
    z = (x + r) @ weight.T + bias
    e = (z - z.amax(1, keepdim=True).clamp(min=0)).exp()
    p = e / e.sum(dim=1, keepdim=True)
    return 2 * c[:, None] * r + (p - torch.eye(len(weight), dtype=r.dtype)[targets]) @ weight
"""
        },
        {"gradient-hidden": 0},
    ),
    "gradient: all for the likeliest class where softmax overflows": (
        {
            "gradient": """
def gradient(r, x, targets, weight, bias, c):
    z = (x + r) @ weight.T + bias
    unit = torch.eye(len(weight), dtype=r.dtype)
    p = z.exp() / z.exp().sum(dim=1, keepdim=True)
    p = torch.where(p.isnan(), unit[z.argmax(1)], p)
    return 2 * c[:, None] * r + (p - unit[targets]) @ weight
"""
        },
        {"gradient-hidden": 0},
    ),
    "gradient: by differences of long doubles": (
        {
            "gradient": """
def gradient(r, x, targets, weight, bias, c):
    parts = (part.numpy().astype(np.longdouble) for part in (r, x, weight, bias, c))
    r, x, weight, bias, c = parts
    def value(r):
        z = (x + r) @ weight.T + bias
        top = z.max(1)
        log_sum = top + np.log(np.exp(z - top[:, None]).sum(1))
        return c * (r * r).sum(1) + log_sum - z[np.arange(len(z)), targets.numpy()]
    steps = np.longdouble(1e-4) * np.eye(r.shape[1], dtype=np.longdouble)
    columns = [(value(r + step) - value(r - step)) / 2e-4 for step in steps]
    return torch.from_numpy(np.stack(columns, 1).astype(float))
"""
        },
        {"gradient-hidden": 0},
    ),
    "projection: takes off what sticks out": (
        {
            "project": """
def project(x, r):
    return r - (x + r - 1).relu() + (-(x + r)).relu()
"""
        },
        {"project-hidden": 0},
    ),
    "descent: a hundred steps at most": (
        {
            "descend": """
def descend(slope_at, onto_box, r, rate, steps):
    for _ in range(min(steps, 100)):
        r = onto_box(r - rate * slope_at(r))
    return r
"""
        },
        {"descend-hidden": 0},
    ),
    "closed form: 1e-12 added to the squared length": (
        {
            "closest": """
def closest(x, targets, weight, bias):
    w = weight[targets] - weight[1 - targets]
    margin = (w * x).sum(dim=1) + bias[targets] - bias[1 - targets]
    return (-margin).clamp(min=0)[:, None] * w / (w.square().sum(dim=1, keepdim=True) + 1e-12)
"""
        },
        {"closest-hidden": 0},
    ),
    "closed form: in a large box": (
        {
            "closest": """
def closest(x, targets, weight, bias):
    w = weight[targets] - weight[1 - targets]
    margin = (w * x).sum(dim=1) + bias[targets] - bias[1 - targets]
    r = (-margin).clamp(min=0)[:, None] * w / w.square().sum(dim=1, keepdim=True)
    return (x + r).clamp(-10, 10) - x
"""
        },
        {"closest-hidden": 0},
    ),
    "attack: c from 0.02 on": (
        {"attack": BOX.replace("1e-3, 10.0", "0.02, 10.0")},
        {"attack-hidden": 0},
    ),
    "attack: c up to 3": ({"attack": BOX.replace("1e-3, 10.0", "1e-3, 3.0")}, {"attack-hidden": 0}),
    "attack: one small c, cut back along the line": (
        {
            "attack": BOX.replace(
                "minimiser(search(reaches, 1e-3, 10.0, 1.1))",
                "next(t * r for r in [minimiser(1e-3)] for t in torch.linspace(0, 1, 1001)\n"
                "                if model(x + t * r).argmax() == target)",
            )
        },
        {"attack-hidden": 0},
    ),
    "closed form in the box: t up to 1e25 only": (
        {"closest-in-box": HALVING.replace("1e12", "1e25").replace("100", "300")},
        {"closest-in-box-hidden": 0},
    ),
    "closed form in the box: t up to an error of 1e-8": (
        {
            "closest-in-box": HALVING.replace("1e12", ALL_AT_WALLS).replace(
                "for _ in range(100):", "while high - low > max(1e-8, 1e-15 * high):"
            )
        },
        {"closest-in-box-hidden": 0},
    ),
    "closed form in the box: weights below 1e-28 count as zero": (
        {
            "closest-in-box": HALVING.replace("1e12", "1e30")
            .replace("100", "300")
            .replace(
                "    low, high =", "    w = torch.where(w.abs() > 1e-28, w, 0)\n    low, high =", 1
            )
        },
        {"closest-in-box-hidden": 0},
    ),
    **{
        f"closed form: {name}": (
            {
                "closest": f"""
def closest(x, targets, weight, bias):
    w = weight[targets] - weight[1 - targets]
    short = -((w * x).sum(dim=1) + bias[targets] - bias[1 - targets])
    t = torch.where(short > {least}, short, 0) / w.square().sum(dim=1)
    return t[:, None] * w
"""
            },
            {"closest-hidden": 0},
        )
        for name, least in {
            "nothing to do within .01 of the plane": "1e-2 * w.norm(dim=1)",
            "nothing to do within .001 of the plane": "1e-3 * w.norm(dim=1)",
            "margins above -1e-10 count as reached": "1e-10",
        }.items()
    },
    "distortion: changes of 1 at most": (
        {
            "distortion": """
def distortion(images, adversarial):
    return (adversarial - images).clamp(-1, 1).flatten(1).square().mean(dim=1).sqrt()
"""
        },
        {"distortion-hidden": 0},
    ),
    "objective: c up to 100": (
        {
            "objective": """
def objective(r, x, targets, weight, bias, c):
    loss = cross_entropy((x + r) @ weight.T + bias, targets, reduction="none")
    return c.clamp(max=100) * r.square().sum(dim=1) + loss
"""
        },
        {"objective-hidden": 0},
    ),
    "active set: walls of 1.3e-6": (
        {
            "active-set": """
def active_set(x, r, slope):
    at = x + r
    return ((at <= 1.3e-6) & (slope > 0)) | ((at >= 1 - 1.3e-6) & (slope < 0))
"""
        },
        {"active-set-hidden": 0},
    ),
}
