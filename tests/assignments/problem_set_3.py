"""Answers to problem set 3: right ones written another way, and wrong ones with their marks."""

BOUND = """
def network_bound(model):
    bound = 1.0
    for layer in model:
        if isinstance(layer, nn.Linear):
            bound *= torch.linalg.matrix_norm(layer.weight.double(), 2).item()
        elif isinstance(layer, nn.Sigmoid):
            bound *= 0.25
        elif not isinstance(layer, nn.Flatten | nn.ReLU):
            return math.inf
    return bound
"""
STRANGE = "not isinstance(layer, nn.Flatten | nn.ReLU)"
POWER = {
    "channel-norm": """
def channel_norm(weight, size):
    transform = torch.fft.fft2(weight.double(), s=size).permute(2, 3, 0, 1)
    v = torch.ones(*transform.shape[:2], weight.shape[1], 1, dtype=transform.dtype)
    for _ in range(100):
        v = transform.mH @ (transform @ v)
        v = v / v.norm(dim=2, keepdim=True).clamp(min=1e-30)
    return (transform @ v).norm(dim=2).max()
""",
    "strided-norm": """
def strided_norm(weight, size, stride):
    rows, columns = size[0] // stride, size[1] // stride
    tiles = torch.fft.fft2(weight.double(), s=size)
    tiles = tiles.unflatten(3, (stride, columns)).unflatten(2, (stride, rows))
    beside = tiles.permute(3, 5, 0, 1, 2, 4).flatten(3)
    v = torch.ones(rows, columns, beside.shape[3], 1, dtype=beside.dtype)
    for _ in range(100):
        v = beside.mH @ (beside @ v)
        v = v / v.norm(dim=2, keepdim=True).clamp(min=1e-30)
    return (beside @ v).norm(dim=2).max() / stride
""",
    "network-bound": """
def network_bound(model):
    bound = 1.0
    for layer in model:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.double()
            v = torch.ones(weight.shape[1], dtype=weight.dtype)
            for _ in range(100):
                v = weight.T @ (weight @ v)
                v = v / v.norm().clamp(min=1e-30)
            bound *= (weight @ v).norm().item()
        elif isinstance(layer, nn.Sigmoid):
            bound *= 0.25
        elif not isinstance(layer, nn.Flatten | nn.ReLU):
            return math.inf
    return bound
""",
}

