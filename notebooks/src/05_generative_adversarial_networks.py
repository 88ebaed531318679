# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lecture 5: Generative adversarial networks
#
# So far the adversary changed pictures. Now it makes them. In 2014 Goodfellow and others [1] set
# two networks against each other: one invents pictures from noise, the other tries to tell them
# from real ones, and each learns from the other's mistakes. The slides end on the heading; this
# lecture goes on from there, and its claims are the paper's. First on a line, where everything can
# be computed and no word need be believed; then in the plane, where you see both players move; then
# on MNIST, where you train such a pair yourself, look at what a full run makes, and find out why it
# is so hard to say how *good* it is.
#
# **After this lecture you can**
#
# - write down the game, both players' losses, and the best discriminator;
# - say what the game's value has to do with the distance between two distributions, and when it
#   matters which loss the generator is trained on;
# - train a pair, recognise a *mode collapse*, and cure it;
# - measure samples in two ways, say by which pictures each measure is deceived, and name the null
#   beside which its number has to be read;
# - say what this game shares with adversarial examples, and what it does not.
#
# **You need** Lecture 4: the gradient of a loss in the pixels, and the fast gradient sign.
# *Density, expectation, entropy, KL* and *logit* are in the [glossary](glossary.md), with a
# refresher of two minutes. The lecture runs in a minute and a half on a quiet machine, of which
# your own training is the longest part.
#
# The next cell does nothing unless you are on Colab.

# %%
# On Colab, install the course first; everywhere else this cell does nothing.
import sys
if "google.colab" in sys.modules:
    raise SystemExit("First, in a cell above: %pip install git+ADDRESS")

# %%
import math

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

# %%
from course_utils import claims, figures, gan, intervals, published, study
from course_utils.data import load_mnist
from course_utils.exercises import check, hint, solution
from course_utils.zoo import load_model

figures.use_style()
# A game amplifies the last bit of a number, which depends on the threads.
torch.set_num_threads(1)

# %% [markdown]
# ## 1. The game
#
# The **generator** $G$ takes noise $z$, a few random numbers, and makes a point $G(z)$: a picture,
# say. The **discriminator** $D$ takes a point $x$ and answers with a number from 0 to 1: how sure
# it is that $x$ is *real*. Half of what it sees is real, half was generated. $D$ wants to be right,
# $G$ wants $D$ to be wrong, and both fight over one number,
#
# $$\min_G \max_D V(D, G), \qquad
#   V(D, G) = \mathbb E_{x}\,[\log D(x)] + \mathbb E_{z}\,[\log (1 - D(G(z)))] .$$
#
# $\mathbb E$, the *expectation*, is the mean over all real points, or over all noise. $V$ is at
# most 0: that is a $D$ which is always right and always sure. And $-V$ is twice the cross-entropy
# of a classifier that sees as many real as generated points: that takes the mean over both kinds,
# $V$ adds up one mean for each. Lectures 1 and 4 knew such games, too: there the adversary had one
# picture to move; here it has a whole network.
#
# Both losses in code, straight from the formula: $-V$ for $D$, and for $G$ the part of $V$ that it
# can change.

# %%
def by_hand(real, fake):
    """D's loss and G's, from D's outputs (0 to 1) for real and made points."""
    for_g = (1 - fake).log().mean()
    return -(real.log().mean() + for_g), for_g

# %% [markdown]
# Our discriminators give a logit $a$, of which $D = \sigma(a) = 1 / (1 + e^{-a})$, and
# `gan.discriminator_loss` and `gan.generator_loss` take the logits, because a $D$ that is rounded
# to 0 or 1 has no logarithm.
#
# > **Before you run:** a discriminator that has learned nothing says $\frac12$ to everything. What
# > is the value of the game? Type a number into `guess_1`.

# %%
guess_1 = "?"  # in nats

# %%
nothing = torch.full((5,), 0.5)
print(f"V if D always says 1/2: {-by_hand(nothing, nothing)[0]:.4f}; "
      f"-log 4 = {-math.log(4):.4f}; you said {guess_1}")

# %%
logits = torch.linspace(-4, 4, 9)
ours = by_hand(logits.sigmoid(), (2 - logits).sigmoid())
theirs = (gan.discriminator_loss(logits, 2 - logits),
          gan.generator_loss(2 - logits, saturating=True))
for player, mine, other in zip("DG", ours, theirs):
    print(f"loss of {player}: by hand {mine:.4f}, "
          f"by course_utils.gan {other:.4f}")

# %% [markdown]
# **Exercise 1: the discriminator's loss**, from logits, however sure they are. Replace `...`, run
# the cell, then the one with `check`; `hint("loss-of-d")` and `solution("loss-of-d")` help. Two
# minutes.

# %%
def loss_of_d(real, fake):
    """What the discriminator minimises: -V, estimated from its logits.

    real: float (N,), D's logits of real images; fake: float (M,), of generated
    ones; D is the sigmoid of its logit. Logits may be as far from 0 as +-200:
    the loss and its gradient in them stay finite and exact. Returns a tensor
    without dimensions of the logits' dtype, in nats, which autograd can
    differentiate.
    """
    ...

# %%
check("loss-of-d", loss_of_d)

# %% [markdown]
# ## 2. The best discriminator
#
# Hold the generator still. Real points $x$ have a density $p(x)$, generated ones a density $q(x)$:
# near $x$, on a short stretch of length $dx$, lies the share $p(x)\,dx$ of all real points. Then
# $V$ is an integral of
#
# $$p(x) \log D(x) + q(x) \log (1 - D(x)),$$
#
# and $D$ may choose its answer at each $x$ by itself. Set the derivative in $D(x)$ to zero, and
#
# $$D^*(x) = \frac{p(x)}{p(x) + q(x)} .$$
#
# A number: where $p = .3$ and $q = .1$, $D^* = \frac34$, worth $.3 \log \frac34 + .1 \log \frac14 =
# -.225$. A bolder answer, .9, gives $-.262$, a more timid one, .6, gives $-.245$.
#
# No real discriminator knows $p$ and $q$; it sees points. On a line we can have both. Let the real
# points come from two bells, the generated ones from one:

# %%
from statistics import NormalDist

narrow, wide = NormalDist(-1.5, 0.5), NormalDist(1.5, 1.0)
made = NormalDist(0.5, 1.2)

def p(x):
    return (narrow.pdf(x) + wide.pdf(x)) / 2

# %%
def draw(count, random):
    """Points (count, 1) from p, and as many from q."""
    bells = torch.rand(count, 1, generator=random)
    z = torch.randn(2, count, 1, generator=random)
    real = torch.where(bells < 0.5, narrow.mean + narrow.stdev * z[0],
                       wide.mean + wide.stdev * z[0])
    return real.double(), (made.mean + made.stdev * z[1]).double()

# %% [markdown]
# > **Before you run:** where $p$ is three times $q$, what should $D$ answer? And far out on the
# > left, where neither ever has a point?
#
# A network with one hidden layer of 32 units learns from points alone, 2,000 new ones of each kind
# in every step.

# %%
guess_2 = "?"  # D where p is three times q, and far out

# %%
from course_utils.models import fully_connected

def learn(draw, steps=600):
    network = fully_connected(32, 1, inputs=1).double()
    adam = torch.optim.Adam(network.parameters(), lr=0.02)
    random = torch.Generator().manual_seed(0)
    for _ in tqdm(range(steps), delay=1):
        real, fake = draw(2000, random)
        adam.zero_grad()
        gan.discriminator_loss(network(real), network(fake)).backward()
        adam.step()
    return network.requires_grad_(False)

# %% mystnb={"image": {"alt": "Two panels over x from minus 5 to 5. Above, two densities: the data's with a narrow high bell on the left and a flat one on the right, and the generator's, one bell in the middle. Below, the best discriminator as a broad grey line that rises to almost 1 under the narrow bell, dips below one half where the generator has more, and rises again on the right; the learned one, a thin black line, lies in it except at the far left and right."}}
learned = learn(draw)
points = torch.linspace(-5, 5, 401, dtype=torch.float64)
real, fake = (torch.tensor([f(x) for x in points.tolist()], dtype=points.dtype)
              for f in (p, made.pdf))
best, found = real / (real + fake), learned(points[:, None]).sigmoid()[:, 0]
figures.discriminators(points, {"p, the data": real, "q, the generator": fake},
                       {"p / (p + q)": best, "learned": found})
plt.show()
print("you said", guess_2)

# %% [markdown]
# **Figure 1.** Two densities, and what a discriminator should say and does say. Where $p$ is three
# times $q$ it should say $\frac34$.
#
# Where points are, the network has found $p / (p + q)$, though it was shown neither density. Of the
# 2.4 million points that it saw, about 2,900 fell left of $-3$: few, but not none, and there the
# two curves part. Just there, at $-2.99$, $p$ and $q$ meet once more; the best answer is $\frac12$,
# and the learned one is far from it. Still further out it says what it likes. (You met that in
# Lecture 4: far from their data, networks extrapolate.)

# %%
density = (real + fake) / (real + fake).sum()
distance = (density * (found - best).abs()).sum().item()
crossing = points[1:][((real > fake).int().diff() != 0)] - 0.0125
print(f"mean distance from p / (p + q): {distance:.3f}; p = q near "
      + ", ".join(f"{x:.2f}" for x in crossing.tolist()))
there = learned(crossing[:1, None]).sigmoid().item()
print(f"learned at {crossing[0]:.2f}: {there:.2f}")

# %% [markdown]
# That no answer is better than $p / (p + q)$ is a theorem. Check it all the same, at each of the
# 401 points against 999 other answers. (A theorem cannot turn out otherwise; our formula could.)

