"""Answers to problem set 5: right ones written another way, and wrong ones with their marks."""

RIGHT = {
    "loops": {
        "discriminator-loss": '''
def discriminator_loss(real, fake):
    def cost(t):
        return t + math.log(1 + math.exp(-t)) if t > 0 else math.log(1 + math.exp(t))
    a, b = real.flatten().tolist(), fake.flatten().tolist()
    return sum(cost(-t) for t in a) / len(a) + sum(cost(t) for t in b) / len(b)
''',
        "generator-loss": '''
def generator_loss(fake, saturating):
    total = 0.0
    for logit in fake.flatten().tolist():
        if saturating:
            total -= max(logit, 0.0) + math.log1p(math.exp(-abs(logit)))
        else:
            total += max(-logit, 0.0) + math.log1p(math.exp(-abs(logit)))
    return total / fake.numel()
''',
        "best-discriminator": '''
def best_discriminator(p, q):
    best = []
    for a, b in zip(p.flatten().tolist(), q.flatten().tolist()):
        best.append(a / (a + b) if a + b > 0 else 0.5)
    return torch.tensor(best).reshape(p.shape)
''',
        "jensen-shannon": '''
def jensen_shannon(p, q):
    js = 0.0
    for a, b in zip(p.tolist(), q.tolist()):
        if a > 0:
            js += a / 2 * math.log(2 * a / (a + b))
        if b > 0:
            js += b / 2 * math.log(2 * b / (a + b))
    return js
''',
        "slopes": '''
def slopes(a):
    rows = torch.zeros(2, len(a), dtype=torch.float64)
    for i, t in enumerate(a.tolist()):
        # Half of 1 + tanh(t / 2) is the sigmoid, and tanh never overflows.
        rows[0, i] = -(1 + math.tanh(t / 2)) / 2
        rows[1, i] = -(1 - math.tanh(t / 2)) / 2
    return rows
''',
    },
    "losses of the library": {
        "discriminator-loss": '''
def discriminator_loss(real, fake):
    bce = F.binary_cross_entropy_with_logits
    return bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
''',
        "generator-loss": '''
def generator_loss(fake, saturating):
    wanted = torch.full_like(fake, 0.0 if saturating else 1.0)
    sign = -1 if saturating else 1
    return sign * F.binary_cross_entropy_with_logits(fake, wanted)
''',
        "best-discriminator": '''
def best_discriminator(p, q):
    return torch.nan_to_num(p.double() / (p.double() + q.double()), nan=0.5)
''',
        "jensen-shannon": '''
def jensen_shannon(p, q):
    log_m = ((p + q) / 2).clamp(min=1e-30).log()
    return sum(F.kl_div(log_m, t, reduction="sum") for t in (p, q)) / 2
''',
        "slopes": '''
def slopes(a):
    x = a.clone().requires_grad_()
    rows = [F.logsigmoid(-x).sum(), -F.logsigmoid(x).sum()]
    return torch.stack([torch.autograd.grad(row, x)[0] for row in rows])
''',
    },
    "numpy, in float64": {
        "discriminator-loss": '''
import numpy as np

def discriminator_loss(real, fake):
    real, fake = real.double().numpy(), fake.double().numpy()
    return np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()
''',
        "generator-loss": '''
import numpy as np

def generator_loss(fake, saturating):
    a = np.array(fake, dtype=float)
    return np.mean(-np.logaddexp(0, a)) if saturating else np.mean(np.logaddexp(0, -a))
''',
        "best-discriminator": '''
import numpy as np

def best_discriminator(p, q):
    p, q = np.array(p, dtype=float), np.array(q, dtype=float)
    return np.divide(p, p + q, out=np.full(p.shape, 0.5), where=p + q > 0)
''',
        "jensen-shannon": '''
import numpy as np
from scipy.stats import entropy

def jensen_shannon(p, q):
    p, q = np.array(p, dtype=float), np.array(q, dtype=float)
    return (entropy(p, (p + q) / 2) + entropy(q, (p + q) / 2)) / 2
''',
        "slopes": '''
import numpy as np
from scipy.special import expit

def slopes(a):
    d = expit(a.double().numpy())
    return np.array([-d, d - 1])
''',
    },
}