RIGHT = {
    "loops": {
        "power-iteration": """
def power_iteration(matrix, start, steps):
    columns = len(start)
    length = sum(float(s) ** 2 for s in start) ** 0.5
    v = [float(s) / length for s in start]
    def apply(rows, vector):
        return [sum(float(a) * b for a, b in zip(row, vector)) for row in rows]
    for _ in range(steps):
        v = apply(matrix.T.tolist(), apply(matrix.tolist(), v))
        length = sum(a * a for a in v) ** 0.5
        if length == 0.0:
            return 0.0
        v = [a / length for a in v]
    return sum(a * a for a in apply(matrix.tolist(), v)) ** 0.5
""",
        "as-matrix": """
def as_matrix(operation, size):
    matrix = None
    for i in range(size[0]):
        for j in range(size[1]):
            unit = torch.zeros(size, dtype=torch.float64)
            unit[i, j] = 1
            response = operation(unit).reshape(-1)
            if matrix is None:
                matrix = torch.zeros(len(response), size[0] * size[1], dtype=torch.float64)
            matrix[:, i * size[1] + j] = response
    return matrix
""",
        "circular-norm": """
def circular_norm(kernel, size):
    best = 0.0
    height, width = size
    w = kernel.tolist()
    for j in range(height):
        for k in range(width):
            total = 0
            for a in range(len(w)):
                for b in range(len(w[0])):
                    turn = -2 * math.pi * (j * a / height + k * b / width)
                    total += w[a][b] * complex(math.cos(turn), math.sin(turn))
            best = max(best, abs(total))
    return best
""",
        "channel-norm": """
def channel_norm(weight, size):
    transform = torch.fft.fft2(weight.double(), s=size)
    best = 0.0
    for j in range(size[0]):
        for k in range(size[1]):
            best = max(best, torch.linalg.svdvals(transform[:, :, j, k])[0].item())
    return best
""",
        "strided-norm": """
def strided_norm(weight, size, stride):
    transform = torch.fft.fft2(weight, s=size)
    rows, columns = size[0] // stride, size[1] // stride
    best = torch.tensor(0.0, dtype=weight.dtype)
    for j in range(rows):
        for k in range(columns):
            beside = torch.cat([transform[:, :, j + p * rows, k + q * columns]
                                for q in range(stride) for p in range(stride)], dim=1)
            best = torch.maximum(best, torch.linalg.svdvals(beside).max() / stride)
    return best
""",
        "pool-constant": """
def pool_constant(size, kernel, stride):
    largest = 0
    for row in range(size):
        for column in range(size):
            count = 0
            for top in range(0, size, stride):
                for left in range(0, size, stride):
                    if top + kernel > size or left + kernel > size:
                        continue
                    if 0 <= row - top < kernel and 0 <= column - left < kernel:
                        count += 1
            largest = max(largest, count)
    return math.sqrt(largest)
""",
        "network-bound": """
def network_bound(model):
    constants = []
    for layer in model:
        if type(layer) is nn.Linear:
            constants.append(torch.linalg.svdvals(layer.weight)[0])
        elif type(layer) is nn.Sigmoid:
            constants.append(torch.tensor(0.25))
        elif type(layer) in (nn.ReLU, nn.Flatten):
            constants.append(torch.tensor(1.0))
        else:
            return float("inf")
    product = torch.tensor(1.0)
    for constant in constants:
        product = product * constant
    return product
""",
        "certified-radius": """
def certified_radius(logits, labels, bound):
    radii = []
    for row, label in zip(logits, labels):
        rivals = torch.cat([row[:label], row[label + 1:]])
        radii.append(max((row[label] - rivals.max()).item(), 0.0) / (2 * bound**2) ** 0.5)
    return torch.tensor(radii)
""",
    },
    "numpy, in float64": {
        "power-iteration": """
import numpy as np

def power_iteration(matrix, start, steps):
    W, v = matrix.numpy().astype(float), start.numpy().astype(float)
    v = v / np.linalg.norm(v)
    k = 0
    while k < steps:
        v = W.T @ W @ v
        norm = np.sqrt(np.sum(v**2))
        if norm > 0:
            v = v / norm
        k += 1
    return np.linalg.norm(W @ v)
""",
        "as-matrix": """
import numpy as np

def as_matrix(operation, size):
    n = size[0] * size[1]
    return np.array([operation(torch.tensor(np.eye(n)[i].reshape(size))).numpy().ravel()
                     for i in range(n)]).T
""",
        "circular-norm": """
import numpy as np

def circular_norm(kernel, size):
    padded = np.zeros(size)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    return np.max(np.abs(np.fft.fft2(padded)))
""",
        "channel-norm": """
import numpy as np

def channel_norm(weight, size):
    waves = np.fft.fft2(weight.numpy().astype(np.float64), size)
    gram = np.einsum("oihw,pihw->hwop", waves, waves.conj())
    return np.sqrt(np.linalg.eigvalsh(gram).max())
""",
        "certified-radius": """
import numpy as np

def certified_radius(logits, labels, bound):
    z, y = logits.numpy().astype(float), labels.numpy()
    own = np.take_along_axis(z, y[:, None], 1)[:, 0]
    hidden = np.where(np.arange(z.shape[1]) == y[:, None], -np.inf, z)
    return np.maximum(own - hidden.max(1), 0) / np.sqrt(2) / bound
""",
    },
    "other ways through": {
        "power-iteration": """
def power_iteration(matrix, start, steps):
    gram = matrix.double().T @ matrix.double()
    direction = torch.nn.functional.normalize(start.double(), dim=0)
    for _ in range(steps):
        direction = torch.nn.functional.normalize(gram @ direction, dim=0, eps=1e-300)
    return torch.linalg.vector_norm(matrix.double() @ direction)
""",
        "as-matrix": """
def as_matrix(operation, size):
    zero = torch.zeros(size, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(operation, zero)
    return jacobian.reshape(-1, zero.numel())
""",
        "circular-norm": """
def circular_norm(kernel, size):
    rows = torch.exp(-2j * math.pi * torch.outer(torch.arange(size[0]),
                                                 torch.arange(kernel.shape[0])) / size[0])
    columns = torch.exp(-2j * math.pi * torch.outer(torch.arange(kernel.shape[1]),
                                                    torch.arange(size[1])) / size[1])
    return (rows @ kernel.to(rows.dtype) @ columns).abs().amax().item()
""",
        "channel-norm": """
def channel_norm(weight, size):
    per_wave = torch.fft.rfft2(weight, s=tuple(size)).flatten(2).permute(2, 1, 0)
    return torch.linalg.svd(per_wave)[1].max()
""",
        "strided-norm": """
def strided_norm(weight, size, stride):
    # The pixels that a stride tells apart are channels of their own, without a stride.
    height, width = size
    padded = torch.zeros(*weight.shape[:2], height, width, dtype=weight.dtype)
    padded[:, :, : weight.shape[2], : weight.shape[3]] = weight
    phases = [torch.fft.fft2(padded[:, :, p::stride, q::stride])
              for p in range(stride) for q in range(stride)]
    return torch.linalg.matrix_norm(torch.cat(phases, 1).permute(2, 3, 0, 1), 2).max()
""",
        "pool-constant": """
def pool_constant(size, kernel, stride):
    windows = (size - kernel) // stride + 1
    return min(windows, math.ceil(kernel / stride))
""",
        "network-bound": """
def network_bound(model):
    one = lambda layer: 1.0
    known = {nn.Flatten: one, nn.ReLU: one, nn.Sigmoid: lambda layer: 1 / 4,
             nn.Linear: lambda layer: float(torch.linalg.norm(layer.weight, ord=2))}
    return math.prod(known.get(type(layer), lambda layer: math.inf)(layer) for layer in model)
""",
        "certified-radius": """
def certified_radius(logits, labels, bound):
    is_true = torch.nn.functional.one_hot(labels, logits.shape[1]).bool()
    differences = logits[is_true][:, None] - logits
    smallest = differences[~is_true].view(len(logits), -1).min(dim=1).values
    return torch.relu(smallest) * 0.5**0.5 / bound
""",
    },
    "forward mode, recursion, operators of scipy": {
        "power-iteration": """
from decimal import Decimal
from scipy.sparse.linalg import aslinearoperator

def power_iteration(matrix, start, steps):
    W, v = aslinearoperator(matrix.double().numpy()), start.double().numpy()
    v = v / (v @ v) ** 0.5
    for _ in range(steps):
        v = W.rmatvec(W.matvec(v))
        if not v.any():
            return Decimal(0)
        v = v / (v @ v) ** 0.5
    return Decimal(float((W.matvec(v) @ W.matvec(v)) ** 0.5))
""",
        "as-matrix": """
def as_matrix(operation, size):
    zero = torch.zeros(size, dtype=torch.float64)
    return torch.func.jacfwd(operation)(zero).reshape(-1, zero.numel())
""",
        "network-bound": """
def network_bound(model):
    match list(model):
        case []:
            return 1
        case [nn.Linear() as layer, *rest]:
            first = torch.linalg.svdvals(layer.weight.double()).amax().item()
        case [nn.Sigmoid(), *rest]:
            first = 0.25
        case [nn.ReLU() | nn.Flatten(), *rest]:
            first = 1
        case _:
            return math.inf
    return first * network_bound(nn.Sequential(*rest))
""",
        "pool-constant": """
def pool_constant(size, kernel, stride):
    windows = torch.ones(1, 1, (size - kernel) // stride + 1)
    return nn.functional.conv_transpose1d(windows, torch.ones(1, 1, kernel), stride=stride).max()
""",
    },
}
RIGHT["what is nested, layer by layer"] = {
    "network-bound": """
def network_bound(model):
    bound = 1.0
    for layer in model:
        if isinstance(layer, nn.Linear):
            bound *= torch.linalg.matrix_norm(layer.weight.double(), 2).item()
        elif isinstance(layer, nn.Sigmoid):
            bound *= 0.25
        elif isinstance(layer, nn.Sequential):
            bound *= network_bound(layer)
        elif type(layer) not in (nn.Flatten, nn.ReLU):
            bound *= math.inf
    return bound
"""
}
RIGHT["waves as matrices, in float32"] = {
    "power-iteration": """
def power_iteration(matrix, start, steps):
    matrix, v = matrix.float(), start.float() / start.float().norm()
    for _ in range(steps):
        v = matrix.T @ (matrix @ v)
        if not v.any():
            return 0
        v = v / v.norm()
    return (matrix @ v).norm()
""",
    "circular-norm": """
def circular_norm(kernel, size):
    padded = torch.zeros(size, dtype=torch.cfloat)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    def waves(pixels):
        turns = torch.outer(torch.arange(pixels), torch.arange(pixels)) % pixels / pixels
        return torch.exp(-2j * math.pi * turns)
    return (waves(size[0]) @ padded @ waves(size[1])).abs().max()
""",
    "channel-norm": """
def channel_norm(weight, size):
    transform = torch.fft.fft2(weight.float(), s=size).permute(2, 3, 0, 1)
    return torch.linalg.svdvals(transform).max()
""",
    "strided-norm": """
def strided_norm(weight, size, stride):
    rows, columns = size[0] // stride, size[1] // stride
    transform = torch.fft.fft2(weight.float(), s=size)
    tiles = transform.unflatten(3, (stride, columns)).unflatten(2, (stride, rows))
    return torch.linalg.svdvals(tiles.permute(3, 5, 0, 1, 2, 4).flatten(3)).max() / stride
""",
    "network-bound": """
def network_bound(model):
    bound = 1.0
    for layer in model:
        if isinstance(layer, nn.Linear):
            bound = bound * torch.linalg.svdvals(layer.weight.float()).max()
        elif isinstance(layer, nn.Sigmoid):
            bound = bound / 4
        elif not isinstance(layer, (nn.Flatten, nn.ReLU)):
            return torch.tensor(math.inf)
    return bound
""",
    "certified-radius": """
def certified_radius(logits, labels, bound):
    z = logits.float()
    own = z.gather(1, labels[:, None])[:, 0]
    rivals = z.scatter(1, labels[:, None], -math.inf).amax(1)
    return torch.where(own > rivals, own - rivals, 0) / 2**0.5 / bound
""",
}