# %% tags=["claim", "claim:gan-optimal-discriminator"]
answers = torch.arange(1, 1000, dtype=torch.float64)[:, None] / 1000
value = lambda d: real * d.log() + fake * (1 - d).log()
better = value(answers) > value(best) + 1e-12
claims.check_theorem("gan-optimal-discriminator", cases=better.numel(),
                     violations=int(better.sum()))

# %% [markdown]
# ## 3. What the game is worth
#
# Put $D^*$ into $V$, and with $m = (p + q) / 2$ the game's value becomes
#
# $$V(D^*) = \mathbb E_p\left[\log \frac{p}{2m}\right] + \mathbb E_q\left[\log \frac{q}{2m}\right]
#   = 2\,\mathrm{JS}(p, q) - \log 4,$$
#
# where $\mathrm{JS}(p, q) = \frac12 \mathrm{KL}(p, m) + \frac12 \mathrm{KL}(q, m)$ is the
# **Jensen-Shannon divergence**: 0 only if $p = q$, and never more than $\log 2$. (KL, the
# *Kullback-Leibler divergence*, is $\mathbb E_p [\log (p / m)]$.) So against a $D$ that always
# keeps up, $G$ can do nothing better than to make $q = p$. That is the theorem on which
# everything rests.
#
# *In numbers:* on a line of two cells let $p = (\frac12, \frac12)$ and $q = (1, 0)$. Then
# $D^* = (\frac13, 1)$, and
# $V = \frac12 \log \frac13 + \frac12 \log 1 + \log \frac23$, which is $-.955$;
# so $\mathrm{JS} = (-.955 + 1.386) / 2 = .216$.
#
# Both sides of the equation, integrated numerically on our line:

# %%
def p_of(x):
    return sum(torch.distributions.Normal(b.mean, b.stdev).log_prob(x).exp()
               for b in (narrow, wide)) / 2

def q_of(x):
    return torch.distributions.Normal(made.mean, made.stdev).log_prob(x).exp()

# %%
best_discriminator = lambda x: p_of(x) / (p_of(x) + q_of(x))
value = gan.game_value(best_discriminator, p_of, q_of, low=-9, high=9)
divergence = gan.jensen_shannon(p_of, q_of, low=-9, high=9)
print(f"V(D*) = {value:.4f}, 2 JS - log 4 = {2 * divergence - math.log(4):.4f}")

# %% [markdown]
# **Exercise 2: what the game is worth**, on a line cut into cells.

# %%
def best_value(p, q, width):
    """The largest value V that any D can reach on a line cut into cells.

    p, q: float64 (cells,), the densities of data and of generated points in
    each cell, 0 or above; in some cells one is 0, or both are. width: float, of
    every cell, so that width * p.sum() is 1, as is width * q.sum(). Returns a
    float64 tensor without dimensions, in nats: between -log 4 and 0.
    """
    ...

# %%
check("best-value", best_value)

# %% [markdown]
# Now move the generator. Data and generated points are bells of width 1, some distance apart.
#
# > **Before you run:** what is the value at distance 0? At distance 10? And what can a generator
# > learn from the curve at 10?

# %%
guess_3 = "?"  # the values at 0 and at 10, in nats

# %%
def bell(mean):
    normal = torch.distributions.Normal(torch.tensor(mean).double(), 1.0)
    return lambda x: normal.log_prob(x).exp()

def points_of(shift):
    means = torch.tensor([[[0.0]], [[shift]]]).double()
    return lambda count, random: means + torch.randn(
        2, count, 1, generator=random).double()

# %%
def played(shift):
    """2 JS - log 4, V(D*), and V of a D that learned, at one distance."""
    data, fakes, ends = bell(0.0), bell(shift), {"low": -8, "high": shift + 8}
    network = learn(points_of(shift), steps=150)
    answer = lambda x: network(x[:, None]).sigmoid()[:, 0]
    best = lambda x: torch.sigmoid(shift * (shift / 2 - x))
    js = gan.jensen_shannon(data, fakes, **ends)
    return [2 * js - math.log(4), gan.game_value(best, data, fakes, **ends),
            gan.game_value(answer, data, fakes, **ends)]

# %% mystnb={"image": {"alt": "A curve over the distance from 0 to 10. It starts at minus log 4, rises in an S to almost 0 at distance 5, and is flat from there on. Squares, the best discriminator's value, lie on it; triangles, that of learned ones, lie on it or a little below."}}
distances = [0.0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]
columns = ["2 JS - log 4", "V of the best D", "V of a learned D"]
values = [played(x) for x in tqdm(distances)]
values = pd.DataFrame(values, distances, columns)
figures.game_values(values, xlabel="distance between data and generated points")
plt.show()
print("you said", guess_3)

# %% [markdown]
# **Figure 2.** The value of the game. Marks on the line: the best discriminator. A learned one can
# only be worse, and is, by little.
#
# At distance 0 the value is $-\log 4$, at 10 it is nearly 0. As the generator comes nearer it
# falls: descend, and you arrive. But beyond a distance of 5 there is nothing to descend. $D$
# tells the two apart without a mistake, and a little nearer or further makes no difference to it.
#
# ## 4. When D wins
#
# That is no rare case. A generator *begins* far from the data. How much does it learn then? Of all
# of $V$, only $\log(1 - D(G(z)))$ depends on $G$, and its slope in $D$'s logit $a$ is $-\sigma(a)$:
# when $D$ is sure, $\sigma(a)$ is nearly 0. The game's own loss **saturates** exactly when there is
# most to learn. So the paper trains $G$ on another one, with the same wish: instead of making
# $\log (1 - D(G(z)))$ small, make
#
# $$-\log D(G(z))$$
#
# small. Its slope is $-(1 - \sigma(a))$, nearly $-1$ when $D$ is sure.
#
# > **Before you run:** a generator of one number, the mean of its bell, starts at a distance of 5
# > from the data. $D$ is the best one in every round. After how many rounds will it arrive by the
# > first loss, and after how many by the second?

# %%
guess_4 = "?"  # rounds by the first loss, by the second

# %%
z = torch.tensor([NormalDist().inv_cdf((i + 0.5) / 500)
                  for i in range(500)]).double()

def play(saturating, start=5.0, rounds=300, rate=0.3):
    path = [start]
    for _ in range(rounds):
        mean = torch.tensor(path[-1], dtype=torch.float64, requires_grad=True)
        logit = path[-1] * (path[-1] / 2 - (mean + z))  # of bells at 0 and mean
        loss = gan.generator_loss(logit, saturating=saturating)
        path.append(path[-1] - rate * torch.autograd.grad(loss, mean)[0].item())
    return path

# %% mystnb={"image": {"alt": "Two panels. Left, the size of the slope over the logit of D: for the saturating loss it rises in an S from 0 to 1, for the non-saturating one it falls from 1 to 0. Right, the distance over rounds: by the non-saturating loss it falls from 5 to 0 within some twenty rounds, by the saturating one it falls slowly for fifty rounds and arrives after about ninety."}}
logits = torch.linspace(-8, 8, 81)
names = {"saturating, log(1 - D)": True, "non-saturating, -log D": False}
slopes = {name: (logits if flag else -logits).sigmoid()
          for name, flag in names.items()}
paths = {name: play(flag)[:121] for name, flag in names.items()}
figures.saturation(logits, slopes, paths)
plt.show()

# %% [markdown]
# **Figure 3.** Left: how steep both losses are in $D$'s logit. Right: where they take a generator
# that begins at a distance of 5.

# %%
for name, path in paths.items():
    rounds = sum(distance > 0.1 for distance in path)
    print(f"{name}: nearer than 0.1 after {rounds} rounds")
print("you said", guess_4)

# %% [markdown]
# Both losses end at the same place; one of them spends most of its time where nothing is to be
# felt. (This generator is moved by *plain gradient descent*, its step the rate times the slope.
# Remember that.) And on pictures? Let a generator of digits that has learned nothing yet, a
# **novice**, stand still, and train a discriminator against it. (The networks are those of section
# 6.)

# %%
train_images, train_labels = load_mnist("train")
test_images, test_labels = load_mnist("test")
mean_image = train_images[:50_000].mean(0)
novice = gan.rectifier_generator(400, 400, noise=10, mean=mean_image).double()
judge = gan.maxout_discriminator(120, 120).double().eval()
noise = gan.draw_noise(500, novice.noise).double()

# %% [markdown]
# > **Before you run:** which of the two losses is the steeper before $D$ has learned anything? And
# > after 160 steps of $D$, when it gives the novice's pictures some $D(G(z))$: by what factor does
# > the game's own loss fall behind? (You have both slopes. Write the factor down as a formula.)

# %%
guess_5 = "?"  # which at first; the factor, by D

# %%
def steepness(saturating):
    """The length of the loss's gradient in all of the novice's weights."""
    loss = gan.generator_loss(judge(novice(noise)), saturating=saturating)
    slopes = torch.autograd.grad(loss, list(novice.parameters()))
    return math.sqrt(sum(slope.square().sum().item() for slope in slopes))

def judged():
    """D's mean output on the novice's pictures, and both losses' steepness."""
    output = judge(novice(noise)).sigmoid().mean().item()
    return [output, steepness(True), steepness(False)]

# %%
adam = torch.optim.Adam(judge.parameters(), lr=1e-3)
log = {0: judged()}
batches = train_images[:16_000].double().split(100)
for step, batch in enumerate(tqdm(batches), 1):
    with torch.no_grad():
        fakes = novice(noise[:100])
    adam.zero_grad()
    gan.discriminator_loss(judge(batch), judge(fakes)).backward()
    adam.step()
    if step % 40 == 0:
        log[step] = judged()