WRONG = {
    "V instead of -V": ({"discriminator-loss": '''
def discriminator_loss(real, fake):
    return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()
'''}, {"discriminator-loss-test": 0, "discriminator-loss-sure": 0}),
    "D rounded before the logarithm": ({"discriminator-loss": '''
def discriminator_loss(real, fake):
    return -real.sigmoid().log().mean() - (1 - fake.sigmoid()).log().mean()
'''}, {"discriminator-loss-sure": 0}),
    "D clipped": ({"discriminator-loss": '''
def discriminator_loss(real, fake):
    tiny = 1e-8
    return -(real.sigmoid() + tiny).log().mean() - (1 - fake.sigmoid() + tiny).log().mean()
'''}, {"discriminator-loss-sure": 0}),
    "real and generated swapped": ({"discriminator-loss": '''
def discriminator_loss(real, fake):
    return F.softplus(real).mean() + F.softplus(-fake).mean()
'''}, {"discriminator-loss-test": 0, "discriminator-loss-sure": 0}),
    "one mean over all": ({"discriminator-loss": '''
def discriminator_loss(real, fake):
    return 2 * torch.cat([F.softplus(-real), F.softplus(fake)]).mean()
'''}, {"discriminator-loss-test": 0}),
    "half of the loss": ({"discriminator-loss": '''
def discriminator_loss(real, fake):
    return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2
'''}, {"discriminator-loss-test": 0, "discriminator-loss-sure": 0}),
    "sums instead of means": ({"discriminator-loss": '''
def discriminator_loss(real, fake):
    return F.softplus(-real).sum() + F.softplus(fake).sum()
'''}, {"discriminator-loss-test": 0}),
    "the two losses exchanged": ({"generator-loss": '''
def generator_loss(fake, saturating):
    return F.softplus(-fake).mean() if saturating else -F.softplus(fake).mean()
'''}, {"generator-loss-test": 0}),
    "the discriminator's sign": ({"generator-loss": '''
def generator_loss(fake, saturating):
    return F.softplus(fake).mean() if saturating else F.softplus(-fake).mean()
'''}, {"generator-loss-test": 0}),
    "always non-saturating": ({"generator-loss": '''
def generator_loss(fake, saturating):
    return F.softplus(-fake).mean()
'''}, {"generator-loss-test": 0}),
    "the generator's D rounded": ({"generator-loss": '''
def generator_loss(fake, saturating):
    d = fake.sigmoid()
    return (1 - d).log().mean() if saturating else -d.log().mean()
'''}, {"generator-loss-test": 0}),
    "the chance of being generated": ({"best-discriminator": '''
def best_discriminator(p, q):
    return torch.where(p + q > 0, q / (p + q), 0.5)
'''}, {"best-discriminator-test": 0, "best-discriminator-edges": 0}),
    "the quotient of the densities": ({"best-discriminator": '''
def best_discriminator(p, q):
    return torch.where(q > 0, p / q, 0.5)
'''}, {"best-discriminator-test": 0, "best-discriminator-edges": 0}),
    "0 divided by 0": ({"best-discriminator": '''
def best_discriminator(p, q):
    return p / (p + q)
'''}, {"best-discriminator-edges": 0}),
    "a small number added": ({"best-discriminator": '''
def best_discriminator(p, q):
    return (p + 1e-12) / (p + q + 2e-12)
'''}, {"best-discriminator-edges": 0}),
    "the likelier side, no chance": ({"best-discriminator": '''
def best_discriminator(p, q):
    return (1 + (p - q).sign()) / 2
'''}, {"best-discriminator-test": 0, "best-discriminator-edges": 0}),
    "the halves missing": ({"jensen-shannon": '''
def jensen_shannon(p, q):
    m = (p + q) / 2
    return (torch.xlogy(p, p) + torch.xlogy(q, q)).sum() - 2 * torch.xlogy(m, m).sum()
'''}, {"jensen-shannon-test": 0, "jensen-shannon-zeros": 0}),
    "KL to the other": ({"jensen-shannon": '''
def jensen_shannon(p, q):
    both = (p > 0) & (q > 0)
    p, q = p[both], q[both]
    return ((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / 2
'''}, {"jensen-shannon-test": 0, "jensen-shannon-zeros": 0}),
    "one direction only": ({"jensen-shannon": '''
def jensen_shannon(p, q):
    m = (p + q) / 2
    return torch.xlogy(p, p).sum() - torch.xlogy(p, m).sum()
'''}, {"jensen-shannon-test": 0, "jensen-shannon-zeros": 0}),
    "0 log 0 is NaN": ({"jensen-shannon": '''
def jensen_shannon(p, q):
    m = (p + q) / 2
    return ((p * (p / m).log()).sum() + (q * (q / m).log()).sum()) / 2
'''}, {"jensen-shannon-zeros": 0}),
    "outcomes left out where one is zero": ({"jensen-shannon": '''
def jensen_shannon(p, q):
    both = (p > 0) & (q > 0)
    p, q = p[both], q[both]
    m = (p + q) / 2
    return ((p * (p / m).log()).sum() + (q * (q / m).log()).sum()) / 2
'''}, {"jensen-shannon-zeros": 0}),
    "base 2": ({"jensen-shannon": '''
def jensen_shannon(p, q):
    m = (p + q) / 2
    nats = (torch.xlogy(p, p) + torch.xlogy(q, q)).sum() / 2 - torch.xlogy(m, m).sum()
    return nats / math.log(2)
'''}, {"jensen-shannon-test": 0, "jensen-shannon-zeros": 0}),
    "slopes uphill": ({"slopes": '''
def slopes(a):
    return torch.stack([torch.sigmoid(a), torch.sigmoid(-a)])
'''}, {"slopes-test": 0}),
    "rows exchanged": ({"slopes": '''
def slopes(a):
    return torch.stack([-torch.sigmoid(-a), -torch.sigmoid(a)])
'''}, {"slopes-test": 0}),
    "slopes in D": ({"slopes": '''
def slopes(a):
    d = torch.sigmoid(a)
    return torch.stack([-1 / (1 - d), -1 / d])
'''}, {"slopes-test": 0}),
    "the mean's slopes": ({"slopes": '''
def slopes(a):
    x = a.clone().requires_grad_()
    rows = [F.logsigmoid(-x).mean(), -F.logsigmoid(x).mean()]
    return torch.stack([torch.autograd.grad(row, x)[0] for row in rows])
'''}, {"slopes-test": 0}),
    "slopes that overflow": ({"slopes": '''
def slopes(a):
    return torch.stack([-a.exp() / (1 + a.exp()), -1 / (1 + a.exp())])
'''}, {"slopes-test": 0}),
}