WRONG = {
    "one step too many": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v = start / start.norm()
    for _ in range(steps + 1):
        v = matrix.T @ (matrix @ v)
        if v.norm() == 0:
            return 0.0
        v = v / v.norm()
    return (matrix @ v).norm()
"""
        },
        {"power-iteration-test": 0, "power-iteration-edges": 0},
    ),
    "one step too few": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v = start / start.norm()
    for _ in range(1, steps):
        v = matrix.T @ (matrix @ v)
        if v.norm() == 0:
            return 0.0
        v = v / v.norm()
    return (matrix @ v).norm()
"""
        },
        {"power-iteration-test": 0},
    ),
    "the eigenvalue instead of the norm": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v = start / start.norm()
    for _ in range(steps):
        v = matrix.T @ (matrix @ v)
        if v.norm() == 0:
            return 0.0
        v = v / v.norm()
    return (matrix @ v).norm() ** 2
"""
        },
        {"power-iteration-test": 0, "power-iteration-edges": 0},
    ),
    "never back to length 1": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v = start / start.norm()
    for _ in range(steps):
        v = matrix.T @ (matrix @ v)
    return 0.0 if v.norm() == 0 else (matrix @ v).norm() / v.norm()
"""
        },
        {"power-iteration-test": 0, "power-iteration-edges": 0},
    ),
    "divided by zero": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v = start / start.norm()
    for _ in range(steps):
        v = matrix.T @ (matrix @ v)
        v = v / v.norm()
    return (matrix @ v).norm()