# %%
columns = ["D(G(z))", "saturating", "non-saturating"]
early = pd.DataFrame(log, columns).T.rename_axis("steps of D")
early.map("{:.1e}".format)

# %%
won = early.iloc[-1]
steeper = won["non-saturating"] / won["saturating"]
print(f"steeper by a factor of {steeper:.0f}; "
      f"(1 - D) / D = {1 / won['D(G(z))'] - 1:.0f}")
print("you said", guess_5)

# %% [markdown]
# *The gradients' lengths, in all of the generator's weights.* Before $D$ has learned anything both
# are alike, and tiny, since $D$'s own weights are. Then the game's own loss first gains with $D$
# and soon stays far behind the other one. But the factor is no discovery: $1 - \sigma(a)$ over
# $\sigma(a)$ is $(1 - D) / D$, whatever the pictures. It *cannot* come out otherwise, so it is no
# evidence that anybody trains better.
#
# What could come out otherwise is the samples. The paper says of $-\log D$ that it "provides much
# stronger gradients early in learning". If that matters, training by it should end on better
# samples. Here is the experiment: small networks, 1,200 rounds on 10,000 digits, five seeds; within
# a seed both losses start from the same weights and see the same digits and noise. Better means a
# smaller *Fréchet distance* to the test digits (section 13 explains it; 0 is best, untrained
# networks have about 5,000). And because Adam divides each step by the gradient's own length, the
# optimiser is a condition of its own. (`make study` runs it all again, in a quarter of an hour.)
#
# > **Before you run:** by plain descent, and by Adam: where will the loss make a difference?

# %%
guess_6 = "?"  # by descent, by Adam, both, neither

# %%
measured = study.read("gan")
every = measured[measured["measure"] == "Frechet distance"].pivot(
    index="condition", columns="seed", values="value")
every.round(0).astype(int)

# %%
def gain(first, second):
    """One condition's Fréchet distance less another's, over the seeds."""
    return intervals.over_seeds(every.loc[first] - every.loc[second])

# %% tags=["claim", "claim:gan-non-saturating"]
claims.check("gan-non-saturating", gain("descent, saturating", "descent"),
             null=gain("descent, again", "descent").value)

# %% tags=["claim", "claim:gan-non-saturating-adam"]
claims.check("gan-non-saturating-adam", gain("Adam, saturating", "Adam"),
             null=gain("Adam, again", "Adam").value)

# %%
print("you said", guess_6)
print("each loss at its own rate:",
      gain("descent, own rate, saturating", "descent, own rate"))

# %% [markdown]
# By plain descent at the rate of the paper's code, .1 for both players, $\log(1 - D)$ has hardly
# begun when $-\log D$ already makes strokes, in every seed. That is the claim, and it is
# reproduced. By Adam no difference is to be seen. (The first verdict's null, a repetition with five
# other seeds, is not quite 0: so much is luck.)
#
# The last number goes a little further. (It is exploratory: it was added after a trial with another
# seed had been seen, and is no claim.) A loss whose gradient is smaller by a factor takes smaller
# steps, and a larger rate makes up for it. There each loss has its own rate for $G$, the best of .1,
# .3, 1, 3 and 10 on that other seed and on held-back digits: 3 for $-\log D$, 10 for $\log(1 - D)$.
# Both do far better than at .1, and better than Adam, for which no rate was searched. Of a
# difference of 3,600 some 50 are left, a seventh of the distance that remains, and still in favour
# of $-\log D$; but 10 was the largest rate that was tried, so the other loss may not have had its
# best. Most of what $-\log D$ buys, then, is that it *works at rates at which the other does not
# begin*. From here on $G$ minimises it, as in the paper.
#
# **Exercise 3: both losses of the generator**. Two minutes; the second differs by little.

# %%
def loss_of_g(fake, saturating):
    """What the generator minimises, from D's logits of generated images.

    fake: float (M,), as in loss_of_d; saturating: bool, True for G's part of V,
    the minimax game's own; False for the loss that the paper trains with, whose
    gradient is large where D wins. Returns a tensor without dimensions of the
    logits' dtype, in nats, which autograd can differentiate.
    """
    ...

# %%
check("loss-of-g", loss_of_g)

# %% [markdown]
# ## 5. The game in the plane
#
# Between one number and 784 there is the plane, where everything can still be drawn: $D$'s answers
# as shades, $G$'s points, and at each the arrow along which $G$'s loss would move it. Real points
# come from eight blobs on a circle. Both networks have two layers of 24 *leaky* rectifiers, whose
# slope below 0 is 0.2 and not 0.
#
# > **Before you run:** two runs of 500 rounds from the same start. In one, $G$ takes three large
# > steps for each small one of $D$. How many of the eight blobs will it cover?

# %%
guess_7 = "?"  # blobs

# %%
from course_utils.gan import plane

fair = plane.Rules()
hasty = plane.Rules(generator_steps=3, generator_rate=5e-3,
                    discriminator_rate=5e-4)
games = {"start": (fair, 1), "fair, 150 rounds": (fair, 150),
         "fair, 500": (fair, 500), "hasty, 500": (hasty, 500)}
runs = {name: plane.run(*game) for name, game in tqdm(games.items())}

# %%
lot = torch.Generator().manual_seed(3)
side = torch.linspace(-1.6, 1.6, 60).double()
some_z = torch.randn(150, plane.NOISE, generator=lot, dtype=torch.float64)
grid = torch.cartesian_prod(side, side).flip(1)

def drawn(generator, discriminator):
    made = plane.answer(generator.weights, some_z)
    answers = plane.answer(discriminator.weights, grid).sigmoid().view(60, 60)
    return made, plane.pull(discriminator, made), answers

# %%
for name, (generator, _) in runs.items():
    shares = plane.blob_shares(plane.answer(generator.weights, some_z))
    print(f"{name}: {(shares >= 0.02).sum()} of 8 blobs, "
          f"{100 * (1 - shares.sum()):.0f} % of the points in none")
print("you said", guess_7)

# %% mystnb={"image": {"alt": "Four squares with eight black blobs on a circle. Start: generated crosses in a small heap in the middle. Fair, 150 rounds: crosses spread towards the circle. Fair, 500 rounds: crosses in all eight blobs and some between them, D dark inside the circle and lighter on it. Hasty, 500 rounds: all crosses on a short curve that ends in one blob."}}
figures.game_in_the_plane({name: drawn(*pair) for name, pair in runs.items()},
                          plane.ring(300, lot), extent=1.6)
plt.show()

# %% [markdown]
# **Figure 4.** The game in the plane. Dots: real points; crosses: generated ones; arrows: where
# $G$'s loss would have them go. Light: $D$ says "real".
#
# Play it yourself: steps and rates of both players, optimiser, loss. Make it collapse, and cure it
# by hand, without starting anew. (It runs in the browser; `course_utils.gan.plane` is the same
# game, and a test compares the two.)

# %%
from course_utils.laboratory.widget import laboratory

laboratory("game")

# %% [markdown]
# The hasty generator has found one place that $D$ likes, and moves there with *everything*. $D$
# learns to dislike that place, and the heap moves on. This is a **mode collapse**; section 11 makes
# one with digits.
#
# **Exercise 4: the cure.** Change the hasty rules so that the generator covers its data. A check
# plays twice 500 rounds, some seconds.

# %%
def cure(rules):
    """Rules of the game in the plane under which the generator covers its data.

    The data are eight equal blobs on a circle. rules: dict, those under which
    the generator ends on a blob or two: {"generator_steps": 3,
    "discriminator_steps": 1, "generator_rate": 5e-3, "discriminator_rate":
    5e-4, "saturating": False, "adam": True}. Returns a dict, with any of these
    changed; steps are at most 5, rates between 0 and 1. Networks, 500 rounds,
    and seeds stay as they are. Cured means: from each of two seeds at least
    five blobs get 2 % of the generated points or more.
    """
    ...

# %%
check("cure", cure)

# %% [markdown]
# ## 6. A live run
#
# Now let both learn. The networks are the paper's kind: $G$ takes ten numbers of noise and has two
# layers of rectifiers under one of sigmoids, one for each pixel; $D$ is a maxout network with
# dropout, which gives one logit (Lecture 4's *maxout* is its larger sister). In each round $D$
# takes a step on 100 real digits and 100 generated ones, and then $G$ takes one. Three things are
# newer than the paper, because without them so short a run comes to less: the steps are Adam's, $G$
# has batch normalisation, and the pictures are made by a *running mean* of $G$'s weights.
#
# > **Before you run:** what will come first, strokes or digits?

# %%
guess_8 = "?"  # strokes or digits

# %%
digits = train_images[:40_000]
ours = gan.rectifier_generator(400, 400, noise=10, mean=mean_image)
theirs = gan.maxout_discriminator(120, 120)
fixed, seen = gan.draw_noise(10, ours.noise, seed=1), {}

# %% [markdown]
# While it runs in a notebook, you see what the same ten draws of noise become: every 25 rounds
# their row is drawn anew. Figure 5 keeps some of these moments.

# %%
import io

import ipywidgets
from IPython.display import display
from PIL import Image

def row(images):
    """Ten pictures side by side, three times as large, as a PNG."""
    pixels = (255 * torch.cat([*images[:, 0]], dim=1)).byte().numpy()
    large = Image.fromarray(pixels).resize((840, 84), Image.NEAREST)
    large.save(png := io.BytesIO(), "png")
    return png.getvalue()

# %%
def look(rounds):
    """Keep what the ten draws become after some of the rounds, and show it."""
    with torch.no_grad():
        seen[rounds] = ours.eval()(fixed)
    ours.train()
    strip.value = row(seen[rounds])

# %%
strip = ipywidgets.Image(value=row(torch.zeros(10, 1, 28, 28)))
display(strip)
look(0)
report = gan.train_gan(ours, theirs, digits, epochs=2, every=25, watch=look)

# %% mystnb={"image": {"alt": "Rows of ten small pictures, one row for each of several moments of the training. In the first all ten are the same grey cloud; then come blurred strokes, and in the last rows most are digits. Each column changes slowly from row to row."}} tags=["drift:live"]
moments = [0, 100, 200, 350, 550, 800]
figures.digits([seen[k] for k in moments],
               names=[f"round {k}" for k in moments])
plt.show()
print("you said", guess_8)

# %% [markdown]
# **Figure 5.** What the same ten draws of noise become as training goes on. Nobody told the network
# what a digit is, or that there are ten: all that $G$ ever learned came from $D$'s objections.
# First come strokes, out of the grey mean digit, and then digits.
#
# > **Before you run:** who wins: where do $D(x)$ and $D(G(z))$ go?

# %%
guess_9 = "?"  # D(x), D(G(z)) at the end

# %% mystnb={"image": {"alt": "Two panels over the epochs. Left, the losses: D's falls slowly, from nearly 1.4 to about 1.1, G's rises from .7 to 1.3. Right, D's mean output: near one half for both at first; then that for real digits rises to a little above .6, that for generated ones falls below .4."}} tags=["drift:live"]
by_epoch = report.set_index("epoch")
losses = by_epoch[["discriminator loss", "generator loss"]]
figures.curves({"loss": losses, "D's mean output": by_epoch[["real", "fake"]]},
               xlabel="epoch")
plt.show()
print("you said", guess_9)

# %% [markdown]
# **Figure 6.** Left: the two losses. Right: what $D$ says of real digits and of generated ones.
#
# In every other lecture a falling loss meant progress. Here neither loss tells how good the
# pictures are: each is measured against an opponent that improves as well. If $D$ were at its
# best and $G$ perfect, $D$ would say $\frac12$ to everything. It says more of real digits, and
# less of generated ones: it still sees something.
#
# Are they digits? Lecture 4's maxout has never seen a generated picture. How often is it *sure*, at
# least .9?

# %%
from course_utils.training import predict

classifier = load_model("maxout")
live = gan.sample(ours, 10_000)

def sure(images):
    """Percent of images whose class the classifier gives at least 0.9."""
    with torch.no_grad():
        chances = classifier(images).softmax(1).amax(1)
    return 100 * (chances >= 0.9).double().mean().item()

# %% [markdown]
# Every measure needs its **null**: what does it say of pictures that are certainly no digits?
#
# > **Before you run:** uniform noise, every pixel drawn by itself. How often will the classifier be
# > sure of it?

# %%
guess_10 = "?"  # percent

# %% tags=["drift:live"]
urn = torch.Generator().manual_seed(0)
uniform_noise = torch.rand(10_000, 1, 28, 28, generator=urn)
sets = {"live run": live, "test digits": test_images,
        "uniform noise": uniform_noise}
print("you said", guess_10)
rows = {name: sure(images) for name, images in sets.items()}
pd.DataFrame({"sure (%)": rows}).round(0)

# %% [markdown]
# The classifier must choose one of ten, whatever it is shown, and noise makes it about as sure as
# your samples do, if not surer. So *the classifier is sure* is no evidence of a digit, and you will
# not see that measure again. Section 13 has a better one.

# %% [markdown]
# ## 7. The full run
#
# Training on, for many more rounds, gives the pair that comes with this course. (`make train`
# trains it anew, and `gan.load_gan_record()` says how.)

# %% mystnb={"image": {"alt": "Three sheets of eight by eight small digits, without names. One has clean and varied digits; the other two have digits with broken or smeared strokes among good ones, one sheet more of them than the other."}} tags=["drift:live"]
generator, discriminator = gan.load_gan()
samples = gan.sample(generator, 10_000)
hidden = {"real": test_images[:64], "live": live[:64], "full": samples[:64]}
urn = torch.Generator().manual_seed(2014)
blind = [list(hidden)[k] for k in torch.randperm(3, generator=urn).tolist()]
figures.sheets({str(k): hidden[name] for k, name in enumerate(blind, 1)},
               columns=8)
plt.show()

# %% [markdown]
# **Figure 7.** Three sheets without names: one of real digits, one of your run, one of the full run,
# in an order drawn by lot.
#
# > **Before you run:** which is which? By what do you tell them apart?

# %%
guess_11 = "?"  # such as "real, live, full"

# %%
print(f"it is: {', '.join(blind)}; you said {guess_11}")

# %% [markdown]
# ## 8. A walk through the noise
#
# $G$ is a smooth function. Go in a straight line from one noise to another, and the picture must
# change smoothly.
#
# > **Before you run:** halfway between two digits *in the pixels* there is a double exposure. What
# > is halfway between them in $z$?

# %%
guess_12 = "?"  # the same, a digit, or no shape at all

# %% mystnb={"image": {"alt": "Five rows of nine pictures. In the first four, each from another pair of anchors, one digit turns into another by shapes that are themselves strokes of a pen, some of them digits. In the last row, between the anchors of the row above it, one digit fades out while the other fades in, both visible in the middle."}}
ends = gan.draw_noise(8, generator.noise, seed=7).view(4, 2, -1)
t = torch.linspace(0, 1, 9)[:, None]
with torch.no_grad():
    rows = [generator((1 - t) * first + t * second) for first, second in ends]
fade = t.view(-1, 1, 1, 1)
rows.append((1 - fade) * rows[-1][:1] + fade * rows[-1][-1:])
figures.digits(rows, names=["in z"] * 4 + ["in the pixels"],
               titles=[None] * 4 + [[f"t = {x:g}" for x in t[:, 0].tolist()]])
plt.show()
print("you said", guess_12)

# %% [markdown]
# **Figure 8.** From one draw of noise to another, $(1 - t) A + t B$; in the last row the *pictures*
# of the row above are blended instead.
#
# What is halfway is no double exposure, but something drawn with one pen, and mostly a digit, now
# and then a third one. Only for short stretches is it none: somewhere the generator has to go from
# one kind to another, and what lies between is made, too.
#
# Walk yourself: two anchors, a blend, and the numbers of $z$ that matter most. (FC100-100-10 says
# what it takes each picture for.)

# %%
laboratory("walk", networks=("generator", "FC100-100-10"))

# %% [markdown]
# ## 9. Is it memory?
#
# A generator that hands out training digits would win the game. So look for the nearest training
# digit of each sample, among the 50,000 that it learned from.

# %%
learned_from = train_images[:50_000].flatten(1)

def nearest(images):
    """Each image's nearest training digit, its distance (RMS) and place."""
    parts = images.flatten(1).split(250)
    found = [torch.cdist(part, learned_from).min(1) for part in parts]
    far = torch.cat([one.values for one in found]) / 28
    places = torch.cat([one.indices for one in found])
    return train_images[places], far, places

# %% mystnb={"image": {"alt": "Two rows of ten digits: samples, and below each the training digit nearest to it. Each pair is of one kind and of similar slant, but the strokes differ in places."}}
neighbours, _, _ = nearest(samples[:10])
figures.digits([samples[:10], neighbours],
               names=["sample", "nearest in training"])
plt.show()

# %% [markdown]
# **Figure 9.** Samples, as they come, and the training digit nearest to each.
#
# By heart, both rows would be the same. They are near, but not the same. How near is near? Test
# digits are the control: they are new for certain.
#
# > **Before you run:** which will be the nearest to a training digit, a sample or a test digit?

# %%
guess_13 = "?"  # a sample, a test digit, both alike

# %% mystnb={"image": {"alt": "Two histograms of distances to the nearest training digit, one of 500 samples and one of 500 test digits. They overlap; that of the samples is narrower, and none reaches down to 0."}}
distances = {"samples": nearest(samples[:500])[1],
             "test digits": nearest(test_images[:500])[1]}
print(", ".join(f"nearest of 500 {name}: {values.min():.3f}"
                for name, values in distances.items()))
print("you said", guess_13)
figures.histograms(distances, xlabel="distance to the nearest training digit")
plt.show()

# %% [markdown]
# **Figure 10.** Distances to the nearest of 50,000 training digits.
#
# The samples lie about as far from the training digits as new digits do, and none is a copy, pixel
# by pixel. But this test is weaker than it looks: distance in pixels
# only knows copies that lie exactly on top of each other. Shift training digits to the right, by
# one pixel and by two, and look for *them*:

# %%
for pixels in (0, 1, 2):
    moved = train_images[:200].roll(pixels, dims=3)
    _, far, indices = nearest(moved)
    print(f"shifted by {pixels}: distance {far.mean():.3f}, "
          f"original found for {(indices == torch.arange(200)).sum()} of 200")

# %% [markdown]
# A generator that had learned all of its digits by heart, and shifted each by two pixels, would
# pass. *The nearest neighbour looks different* excludes the crudest kind of memory, and no other.
#
# ## 10. All ten digits?
#
# The classifier again, as a counter: which digits does it see, and how often?
#
# > **Before you run:** which digit will be the rarest? And what will the shares of noise look like?

# %%
guess_14 = "?"  # a digit; one digit, a few, or all alike

# %%
def digit_shares(images):
    """How often the classifier takes an image for each digit, in percent."""
    counts = predict(classifier, images).bincount(minlength=10)
    return 100 * counts.double() / len(images)

shown = {"training digits": train_images[:10_000], "full run": samples,
         "uniform noise": uniform_noise}
shares = pd.DataFrame({name: digit_shares(images).numpy()
                       for name, images in shown.items()})