"""
        },
        {"power-iteration-edges": 0},
    ),
    "the start changed in place": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v = start
    v /= v.norm()
    for _ in range(steps):
        v = matrix.T @ (matrix @ v)
        if v.norm() == 0:
            return 0.0
        v = v / v.norm()
    return (matrix @ v).norm()
"""
        },
        {"power-iteration-edges": 0},
    ),
    "singular value decomposition": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    return torch.linalg.svdvals(matrix)[0]
"""
        },
        {"power-iteration-test": 0, "power-iteration-edges": 0},
    ),
    "matrix transposed": (
        {
            "as-matrix": """
def as_matrix(operation, size):
    units = torch.eye(size[0] * size[1], dtype=torch.float64)
    return torch.stack([operation(unit.view(size)).flatten() for unit in units])
"""
        },
        {"as-matrix-test": 0, "as-matrix-sizes": 0},
    ),
    "output of the input's size": (
        {
            "as-matrix": """
def as_matrix(operation, size):
    n = size[0] * size[1]
    matrix = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        unit = torch.zeros(n, dtype=torch.float64)
        unit[i] = 1
        matrix[:, i] = operation(unit.view(size)).flatten()
    return matrix
"""
        },
        {"as-matrix-sizes": 0},
    ),
    "pictures column by column": (
        {
            "as-matrix": """
def as_matrix(operation, size):
    units = torch.eye(size[0] * size[1], dtype=torch.float64)
    columns = [operation(unit.view(size[1], size[0]).T).flatten() for unit in units]
    return torch.stack(columns, 1)
"""
        },
        {"as-matrix-test": 0, "as-matrix-sizes": 0},
    ),
    "the kernel's own transform": (
        {
            "circular-norm": """
def circular_norm(kernel, size):
    return torch.fft.fft2(kernel).abs().max()
"""
        },
        {"circular-norm-test": 0, "circular-norm-time": 0},
    ),
    "frequency 0 only": (
        {
            "circular-norm": """
def circular_norm(kernel, size):
    return kernel.sum().abs()
"""
        },
        {"circular-norm-test": 0, "circular-norm-time": 0},
    ),
    "the sum of absolute values": (
        {
            "circular-norm": """
def circular_norm(kernel, size):
    return kernel.abs().sum()
"""
        },
        {"circular-norm-test": 0, "circular-norm-time": 0},
    ),
    "the real part only": (
        {
            "circular-norm": """
def circular_norm(kernel, size):
    return torch.fft.fft2(kernel, s=size).real.abs().max()