# %% mystnb={"image": {"alt": "For each of the ten digits three marks, its share in percent. Training digits and samples of the full run lie near 10 percent throughout, the samples spread a little more. Uniform noise is taken for one digit almost always."}}
figures.class_shares(shares, least=10)
plt.show()
print("you said", guess_14)

# %% [markdown]
# **Figure 11.** Shares of the ten digits, by the classifier's answers. Dotted: equal shares.
#
# The rarest is the 2, and noise is nearly always taken for a 6. No digit is missing. But a
# generator that knows ten pictures, one of each digit, would look perfect here, so shares say
# nothing about *variety*. What we need is a number that becomes worse where a digit is left out
# *and* where the ten are always the same ten. The Fréchet distance is one: it compares means and
# spreads of what the classifier computes on the way to its answer (section 13). To know what its
# numbers mean, look at sets whose fault is known:

# %%
from functools import cache

known = gan.features(classifier, test_images)

@cache  # a set of images that comes again is not measured again
def frechet(images, known=known):
    return gan.frechet_distance(gan.features(classifier, images), known)

# %%
ten = torch.stack([train_images[train_labels == k][0] for k in range(10)])
lacks_nines = train_images[:11_500][train_labels[:11_500] != 9][:10_000]
sets = {"training digits": train_images[:10_000], "full run": samples,
        "500 training digits, 20 times": train_images[:500].repeat(20, 1, 1, 1),
        "nine digits, no 9": lacks_nines,
        "ten pictures": ten.repeat(1000, 1, 1, 1),
        "uniform noise": uniform_noise}
rows = {name: frechet(images) for name, images in tqdm(sets.items())}
print(pd.Series(rows).round(0).to_string())

# %% [markdown]
# So here is a claim that could fail. If the samples lacked a digit, they should be about as far
# from the test digits as *real* digits that lack one. Of the ten such sets the nearest is the one
# without nines (by the *training* digits; the rule was fixed before the samples were measured).
# Are the samples nearer? On five parts of 2,000 pictures each, so that there is an interval; it
# speaks of pictures, not of training seeds. (A distance is larger on parts than on the whole,
# since small sets seem further apart; so all that is compared is of parts.)

# %%
parts = known.split(2000)
lacking = [frechet(*pair) for pair in zip(lacks_nines.split(2000), parts)]

def nearer(images, without=-1):
    """How much nearer than digits without nines, on five parts of 2,000."""
    found = []
    for some, part, far in zip(images.split(2000), parts, lacking):
        rest = some[predict(classifier, some) != without]
        near = gan.frechet_distance(gan.features(classifier, rest), part)
        found.append(far - near)
    return found

# %% tags=["claim", "claim:gan-all-digits"]
claims.check("gan-all-digits", intervals.over_seeds(nearer(samples)),
             null=intervals.over_seeds(nearer(uniform_noise)).value)

# %% [markdown]
# The samples pass, and noise does not. A harder null: take out of the samples all that the classifier
# takes for one of the digits, one digit after the other.

# %%
leads = [intervals.over_seeds(nearer(samples, digit))
         for digit in tqdm(range(10))]
for words, which in (("least", min), ("most", max)):
    lead = which(leads, key=lambda lead: lead.value)
    print(f"lead without digit {leads.index(lead)}, the {words}: {lead}")
short = intervals.over_seeds(frechet(lacks_nines) - every.loc["Adam"])
print(f"five small, short trainings, section 4's by Adam: {short}")

# %% [markdown]
# Whichever digit is taken out, a quarter of the lead is left at most, and nothing that stands out
# from zero.
#
# Why not ask the samples alone: are they further from the test digits when they lose their nines
# than when they lose as many drawn by lot? We tried it, knowing the numbers above. The samples
# pass. But so do real digits that are shifted by one pixel and have *no* nine among them, since
# the classifier takes some others for nines. The rule above stops these. Its price is that the
# samples must be good as well; and by chance it lets other real digits without nines pass now and
# then.
#
# And other training seeds? None was trained for so long. The five small pairs of section 4 are
# much further from the test digits than a set that lacks one, so they fail, whatever digits they
# have: the verdict is about *this* training. (They were smaller, and saw fewer digits, too; which
# of it makes them fail we did not ask.) But look at the table once more: 500 training digits,
# each handed out twenty times, lie between, and would pass as well, and so do real digits with a
# quarter of their nines. The number says that no digit is missing altogether. It does not say that
# there are as many of each, nor that anything is new.

# %% [markdown]
# ## 11. Collapse
#
# In $\min_G \max_D V$ the maximum comes first: $D$ has to be at its best for each $G$. What if $G$
# takes many steps while $D$ takes one? Against a $D$ that stands still the best reply is no
# variety, but *one* picture, the one that $D$ believes in most. The paper warns of it: trained too
# much without updating $D$, $G$ collapses too many $z$ to the same $x$. Let the trained pair play
# on, for 40 rounds more, with ten steps of $G$ to each of $D$, and larger ones.
#
# > **Before you run:** 40 rounds, after the thousands of the full run. Will the samples change
# > visibly? And can the damage be undone?

# %%
guess_15 = "?"  # yes or no; yes or no

# %%
pair, some_noise, stages = gan.load_gan(), gan.draw_noise(10, 10, seed=3), {}

def stage(name):
    """Keep what ten draws of noise become, and 10,000 samples."""
    with torch.no_grad():
        stages[name] = pair[0](some_noise), gan.sample(pair[0], 10_000)

stage("before")

# %%
options = {"epochs": 1, "average": 0.9, "learning_rate": (3e-3, 3e-4)}
gan.train_gan(*pair, train_images[:4000], generator_steps=10, **options)
stage("collapsed")

# %% [markdown]
# A control: the same larger steps of both, but one of $G$ to each of $D$.

# %%
control = gan.load_gan()
gan.train_gan(*control, train_images[:4000], **options)
in_turn = gan.sample(control[0], 10_000)

# %% [markdown]
# And the cure? Let $D$ keep up: one step each, of the usual size, for 300 rounds.

# %%
gan.train_gan(*pair, train_images[:10_000], epochs=3, average=0.9)
stage("cured")

# %% mystnb={"image": {"alt": "Three rows of ten pictures from the same noise. Before: digits of many kinds. Collapsed: ten times nearly the same dark picture with a few bright pixels. Cured: strokes of different digits again, much rougher than before."}} tags=["drift:live"]
figures.digits([images for images, _ in stages.values()], names=list(stages))
plt.show()
print("you said", guess_15)

# %% [markdown]
# **Figure 12.** The same ten draws of noise before the collapse; after 40 rounds with ten steps of
# $G$ to each of $D$; and after 300 more with one step each.

# %% [markdown]
# In numbers? A popular one for variety is the mean distance of two samples. Its null is noise
# again.

# %% tags=["drift:live"]
def variety(images):
    """Mean distance of two images, root mean square per pixel."""
    apart = images[:5000] - images[5000:]
    return apart.square().mean(dim=(1, 2, 3)).sqrt().mean().item()

sets = {name: images for name, (_, images) in stages.items()}
sets |= {"40 rounds in turn": in_turn, "test digits": test_images,
         "uniform noise": uniform_noise}
rows = {name: [variety(images), frechet(images)]
        for name, images in tqdm(sets.items())}
lively = pd.DataFrame(rows, ["variety", "Fréchet distance"]).T
lively.round(2)

# %%
before, collapsed, cured = lively["Fréchet distance"].iloc[:3]
print("collapsed: more than ten times as far as before:",
      collapsed > 10 * before)
print(f"cured: less than a third of the collapsed: {cured < collapsed / 3}")

# %% [markdown]
# By "variety" pure noise is livelier than digits. It sees that the collapsed samples are all alike,
# and takes anything that differs for a cure. The Fréchet distance sees both.

# %% [markdown]
# Figure 12 shows a **mode collapse**. Whatever $z$ is, $G$ makes about the same picture; as soon as
# $D$ gets its say it calls that one "generated", and $G$ has to go elsewhere. If $G$ may then run on,
# it runs to the next single picture. Nothing in $G$ was broken: a few dozen rounds took its
# variety, and a few hundred gave back most of it, though not the quality. What made it happen is
# the balance: with as large steps, but in turn, the samples end a tenth as far away. (Ten times as
# many rounds in turn, in which $G$ takes as many steps as it did in collapsing, were tried, too: no
# collapse.)
#
# Look at that picture: it is no digit at all. $G$ has found what $D$ *wrongly* believes in.
# Lectures 1 to 4 had a name for such pictures, and section 14 comes back to it.
#
# ## 12. Parzen windows
#
# A classifier is judged by its errors. By what is a generator judged? It gives samples, not
# probabilities. The paper made a density out of them: put a small round bell of width $\sigma$ on
# each of 10,000 samples, choose $\sigma$ on digits held back for it, and take the mean
# log-likelihood of the test digits,
#
# $$\frac1N \sum_{i=1}^N \log \frac1M \sum_{j=1}^M \mathcal N(x_i;\, s_j, \sigma^2 I),$$
#
# in nats. *In numbers:* one sample, $\sigma = .2$, and a digit that is off by $.2$ in every
# pixel: $-392 \log (2 \pi \cdot .04) - 392$, which is $541 - 392 = 149$. A density may be
# above 1, so its logarithm may be above 0: only comparisons mean anything.
#
# > **Before you run:** the paper's generator reached 225 nats. Our networks are smaller and trained
# > for minutes. What will ours reach?
#
# The paper's code chooses $\sigma$ among ten values from .1 to 1. `gan.SIGMAS` puts two more
# between each and the next. Either is a choice; show both.

# %%
guess_16 = "?"  # in nats, by the paper's ten

# %%
held_back = train_images[50_000:51_000]

def parzen(images, test, held=held_back):
    """The test images' mean log-likelihood, its standard error, and sigma."""
    sigma = gan.choose_sigma(images, held, gan.PAPERS_SIGMAS)
    nats = torch.cat([gan.parzen_log_likelihood(images, part, sigma)
                      for part in tqdm(test.split(1000), leave=False)])
    return nats.mean().item(), nats.std().item() / len(nats) ** 0.5, sigma

# %%
nats, error, sigma = parzen(samples, test_images)
finer = gan.load_gan_record()
print(f"the paper's sigmas: {nats:.1f} +- {error:.1f} (sigma {sigma:.3f}); "
      f"with two more between each: {finer['log_likelihood']:.1f} "
      f"+- {finer['standard_error']:.1f} (sigma {finer['sigma']:.3f})")
print("you said", guess_16)

# %% [markdown]
# The +-, here and in the paper's table, is the standard error over *test digits*: it says how much
# another ten thousand digits would change the mean, and nothing about another training. And a grid
# of $\sigma$ can be worth more than that. The claim is held to the paper's grid, and to the paper's
# own comparison: *adversarial nets above a deep GSN*, 225 against 214.

# %% tags=["claim", "claim:gan-parzen"]
half = 1.96 * math.hypot(error, 1.1)
above = intervals.Interval(nats - 214, nats - 214 - half, nats - 214 + half)
null, _, _ = parzen(uniform_noise[:1000], test_images[:1000])
claims.check("gan-parzen", above, null=null - 214)

# %%
beside = published.parzen_log_likelihoods()
beside.loc["this lecture's generator"] = nats, error
beside.round(1)

# %% [markdown]
# *Mean log-likelihood in nats and its standard error; the first four are the paper's.* Do not read
# a ranking from it yet. First see what else scores well. A **blur** takes real training digits and
# replaces each pixel by the mean of the nine around it. It is no model of anything.
#
# > **Before you run:** order real digits, blurred real digits and generated ones by their score.
# > Does the order depend on how many samples there are?

# %%
guess_17 = "?"  # such as "real, generated, blurred; no"

# %%
real_set, some = train_images[:10_000], test_images[:2000]
kinds = {"real digits": real_set,
         "real digits, blurred": F.avg_pool2d(real_set, 3, 1, 1),
         "full run": samples}

def score(images):
    return parzen(images, some, held_back[:300])[0]

scores = pd.DataFrame({
    name: {n: score(images[:n]) for n in (100, 1000, 10_000)}
    for name, images in kinds.items()})

# %% mystnb={"image": {"alt": "Three lines, the log-likelihood in nats over 100, 1,000 and 10,000 samples. All rise and none levels off. Blurred real digits are the highest at 10,000 samples, above real ones; with few samples the generated ones are above the real digits."}}
figures.curves({"log-likelihood (nats)": scores}, xlabel="samples", log=True)
plt.show()

# %% [markdown]
# **Figure 13.** The score of real digits, of the same digits blurred, and of generated ones, by the
# number of samples. (On the first 2,000 test digits.)

# %%
print(scores.round(0).to_string())
print("you said", guess_17)

# %% [markdown]
# Blurred digits beat real ones by far, and everything in the paper's table, though these first
# 2,000 test digits are the harder ones (on all 10,000 the full run had a dozen nats more). Nobody
# would take them for real. The bells are the reason: 10,000 points are so few in 784 dimensions
# that every test digit is far from all of them, so $\sigma$ must be large, and then what counts is
# not to be *right* but to be in the *middle*. Nor have the curves levelled off: ten times as many
# samples would change every number, and with few of them the generated digits even beat the real.
# The paper itself says that the estimate has a high variance and does not do well in many
# dimensions; Theis and others [2] showed how little it has to do with either likelihood or looks.
# And the claim above? It stays open: by the paper's protocol these samples come out above the deep
# GSN, but not by enough to exclude chance. And the protocol itself says little.
#
# ## 13. A second measure
#
# A measure with other faults looks at what a *classifier* sees. Take the values that Lecture 4's
# maxout computes in its last hidden layer, 240 for each image, fit one Gaussian to those of the
# test digits and one to those of the samples, and compute the **Fréchet distance** of the two
# [3]: 0 if means and covariances agree, and large if the samples look different to the classifier
# or vary too little. Of two bells on a line it is $(m - n)^2 + (s - t)^2$, with means $m, n$ and
# standard deviations $s, t$: *in numbers*, $(0 - 3)^2 + (1 - 2)^2 = 10$. In many dimensions the
# covariances $S, T$ take the place of the squares, and the second part is the trace of
# $S + T - 2 (S^{1/2} T S^{1/2})^{1/2}$. (Strictly it is the square of a distance.)
#
# > **Before you run:** which of the sets will be nearest to the test digits? Where will the blurred
# > digits come, and where real ones that are shifted by one pixel, down and to the right?

# %%
guess_18 = "?"  # nearest; places of the blurred and of the shifted

# %% tags=["drift:live"]
unlearned = gan.rectifier_generator(400, 400, noise=10, mean=mean_image)
more = kinds | {
    "live run": live,
    "training digits, shifted": real_set.roll((1, 1), dims=(2, 3)),
    "untrained": gan.sample(unlearned, 10_000), "uniform noise": uniform_noise}
rows = {name: [scores.at[10_000, name] if name in scores else score(images),
               frechet(images)] for name, images in more.items()}
columns = ["log-likelihood (nats)", "Fréchet distance"]
measures = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
print("you said", guess_18)
measures.round(0)

# %%
far = measures["Fréchet distance"]
worse = far["real digits, blurred"] / far["real digits"]
print(f"blurred digits are {worse:.0f} times as far away as real ones")

# %% [markdown]
# *High is good on the left, low is good on the right.* The two measures disagree about the blur as
# much as they can. This one knows that real digits are the best samples there are. But it has blind
# spots of its own: it sees what this classifier sees and nothing else; a Gaussian knows no more
# than means and covariances; a shift that no reader would mind costs more than the samples' broken
# strokes; and both measures praise a generator that hands out its training digits, for that is what
# the row *real digits* is. No single number says that samples are good. Look at them, too.
#
# ## 14. Back to Lecture 4
#
# The GAN paper itself, in its section on related work, sets the two apart. Adversarial examples, it
# says, are found by optimising the *input* of a classifier, to be similar to the data yet
# misclassified; they "are not a mechanism for training a generative model". Then it draws one
# line between them: that such examples exist "does suggest that generative adversarial network
# training could be inefficient", because a discriminative network can be made to recognise a class
# without any attribute of it that a person would see. $G$ might be taught by a teacher who can be
# fooled without learning anything. Is that so, and would a teacher who is harder to fool teach
# better?
#
# What does $G$ learn from? The chain rule says: of $-\log D(G(z))$, its weights $\theta$ get
#
# $$\left(\frac{\partial G(z)}{\partial \theta}\right)^{\!\top} \nabla_x [-\log D(x)]_{x = G(z)} .$$
#
# The right-hand factor is $D$'s **input gradient**, the very thing that the fast gradient sign is
# made of. So $G$'s teacher is the adversary of Lectures 1 and 4: *move these pixels, and $D$ will
# err*. Only that $G$ cannot follow it pixel by pixel: it has to change its weights, and with them
# all of its pictures at once.
#
# > **Before you run:** Lecture 4's gradients looked like noise with a hint of strokes. Will $D$'s
# > look more like something one could draw?

# %%
guess_19 = "?"  # yes or no

# %%
from course_utils.attacks import fgsm
from course_utils.inference import loss_and_gradient, margin

# Two logits, as of a classifier: 0 for "generated", and D's own for "real".
two = torch.nn.Sequential(discriminator, torch.nn.ZeroPad1d((1, 0))).eval()

def scaled(slope):
    return 3 * slope / slope.flatten(1).abs().amax(1).view(-1, 1, 1, 1)

# %% mystnb={"image": {"alt": "Three rows of eight pictures. Samples; below each the gradient of D's logit, almost flat grey inside a bright ring close to the frame; below that the gradient of a classifier, dark and bright patches on and around the digit's strokes."}}
eight = samples[:8]
generated = torch.zeros(8, dtype=torch.long)
to_d = scaled(loss_and_gradient(two, eight, generated)[1])
says = predict(classifier, eight)
to_class = scaled(loss_and_gradient(classifier, eight, says)[1])
figures.digits(
    [eight, to_d, to_class], signed=[1, 2],
    names=["sample", "D: more real", "maxout: another class"])
plt.show()
print("you said", guess_19)

# %% [markdown]
# **Figure 14.** Samples, and along which change of the pixels $D$'s belief in them grows fastest,
# and Lecture 4's maxout would fastest give up the class that it sees. White: brighter; black:
# darker; what is above a third of the largest is cut off.
#
# The classifier's gradient is about strokes. $D$'s is, most of all, about a ring close to the
# frame. Who has ink there?

# %%
nobody = torch.zeros(200, dtype=torch.long)
slope = loss_and_gradient(two, samples[:200], nobody)[1].mean(0)
ring = slope > slope.max() / 3
pictures = {"training digits": train_images[:50_000], "samples": samples}
for name, images in pictures.items():
    inked = 100 * (images[:, ring] > 0.1).any(1).double().mean()
    print(f"{name} with ink in the ring: {inked:.1f} %")
print(f"pixels in the ring: {ring.sum()} of {ring.numel()}")