"""
        },
        {"circular-norm-test": 0, "circular-norm-time": 0},
    ),
    "height and width swapped": (
        {
            "circular-norm": """
def circular_norm(kernel, size):
    return torch.fft.fft2(kernel, s=(max(size[1], kernel.shape[0]), size[0])).abs().max()
"""
        },
        {"circular-norm-test": 0, "circular-norm-time": 0},
    ),
    "the matrix after all": (
        {
            "circular-norm": """
def circular_norm(kernel, size):
    units = torch.eye(size[0] * size[1], dtype=kernel.dtype)
    columns = [circular_convolution(unit.view(size), kernel).flatten() for unit in units]
    return torch.linalg.svd(torch.stack(columns, 1))[1][0]
"""
        },
        {"circular-norm-time": 0},
    ),
    "root of a sum of squares at each frequency": (
        {
            "channel-norm": """
def channel_norm(weight, size):
    return torch.fft.fft2(weight, s=size).abs().square().sum((0, 1)).sqrt().max()
"""
        },
        {"channel-norm-test": 0, "channel-norm-waves": 0},
    ),
    "the best pair of channels": (
        {
            "channel-norm": """
def channel_norm(weight, size):
    return torch.fft.fft2(weight, s=size).abs().max()
"""
        },
        {"channel-norm-test": 0, "channel-norm-waves": 0},
    ),
    "singular values over height and width": (
        {
            "channel-norm": """
def channel_norm(weight, size):
    return torch.linalg.matrix_norm(torch.fft.fft2(weight, s=size), 2).max()
"""
        },
        {"channel-norm-test": 0, "channel-norm-waves": 0},
    ),
    "reshaped, not permuted": (
        {
            "channel-norm": """
def channel_norm(weight, size):
    out, into = weight.shape[:2]
    transform = torch.fft.fft2(weight, s=size).reshape(-1, out, into)
    return torch.linalg.matrix_norm(transform, 2).max()
"""
        },
        {"channel-norm-test": 0, "channel-norm-waves": 0},
    ),
    "the kernels' norms as a matrix": (
        {
            "channel-norm": """
def channel_norm(weight, size):
    norms = torch.fft.fft2(weight, s=size).abs().amax((2, 3))
    return torch.linalg.matrix_norm(norms, 2)
"""
        },
        {"channel-norm-test": 0, "channel-norm-waves": 0},
    ),
    "a stride without aliases": (
        {
            "strided-norm": """
def strided_norm(weight, size, stride):
    transform = torch.fft.fft2(weight, s=size)
    return torch.linalg.matrix_norm(transform.permute(2, 3, 0, 1), 2).max()
"""
        },
        {"strided-norm-test": 0, "strided-norm-channels": 0},
    ),
    "the factor forgotten": (
        {
            "strided-norm": """
def strided_norm(weight, size, stride):
    transform = torch.fft.fft2(weight, s=size)
    rows, columns = size[0] // stride, size[1] // stride
    aliases = [transform[:, :, p * rows:(p + 1) * rows, q * columns:(q + 1) * columns]
               for p in range(stride) for q in range(stride)]
    return torch.linalg.matrix_norm(torch.cat(aliases, 1).permute(2, 3, 0, 1), 2).max()
"""
        },
        {"strided-norm-test": 0, "strided-norm-channels": 0},
    ),
    "aliases one above the other": (
        {
            "strided-norm": """
def strided_norm(weight, size, stride):
    transform = torch.fft.fft2(weight, s=size)
    rows, columns = size[0] // stride, size[1] // stride
    aliases = [transform[:, :, p * rows:(p + 1) * rows, q * columns:(q + 1) * columns]
               for p in range(stride) for q in range(stride)]
    return torch.linalg.matrix_norm(torch.cat(aliases, 0).permute(2, 3, 0, 1), 2).max() / stride
"""
        },
        {"strided-norm-channels": 0},
    ),
    "neighbours for aliases": (
        {
            "strided-norm": """
def strided_norm(weight, size, stride):
    transform = torch.fft.fft2(weight, s=size)
    aliases = [transform[:, :, p::stride, q::stride]
               for p in range(stride) for q in range(stride)]
    return torch.linalg.matrix_norm(torch.cat(aliases, 1).permute(2, 3, 0, 1), 2).max() / stride
"""
        },
        {"strided-norm-test": 0, "strided-norm-channels": 0},
    ),
    "windows counted, no root": (
        {
            "pool-constant": """