# %% [markdown]
# Few real digits reach so far out, but no sample does. There $q = 0$, and the best discriminator's
# answer $p / (p + q)$ is 1, however small $p$ is: of ink in the ring, $D$ *should* say "real". It
# is the frame of Lecture 4 once more, and somebody else reads it now.
#
# Take the step. $D$ gives one logit; `two` puts a 0 beside it, so to `attacks.fgsm` it is a
# classifier with two classes. Samples are to pass for real, test digits to be called generated; the
# control, as always, is random signs.
#
# But first look at $D$ *at rest*, before anybody attacks it:

# %%
def logits_of(images):
    with torch.no_grad():
        return discriminator(images)[:, 0]

high, low = logits_of(test_images), logits_of(samples)
for name, logit in {"test digits": high, "samples": low}.items():
    print(f"{name}: logit {logit.mean():.2f} +- {logit.std():.2f}, "
          f"taken for real {100 * (logit > 0).double().mean():.0f} %")
cuts = torch.cat([high, low]).quantile(torch.linspace(0.01, 0.99, 99))
rates = [((high > c).double().mean() + (low <= c).double().mean()) / 2
         for c in cuts]
print(f"right, with the best threshold: {100 * max(rates):.0f} %")

# %% [markdown]
# $D$ stands where theory puts it, near $\frac12$ for everything, and takes most *real* digits for
# generated. A small push against it turns most of its answers. So to count how many flip, as
# in Lecture 4, would say more about where $D$ stands than about how easily it is moved. Compare how
# far its log-odds move by one step, beside Lecture 4's classifier.
#
# > **Before you run:** which of the two is moved further by a step of .02, $D$ or the maxout
# > classifier? And which flips more often?

# %%
guess_20 = "?"  # moved further, flips more often

# %%
n, dice = 1000, torch.Generator().manual_seed(0)
sets = {"test digits": (test_images[:n], 1), "samples": (samples[:n], 0)}

def attacked(images, label, eps):
    return fgsm(two, images, torch.full((n,), label), eps=eps)

def shaken(images, label, eps):
    signs = 2.0 * torch.randint(2, images.shape, generator=dice) - 1
    return images + eps * signs

def believed(images):
    return 100 * (logits_of(images) > 0).double().mean().item()

# %%
def moved(model, images, labels, spared=None, eps=0.02):
    """Mean margin, how far a step moves it, flips, and that over two scales."""
    stepped = fgsm(model, images, labels, eps=eps)
    if spared is not None:
        stepped = torch.where(spared, images, stepped)
    with torch.no_grad():
        before, after = (-margin(model(x), labels) for x in (images, stepped))
    right, far = before > 0, (before - after).mean()
    flips = 100 * (after[right] <= 0).double().mean()
    found = before.mean(), far, flips, far / before.mean(), far / before.std()
    return [x.item() for x in found]

# %%
says = predict(two, test_images[:n])
order = torch.randperm(784, generator=torch.Generator().manual_seed(0))
others = ring.flatten()[order].view_as(ring)
against_d = {"D": None, "D, ring spared": ring, "D, as many spared": others}
rows = {name: moved(two, test_images[:n], says, spared)
        for name, spared in against_d.items()}
rows["maxout"] = moved(classifier, test_images[:n], test_labels[:n])
columns = ["log-odds at rest", "moved by .02", "flipped (%)", "moved / at rest",
           "moved / spread"]
print("you said", guess_20)
pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(2)

# %% [markdown]
# *Of $D$: the log-odds of whatever it says at rest; their spread is the standard deviation over the
# digits. "Spared": the step leaves the ring's pixels as they were, or as many others drawn by lot.*
# A step of .02 moves the classifier more than twice as far as $D$; but its mean margin is so large
# that it seldom flips, and $D$'s so small that it nearly always does. Which is the more sensitive?
# In log-odds the classifier; but log-odds have no common scale: divide all of its logits by 15, and
# it is the same classifier, moved less than $D$. What such a division cannot change are the last two
# columns, and by both $D$ is moved further: twelve times as far beside where it stands, three times
# beside its spread.
#
# So there are two reasons. $D$ stands near the border, which is where theory puts it: that alone
# turns most of its answers, as the row without the ring shows. And there is the ring: of the
# distance moved, more than half is due to those few pixels, where $D$ has good reason to be steep.
# Spare them, and beside its spread it is moved hardly further than the classifier; spare as many
# others, and little changes.

# %% mystnb={"image": {"alt": "Four lines over eps from 0 to .1, the share that D takes for real. Attacked test digits fall to almost zero within two hundredths; attacked samples rise to above 90 percent. Under random signs both rise more slowly and end near 100 percent."}}
sizes = [0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1]
table = pd.DataFrame({
    f"{name}, {way}": [believed(change(images, label, eps).clamp(0, 1))
                       for eps in sizes]
    for name, (images, label) in sets.items()
    for way, change in (("the step", attacked), ("random signs", shaken))
}, sizes)
figures.curves({"taken for real (%)": table})
plt.show()

# %% [markdown]
# **Figure 15.** What $D$ takes for real ($D(x) > \frac12$) under one step of the fast gradient sign
# against it, and under random signs; the first 1,000 test digits and samples.
#
# Random signs move $D$, too, if they are larger: a little ink everywhere is also ink in the ring.
# (Not the first time in this course that noise does harm: in Lecture 2, section 7, a grey veil of
# clipped noise made AE400-10 misread nearly half of the digits.)
#
# Training against *a generator's* pictures is not training against *every* picture near by: $G$
# makes what its weights can make, and there $D$ learned to look. Elsewhere, nobody ever asked it:

# %% mystnb={"image": {"alt": "Eight pictures with D's output beneath each: a test digit; the same blurred, mirrored, lying on its side, and as a negative, dark on white; a sample; the grey mean of all digits; and uniform noise. The digit on its side, the negative and the noise get outputs near 1."}}
names = ["test digit", "blurred", "mirrored", "on its side", "negative",
         "sample", "mean digit", "noise"]
digit = test_images[:1]
odd = torch.cat([
    digit, F.avg_pool2d(digit, 3, 1, 1), digit.flip(3), digit.transpose(2, 3),
    1 - digit, samples[:1], mean_image[None], uniform_noise[:1]])
with torch.no_grad():
    outputs = discriminator(odd).sigmoid()[:, 0].tolist()
titles = [f"{name}\n{d:.2f}" for name, d in zip(names, outputs)]
figures.digits([odd], titles=[titles])
plt.show()

# %% [markdown]
# **Figure 16.** $D$'s output for pictures of many kinds; 1 is "real".
#
# A discriminator is no judge of digits. It knows the border between the real ones and what this
# generator makes *now*; on the far side of everything it has seen, it extrapolates, as in Figure 1.
# That is the same blindness that adversarial examples live on.
#
# ### Would a robust teacher teach better?
#
# That is the paper's suggestion turned into a prediction: if adversarial examples of $D$ make the
# training inefficient, a $D$ that is trained against them as well should make better samples. Its
# rival says: $D$ is judged by how well it separates, and whatever it has to spend on robustness it
# lacks there. In section 4's study $D$ was also trained adversarially (half of each loss on the
# batch moved by .02 along the sign of its gradient, as in Lecture 4), five seeds, paired with $D$
# as usual.
#
# > **Before you run:** will this $D$ be less sensitive? And the samples: better, worse, or the
# > same?

# %%
guess_21 = "?"  # less sensitive, yes or no; better, worse, the same

# %%
both = ["Adam", "Adam, adversarial D"]
table = measured[measured["condition"].isin(both)].pivot_table(
    index="measure", columns="condition", values="value")
table.loc[["above 0, digits", "deviation, digits", "step, digits",
           "attack, digits", "signs, digits", "deviation, samples",
           "step, samples", "attack, samples", "Frechet distance"]].round(2)

# %% [markdown]
# *Means over five seeds.* `above 0`: digits taken for real, in percent; `deviation`: the
# log-odds' spread at rest; `step`, `attack` (twenty steps of projected gradient) and `signs`: by
# how much .02 moves the log-odds.

# %%
sensitive = measured[measured["measure"] == "attack, digits"].pivot(
    index="condition", columns="seed", values="value")
print("you said", guess_21)
print("attack, as usual over adversarial:",
      intervals.ratio(sensitive.loc[both[0]], sensitive.loc[both[1]]))

# %% tags=["claim", "claim:gan-adversarial-discriminator"]
claims.check("gan-adversarial-discriminator",
             gain("Adam", "Adam, adversarial D"),
             null=gain("Adam, again", "Adam").value)

# %% [markdown]
# Adversarial training does what it did in Lecture 4: on digits .02 now moves $D$ about a quarter as
# far, also under twenty steps of attack, and as the spread at rest is the same, that is no matter of
# scale; on samples, where $G$'s gradient is taken, about half (and the spread is four fifths). And
# what $G$ makes? In some seeds it is better, in others worse. The verdict is *undecided*: five
# seeds of small networks cannot tell a gain, or a loss, of a third from the luck of the seed. (How
# large that is, section 4's table shows: *Adam* and *Adam, again*, the same training from other
# seeds, differ by up to 131.) So nothing is said against the prediction, nor for it; on
# photographs, and with larger networks, Liu and Hsieh [5] report better samples from such a $D$.
#
# So what is adversarial in both? In Lectures 1 to 4 the classifier stands still, and the adversary
# looks for a mistake near one picture; in adversarial training the classifier answers. Here both
# move in turn, and the adversary is a network. But the adversary's eyes are the same, the gradient
# in the pixels.
#
# ## 15. What came after
#
# Three ideas, each an answer to something that you have seen.
#
# **Wasserstein.** The flat stretch of Figure 2 comes from the *measure of distance*: once two bells
# do not overlap, JS has said all it has to say. Arjovsky and others [6] replaced it by the
# Wasserstein distance: how far, in the mean, the mass has to be carried. It never goes flat. Their
# discriminator no longer says "real" with a chance; it is any function whose slope is at most 1 (a
# Lipschitz bound, Lecture 3's subject!), and the distance is the largest difference of its means.
# Later work keeps the bound by a penalty on the slope, or by Lecture 3's norms, layer by layer [7].

# %% mystnb={"image": {"alt": "Two panels over the distance of two bells from 0 to 10. Left, the Jensen-Shannon divergence rises in an S and is flat from 5 on, at log 2. Right, the Wasserstein distance is a straight line through 0 with slope 1."}}
from scipy.stats import wasserstein_distance

js = pd.Series((values["2 JS - log 4"] + math.log(4)) / 2)
carried = [wasserstein_distance(z, shift + z) for shift in values.index]
figures.curves({"Jensen-Shannon (nats)": js.to_frame("JS"),
                "Wasserstein": pd.DataFrame({"W": carried}, values.index)},
               xlabel="distance between data and generated points")
plt.show()

# %% [markdown]
# **Figure 17.** Two measures of distance between the bells of section 3. The Wasserstein distance
# of two bells of one shape is how far one is shifted, so there is a slope everywhere.
#
# **DCGAN.** In our generator each weight of the last layer belongs to one pixel; that a stroke may
# be shifted has to be learned for every place anew. Radford and others [8] built both players from
# convolutions, whose few weights are shared by all places, and gave the recipe by which most GANs
# of the following years were trained: strides in place of pooling, batch normalisation, rectifiers
# in $G$ and leaky ones in $D$, Adam with $\beta_1 = .5$. (Normalisation and Adam you used above.)
# What one number within the network can do to the picture is another thing here and there:

# %%
weights = torch.Generator().manual_seed(0)
kernels = [torch.randn(shape, generator=weights)
           for shape in ((1, 8, 4, 4), (8, 1, 4, 4))]

def reach(row, column):
    """What a number of a 7 x 7 layer does to the picture, two layers behind."""
    layer = torch.zeros(1, 1, 7, 7)
    layer[0, 0, row, column] = 1
    for kernel in kernels:
        layer = F.conv_transpose2d(layer, kernel, stride=2, padding=1)
    return layer[0] / layer.abs().max()

# %% mystnb={"image": {"alt": "Three pictures of 28 by 28 pixels. First: changing one unit of the fully connected generator's last hidden layer changes pixels all over. Second and third: changing one number of a convolutional layer of 7 by 7 changes a small square of pixels; the neighbouring number changes the same pattern, moved by four pixels."}}
dense = generator[-3].weight[:, 7].detach().view(1, 28, 28)
marks = [dense / dense.abs().max(), reach(3, 2), reach(3, 3)]
titles = ["fully connected", "convolution", "its neighbour"]
figures.digits([torch.stack(marks)], signed=[0], titles=[titles])
plt.show()

# %% [markdown]
# **Figure 18.** What one number of a hidden layer does to the picture: in this lecture's generator,
# and in two transposed convolutions of stride 2 (with weights drawn at random), 7 x 7 to 28 x 28.
#
# **Diffusion.** A GAN makes a picture in one step, and needs an opponent to say how it should
# differ. Diffusion models [9] need none: they mix real pictures with noise, $x_t = \sqrt{a}\, x +
# \sqrt{1 - a}\, n$, learn by least squares to guess the picture behind the noise, and make a new
# one by starting from noise and guessing again and again. Nothing saturates, and nothing collapses.
# The *best* guess has a form that you know: weigh every training digit by a bell around it, as a
# Parzen window does, and take the mean.

# %%
def noised(images, a, seed=0):
    lot = torch.Generator().manual_seed(seed)
    noise = torch.randn(images.shape, generator=lot)
    return a**0.5 * images + (1 - a) ** 0.5 * noise

def best_guess(mixed, a, known):
    """Mean of the known pictures, weighed by how likely each became `mixed`."""
    apart = torch.cdist(mixed.flatten(1), a**0.5 * known.flatten(1)).square()
    likely = (-apart / (2 * (1 - a))).softmax(1)
    return (likely @ known.flatten(1)).view_as(mixed)

# %% mystnb={"image": {"alt": "Four rows of six pictures, with less of the picture in the noise from left to right. Test digit mixed with noise: at the right only noise. Best guess: at the left a clear digit that resembles the test digit but is another, at the right a grey cloud."}}
levels, known_digits = [0.9, 0.5, 0.2, 0.05, 0.01, 0.001], train_images[:20_000]
rows = []
for one in (test_images[:1], test_images[1:2]):
    mixed = [noised(one, a) for a in levels]
    clear = [best_guess(x, a, known_digits) for x, a in zip(mixed, levels)]
    rows += [torch.cat(mixed).clamp(0, 1), torch.cat(clear)]
titles = [[f"a = {a:g}" for a in levels], None, None, None]
figures.digits(rows, names=["mixed", "best guess"] * 2, titles=titles)
plt.show()

# %% [markdown]
# **Figure 19.** Two test digits in more and more noise, and the best guess of a memory that holds
# 20,000 training digits.
#
# With much noise the guess is the mean of all digits; with little it is one *training* digit. The
# best solution of the training task is a memoriser! That diffusion models make anything new is owed
# to networks that do not reach it, and whether they copy is tested as in section 9, with the same
# weakness of the test.

# %% [markdown]
# ## Summary
#
# - $G$ makes points from noise, $D$ tells them from real ones, and both fight over
#   $V = \mathbb E \log D(x) + \mathbb E \log (1 - D(G(z)))$. The **best discriminator** is
#   $p / (p + q)$, and a network finds it from points alone, where there are points.
# - Against it the game is worth $2\,\mathrm{JS}(p, q) - \log 4$: lowest where $q = p$, and flat
#   where the two are far apart. There the game's own loss **saturates**. Whether that costs samples
#   depends on the optimiser and its rate: by plain descent at the paper's rate nearly everything,
#   with a rate of its own for each loss little, by Adam nothing that stood out from the seeds.
# - A generator that outruns its discriminator **collapses**; the cure is to let $D$ keep up. The
#   losses do not tell how good the samples are.
# - Nothing close to a copy was found, by a test that finds only exact copies.
# - Read every measure beside its **null**: noise passes for "sure" and for "lively". **Parzen
#   windows** rank a blur above real digits; the **Fréchet distance** in a classifier's features
#   does not, and is blind to what the classifier does not see. Trust no single number.
# - $G$ learns from $D$'s input gradient. $D$ flips at a small step because it stands near
#   $\frac12$, and because it is steep in a ring of pixels that no sample inks. Two networks'
#   log-odds have no common scale: measure how far a step moves each beside its own spread.
#
# **This is the end of the course.** You began with a change too faint to see, and end with pictures
# that nobody drew. Both came out of one idea: follow the gradient in the pixels. What to take home
# is not the numbers but the habits: predict, measure, run the control, and attack what you believe.
#
# ## References
#
# 1. I. Goodfellow, J. Pouget-Abadie, M. Mirza, B. Xu, D. Warde-Farley, S. Ozair, A. Courville, Y.
#    Bengio, *Generative adversarial networks*, 2014,
#    [arXiv:1406.2661](https://arxiv.org/abs/1406.2661). The game, the theorem, the two losses and
#    the table of section 12.
# 2. L. Theis, A. van den Oord, M. Bethge, *A note on the evaluation of generative models*, 2015,
#    [arXiv:1511.01844](https://arxiv.org/abs/1511.01844): why Parzen windows mislead.
# 3. M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler, S. Hochreiter, *GANs trained by a two
#    time-scale update rule converge to a local Nash equilibrium*, 2017,
#    [arXiv:1706.08500](https://arxiv.org/abs/1706.08500): the Fréchet distance, in the features of
#    a classifier of photographs.
# 4. I. Goodfellow, J. Shlens, C. Szegedy, *Explaining and harnessing adversarial examples*, 2014,
#    [arXiv:1412.6572](https://arxiv.org/abs/1412.6572): Lecture 4's step.
# 5. X. Liu, C.-J. Hsieh, *Rob-GAN: generator, discriminator, and adversarial attacker*, 2018,
#    [arXiv:1807.10454](https://arxiv.org/abs/1807.10454): an adversarially trained $D$.
# 6. M. Arjovsky, S. Chintala, L. Bottou, *Wasserstein GAN*, 2017,
#    [arXiv:1701.07875](https://arxiv.org/abs/1701.07875).
# 7. I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville, *Improved training of
#    Wasserstein GANs*, 2017, [arXiv:1704.00028](https://arxiv.org/abs/1704.00028); T. Miyato, T.
#    Kataoka, M. Koyama, Y. Yoshida, *Spectral normalization for generative adversarial networks*,
#    2018, [arXiv:1802.05957](https://arxiv.org/abs/1802.05957).
# 8. A. Radford, L. Metz, S. Chintala, *Unsupervised representation learning with deep convolutional
#    generative adversarial networks*, 2015, [arXiv:1511.06434](https://arxiv.org/abs/1511.06434).
# 9. J. Sohl-Dickstein, E. Weiss, N. Maheswaranathan, S. Ganguli, *Deep unsupervised learning using
#    nonequilibrium thermodynamics*, 2015, [arXiv:1503.03585](https://arxiv.org/abs/1503.03585); J.
#    Ho, A. Jain, P. Abbeel, *Denoising diffusion probabilistic models*, 2020,
#    [arXiv:2006.11239](https://arxiv.org/abs/2006.11239).
# 10. L. Nayak, *Advanced Machine Learning: Adversarial Examples*, the slides that this course
#    follows.