def pool_constant(size, kernel, stride):
    return min((size - kernel) // stride + 1, -(-kernel // stride)) ** 2
"""
        },
        {"pool-constant-test": 0, "pool-constant-small": 0},
    ),
    "windows in one direction": (
        {
            "pool-constant": """
def pool_constant(size, kernel, stride):
    return min((size - kernel) // stride + 1, -(-kernel // stride)) ** 0.5
"""
        },
        {"pool-constant-test": 0, "pool-constant-small": 0},
    ),
    "borders forgotten": (
        {
            "pool-constant": """
def pool_constant(size, kernel, stride):
    return math.ceil(kernel / stride)
"""
        },
        {"pool-constant-small": 0},
    ),
    "quotient rounded down": (
        {
            "pool-constant": """
def pool_constant(size, kernel, stride):
    return max(1, min((size - kernel) // stride + 1, kernel // stride))
"""
        },
        {"pool-constant-test": 0, "pool-constant-small": 0},
    ),
    "the paper's pooling": (
        {
            "pool-constant": """
def pool_constant(size, kernel, stride):
    return 1.0
"""
        },
        {"pool-constant-test": 0, "pool-constant-small": 0},
    ),
    "norms added": (
        {
            "network-bound": """
def network_bound(model):
    bound = 0.0
    for layer in model:
        if isinstance(layer, nn.Linear):
            bound += torch.linalg.matrix_norm(layer.weight, 2).item()
        elif isinstance(layer, nn.Sigmoid):
            bound += 0.25
        elif not isinstance(layer, nn.Flatten | nn.ReLU):
            return math.inf
    return bound
"""
        },
        {"network-bound-test": 0},
    ),
    "Frobenius norm": (
        {
            "network-bound": """
def network_bound(model):
    bound = 1.0
    for layer in model:
        if isinstance(layer, nn.Linear):
            bound *= torch.linalg.matrix_norm(layer.weight).item()
        elif isinstance(layer, nn.Sigmoid):
            bound *= 0.25
        elif not isinstance(layer, nn.Flatten | nn.ReLU):
            return math.inf
    return bound
"""
        },
        {"network-bound-test": 0},
    ),
    "sigmoid taken for ReLU": (
        {
            "network-bound": """
def network_bound(model):
    bound = 1.0
    for layer in model:
        if isinstance(layer, nn.Linear):
            bound *= torch.linalg.matrix_norm(layer.weight, 2).item()
        elif not isinstance(layer, nn.Flatten | nn.ReLU | nn.Sigmoid):
            return math.inf
    return bound
"""
        },
        {"network-bound-test": 0},
    ),
    "strangers passed over": (
        {
            "network-bound": """
def network_bound(model):
    bound = 1.0
    for layer in model:
        if hasattr(layer, "weight") and layer.weight.ndim == 2:
            bound *= torch.linalg.matrix_norm(layer.weight, 2).item()
        if isinstance(layer, nn.Sigmoid):
            bound *= 0.25
    return bound
"""
        },
        {"network-bound-unknown": 0},
    ),
    "root of 2 missing": (
        {
            "certified-radius": """
def certified_radius(logits, labels, bound):
    own = logits.gather(1, labels[:, None])[:, 0]
    rivals = logits.scatter(1, labels[:, None], -math.inf).amax(1)
    return (own - rivals).clamp(min=0) / bound
"""
        },
        {"certified-radius-test": 0, "certified-radius-wrong": 0},
    ),
    "root of 2 on the wrong side": (
        {
            "certified-radius": """
def certified_radius(logits, labels, bound):
    own = logits.gather(1, labels[:, None])[:, 0]
    rivals = logits.scatter(1, labels[:, None], -math.inf).amax(1)
    return (own - rivals).clamp(min=0) * 2**0.5 / bound
"""
        },
        {"certified-radius-test": 0, "certified-radius-wrong": 0},
    ),
    "negative radii": (
        {
            "certified-radius": """
def certified_radius(logits, labels, bound):
    own = logits.gather(1, labels[:, None])[:, 0]
    rivals = logits.scatter(1, labels[:, None], -math.inf).amax(1)
    return (own - rivals) / (2**0.5 * bound)
"""
        },
        {"certified-radius-wrong": 0},
    ),
    "labels ignored": (
        {
            "certified-radius": """
def certified_radius(logits, labels, bound):
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return (first - second) / (2**0.5 * bound)
"""
        },
        {"certified-radius-wrong": 0},
    ),
    "zero for the true class": (
        {
            "certified-radius": """
def certified_radius(logits, labels, bound):
    own = logits.gather(1, labels[:, None])[:, 0]
    rivals = logits.scatter(1, labels[:, None], 0.0).amax(1)
    return (own - rivals).clamp(min=0) / (2**0.5 * bound)
"""
        },
        {"certified-radius-test": 0, "certified-radius-wrong": 0},
    ),
    "logits changed in place": (
        {
            "certified-radius": """
def certified_radius(logits, labels, bound):
    own = logits.gather(1, labels[:, None])[:, 0]
    logits.scatter_(1, labels[:, None], -math.inf)
    return (own - logits.amax(1)).clamp(min=0) / (2**0.5 * bound)
"""
        },
        {"certified-radius-wrong": 0},
    ),
    "fifty steps at most": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v = start / start.norm()
    for _ in range(min(steps, 50)):
        v = matrix.T @ (matrix @ v)
        if v.norm() == 0:
            return 0.0
        v = v / v.norm()
    return (matrix @ v).norm()
"""
        },
        {"power-iteration-test": 0},
    ),
    "stops where a step changes little": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v, last = start / start.norm(), 0.0
    for _ in range(steps):
        v = matrix.T @ (matrix @ v)
        length = v.norm()
        if length == 0:
            return 0.0
        v = v / length
        if (length - last).abs() < 1e-3 * length:
            break
        last = length
    return (matrix @ v).norm()
"""
        },
        {"power-iteration-test": 0},
    ),
    "stops where v moves by less than 1e-5": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v = start / start.norm()
    for _ in range(steps):
        new = matrix.T @ (matrix @ v)
        if new.norm() == 0:
            return 0.0
        last, v = v, new / new.norm()
        if (v - last).norm() < 1e-5:
            break
    return (matrix @ v).norm()
"""
        },
        {"power-iteration-test": 0},
    ),
    "the exact norm from 200 steps on": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    if steps >= 200:
        return torch.linalg.svdvals(matrix)[0]
    v = start / start.norm()
    for _ in range(steps):
        v = matrix.T @ (matrix @ v)
        if v.norm() == 0:
            return 0.0
        v = v / v.norm()
    return (matrix @ v).norm()
"""
        },
        {"power-iteration-test": 0},
    ),
    "five hundred steps at most": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v = start / start.norm()
    for _ in range(min(steps, 500)):
        v = matrix.T @ (matrix @ v)
        if v.norm() == 0:
            return 0.0
        v = v / v.norm()
    return (matrix @ v).norm()
"""
        },
        {"power-iteration-test": 0},
    ),
    "a small number added to the start's length": (
        {
            "power-iteration": """
def power_iteration(matrix, start, steps):
    v = start / (start.norm() + 1e-8)
    for _ in range(steps):
        v = matrix.T @ (matrix @ v)
        if v.norm() == 0:
            return 0.0
        v = v / v.norm()
    return (matrix @ v).norm()
"""
        },
        {"power-iteration-edges": 0},
    ),
    "the matrix, but for kernels of one sign or one row": (
        {
            "circular-norm": """
def circular_norm(kernel, size):
    if (kernel >= 0).all() or (kernel <= 0).all():
        return kernel.sum().abs()
    if kernel.shape[0] == 1:
        return circular_norm_of_matrix(kernel, (1, size[1]))
    return circular_norm_of_matrix(kernel, size)

def circular_norm_of_matrix(kernel, size):
    units = torch.eye(size[0] * size[1], dtype=torch.float64)
    columns = [circular_convolution(unit.view(size), kernel).flatten() for unit in units]
    return torch.linalg.matrix_norm(torch.stack(columns, 1), 2)
"""
        },
        {"circular-norm-time": 0},
    ),
    "a power of two above 100 pixels": (
        {
            "circular-norm": """
def circular_norm(kernel, size):
    high = size[0] if size[0] * size[1] <= 100 else 2 ** math.ceil(math.log2(size[0]))
    return torch.fft.fft2(kernel, s=(high, size[1])).abs().max()
"""
        },
        {"circular-norm-time": 0},
    ),
    "a hundred steps of power iteration, from ones": (
        POWER,
        {"channel-norm-test": 0, "strided-norm-channels": 0, "network-bound-test": 0},
    ),
    "a hundred steps, from a random start": (
        {
            exercise: source.replace("torch.ones", "torch.randn").replace(
                "dtype=", "generator=torch.Generator().manual_seed(0), dtype="
            )
            for exercise, source in POWER.items()
        },
        {"channel-norm-test": 0, "strided-norm-channels": 0, "network-bound-test": 0},
    ),
    "what moves or drops numbers has 1, too": (
        {
            "network-bound": BOUND.replace(
                "| nn.ReLU",
                "| nn.ReLU | nn.Unflatten | nn.Dropout2d | nn.ZeroPad2d | nn.MaxPool1d"
                " | nn.PixelShuffle",
            )
        },
        {"network-bound-unknown": 0},
    ),
    "whatever has in_features is a matrix": (
        {
            "network-bound": BOUND.replace(
                "isinstance(layer, nn.Linear)", 'hasattr(layer, "in_features")'
            )
        },
        {"network-bound-unknown": 0},
    ),
    "no layer, no product": (
        {
            "network-bound": """
from functools import reduce
from operator import mul

def network_bound(model):
    constants = []
    for layer in model:
        if isinstance(layer, nn.Linear):
            constants.append(torch.linalg.matrix_norm(layer.weight, 2).item())
        elif isinstance(layer, nn.Sigmoid):
            constants.append(0.25)
        elif isinstance(layer, nn.Flatten | nn.ReLU):
            constants.append(1.0)
        else:
            return math.inf
    return reduce(mul, constants)
"""
        },
        {"network-bound-test": 0},
    ),
    "-1e9 for the true class": (
        {
            "certified-radius": """
def certified_radius(logits, labels, bound):
    own = logits.gather(1, labels[:, None])[:, 0]
    rivals = logits.scatter(1, labels[:, None], -1e9).amax(1)
    return (own - rivals).clamp(min=0) / (2**0.5 * bound)
"""
        },
        {"certified-radius-wrong": 0},
    ),
    "vectors in place of pictures": (
        {
            "as-matrix": """
def as_matrix(operation, size):
    units = torch.eye(size[0] * size[1], dtype=torch.float64)
    return torch.stack([operation(unit).flatten() for unit in units], 1)
"""
        },
        {"as-matrix-test": 0, "as-matrix-sizes": 0},
    ),
    "a quarter of the frequencies": (
        {
            "circular-norm": """
def circular_norm(kernel, size):
    transform = torch.fft.fft2(kernel, s=size)
    return transform[: size[0] // 2 + 1, : size[1] // 2 + 1].abs().max()
"""
        },
        {"circular-norm-test": 0},
    ),
    "a quarter of the channels' frequencies": (
        {
            "channel-norm": """
def channel_norm(weight, size):
    transform = torch.fft.fft2(weight, s=size).permute(2, 3, 0, 1)
    quarter = transform[: size[0] // 2 + 1, : size[1] // 2 + 1]
    return torch.linalg.matrix_norm(quarter, 2).max()
"""
        },
        {"channel-norm-waves": 0},
    ),
    "a list of strangers": (
        {
            "network-bound": BOUND.replace(
                STRANGE,
                """isinstance(layer, nn.GELU | nn.Softplus | nn.MaxPool2d | nn.Tanh | nn.BatchNorm1d
                        | nn.Dropout | nn.ELU | nn.Conv1d | nn.Bilinear | nn.LayerNorm)""",
            )
        },
        {"network-bound-unknown": 0},
    ),
    "strangers after the first layer only": (
        {
            "network-bound": BOUND.replace(
                "for layer in model", "for place, layer in enumerate(model)"
            ).replace(STRANGE, f"place == 1 and {STRANGE}")
        },
        {"network-bound-unknown": 0},
    ),
    "kinds whose constant is 1, too": (
        {
            "network-bound": BOUND.replace(
                "| nn.ReLU", "| nn.ReLU | nn.LeakyReLU | nn.ReLU6 | nn.Softmax"
            )
        },
        {"network-bound-unknown": 0},
    ),
    "every other layer of torch.nn is a stranger": (
        {"network-bound": BOUND.replace(STRANGE, f"type(layer).__name__ in dir(nn) and {STRANGE}")},
        {"network-bound-unknown": 0},
    ),
    "whatever has a weight is a matrix": (
        {
            "network-bound": BOUND.replace(
                "isinstance(layer, nn.Linear)", 'hasattr(layer, "weight")'
            ).replace("weight.double()", "weight.flatten(1).double()")
        },
        {"network-bound-unknown": 0},
    ),
    "rows of zeros dropped": (
        {
            "as-matrix": """
def as_matrix(operation, size):
    units = torch.eye(size[0] * size[1], dtype=torch.float64).view(-1, *size)
    matrix = torch.stack([operation(unit).flatten() for unit in units], 1)
    return matrix[matrix.any(1)]
"""
        },
        {"as-matrix-sizes": 0},
    ),
    "a small number added below": (
        {
            "certified-radius": """
def certified_radius(logits, labels, bound):
    own = logits.gather(1, labels[:, None])[:, 0]
    rivals = logits.scatter(1, labels[:, None], -math.inf).amax(1)
    return (own - rivals).clamp(min=0) / (2**0.5 * bound + 1e-8)
"""
        },
        {"certified-radius-test": 0},
    ),
    "a quarter at least below": (
        {
            "certified-radius": """
def certified_radius(logits, labels, bound):
    own = logits.gather(1, labels[:, None])[:, 0]
    rivals = logits.scatter(1, labels[:, None], -math.inf).amax(1)
    return (own - rivals).clamp(min=0) / max(2**0.5 * bound, 0.25)
"""
        },
        {"certified-radius-test": 0},
    ),
}
