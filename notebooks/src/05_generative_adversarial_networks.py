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
# lecture goes on from there. First on a line, where everything can be computed and no word need be
# believed; then on MNIST, where you train such a pair yourself, look at what a full run makes, and
# find out why it is so hard to say how *good* it is.
#
# **After this lecture you can**
#
# - write down the game, both players' losses, and the best discriminator;
# - say what the game's value has to do with the distance between two distributions, and why the
#   generator is trained on another loss than the game's;
# - train a pair, recognise a *mode collapse*, and cure it;
# - measure samples in two ways, and say by which pictures each measure is deceived.
#
# **You need** Lecture 4: the gradient of a loss in the pixels, and the fast gradient sign. The
# lecture runs in two minutes or so, half of which is a training of your own.
#
# The next cell does nothing unless you are on Colab.

# %%
# On Colab, install the course first; everywhere else this cell does nothing.
import sys
if "google.colab" in sys.modules:
    raise SystemExit("First run this in a cell above, with the repository's address: %pip install git+...")

# %%
import math

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch.nn import functional as F

from course_utils import claims, figures, gan, published
from course_utils.data import load_mnist
from course_utils.zoo import load_model

figures.use_style()

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
# $V$ is at most 0: that is a $D$ which is always right and always sure. Up to its sign, it is the
# cross-entropy of a classifier with two classes. Lectures 1 and 4 knew such games, too: there the
# adversary had one picture to move; here it has a whole network.
#
# Both losses in code, straight from the formula: $-V$ for $D$, and for $G$ the part of $V$ that it
# can change.

# %%
def by_hand(real, fake):
    """D's loss and G's, from D's outputs (0 to 1) for real points and for generated ones."""
    return -(real.log().mean() + (1 - fake).log().mean()), (1 - fake).log().mean()

# %% [markdown]
# Our discriminators give a logit $a$, of which $D = \sigma(a) = 1 / (1 + e^{-a})$, and
# `gan.discriminator_loss` and `gan.generator_loss` take the logits, because a $D$ that is rounded
# to 0 or 1 has no logarithm. (Exercise 1: write them.)
#
# > **Before you run:** a discriminator that has learned nothing says $\frac12$ to everything. What
# > is the value of the game?

# %%
nothing = torch.full((5,), 0.5)
print(f"V if D always says 1/2: {-by_hand(nothing, nothing)[0]:.4f}; "
      f"-log 4 = {-math.log(4):.4f}")

# %%
logits = torch.linspace(-4, 4, 9)
ours = by_hand(logits.sigmoid(), (2 - logits).sigmoid())
theirs = gan.discriminator_loss(logits, 2 - logits), gan.generator_loss(2 - logits, saturating=True)
for player, mine, other in zip("DG", ours, theirs):
    print(f"loss of {player}: by hand {mine:.4f}, by course_utils.gan {other:.4f}")

# %% [markdown]
# ## 2. The best discriminator
#
# Hold the generator still. Real points $x$ have a density $p(x)$, generated ones a density $q(x)$.
# Then $V$ is an integral of
#
# $$p(x) \log D(x) + q(x) \log (1 - D(x)),$$
#
# and $D$ may choose its answer at each $x$ by itself. Set the derivative in $D(x)$ to zero, and
#
# $$D^*(x) = \frac{p(x)}{p(x) + q(x)} .$$
#
# No real discriminator knows $p$ and $q$; it sees points. On a line we can have both. Let the real
# points come from two bells, the generated ones from one:

# %%
from statistics import NormalDist

narrow, wide, made = NormalDist(-1.5, 0.5), NormalDist(1.5, 1.0), NormalDist(0.5, 1.2)

def p(x):
    return (narrow.pdf(x) + wide.pdf(x)) / 2

# %%
def draw(count, random):
    """Points (count, 1) from p, and as many from q."""
    bells, z = torch.rand(count, 1, generator=random), torch.randn(2, count, 1, generator=random)
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
from course_utils.models import fully_connected

def learn(draw, steps=600):
    network = fully_connected(32, 1, inputs=1).double()
    adam = torch.optim.Adam(network.parameters(), lr=0.02)
    random = torch.Generator().manual_seed(0)
    for _ in range(steps):
        real, fake = draw(2000, random)
        adam.zero_grad()
        gan.discriminator_loss(network(real), network(fake)).backward()
        adam.step()
    return network.requires_grad_(False)

# %% mystnb={"image": {"alt": "Two panels over x from minus 5 to 5. Above, two densities: the data's with a narrow high bell on the left and a flat one on the right, and the generator's, one bell in the middle. Below, the best discriminator as a broad grey line that rises to almost 1 under the narrow bell, dips below one half where the generator has more, and rises again on the right; the learned one, a thin black line, lies in it except at the far left and right."}}
learned = learn(draw)
points = torch.linspace(-5, 5, 401, dtype=torch.float64)
real, fake = (torch.tensor([f(x) for x in points.tolist()]) for f in (p, made.pdf))
best, found = real / (real + fake), learned(points[:, None]).sigmoid()[:, 0]
figures.discriminators(points, {"p, the data": real, "q, the generator": fake},
                       {"p / (p + q)": best, "learned": found})
plt.show()

# %% [markdown]
# **Figure 1.** Two densities, and what a discriminator should say and does say. Where $p = q$, both
# curves cross one half.
#
# Where points are, the network has found $p / (p + q)$, though it was shown neither. Where there
# are none, it says what it likes. (You met that in Lecture 4: far from their data, networks
# extrapolate.) The distance, in the mean over points of both kinds:

# %% tags=["claim", "claim:gan-optimal-discriminator"]
density = (real + fake) / (real + fake).sum()
furthest = (found - best).abs()[density > density.max() / 20].max()
claims.check("gan-optimal-discriminator", (density * (found - best).abs()).sum(),
             detail=f"at most {furthest:.2f} where the density is above 5 % of its largest")

# %% [markdown]
# ## 3. What the game is worth
#
# Put $D^*$ into $V$, and with $m = (p + q) / 2$ the game's value becomes
#
# $$V(D^*) = \mathbb E_p\left[\log \frac{p}{2m}\right] + \mathbb E_q\left[\log \frac{q}{2m}\right]
#   = 2\,\mathrm{JS}(p, q) - \log 4,$$
#
# where $\mathrm{JS}(p, q) = \frac12 \mathrm{KL}(p, m) + \frac12 \mathrm{KL}(q, m)$ is the
# **Jensen-Shannon divergence**: 0 only if $p = q$, and never more than $\log 2$. So against a $D$
# that always keeps up, $G$ can do nothing better than to make $q = p$. That is the theorem on which
# everything rests. Both sides of the equation, integrated numerically:

# %%
def best_discriminator(x):
    return p(x) / (p(x) + made.pdf(x))

value = gan.game_value(best_discriminator, p, made.pdf, low=-9, high=9)
divergence = gan.jensen_shannon(p, made.pdf, low=-9, high=9)
print(f"V(D*) = {value:.4f}, 2 JS - log 4 = {2 * divergence - math.log(4):.4f}")

# %% [markdown]
# Now move the generator. Data and generated points are bells of width 1, some distance apart.
#
# > **Before you run:** what is the value at distance 0? At distance 10? And what can a generator
# > learn from the curve at 10?

# %%
def played(shift):
    """2 JS - log 4, V(D*), and V of a D that has learned from points, at one distance."""
    data, fakes, ends = NormalDist().pdf, NormalDist(shift).pdf, {"low": -8, "high": shift + 8}
    network = learn(lambda count, random: (
        torch.randn(count, 1, generator=random).double(),
        shift + torch.randn(count, 1, generator=random).double()), steps=150)
    answer = lambda x: network(torch.tensor([[x]]).double()).sigmoid().item()
    best = lambda x: 1 / (1 + math.exp(shift * (x - shift / 2)))
    return [2 * gan.jensen_shannon(data, fakes, **ends) - math.log(4),
            gan.game_value(best, data, fakes, **ends), gan.game_value(answer, data, fakes, **ends)]

# %% mystnb={"image": {"alt": "A curve over the distance from 0 to 10. It starts at minus log 4, rises in an S to almost 0 at distance 5, and is flat from there on. Squares, the best discriminator's value, lie on it; triangles, that of learned ones, lie on it or a little below."}}
distances = [0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]
columns = ["2 JS - log 4", "V of the best D", "V of a learned D"]
values = pd.DataFrame([played(shift) for shift in distances], distances, columns)
figures.game_values(values, xlabel="distance between data and generated points")
plt.show()

# %% [markdown]
# **Figure 2.** The value of the game. Marks on the line: the best discriminator. A learned one can
# only be worse, and is, by little.
#
# The value falls towards $-\log 4$ as the generator comes nearer: descend, and you arrive. But
# beyond a distance of 5 there is nothing to descend. $D$ tells the two apart without a mistake, and
# a little nearer or further makes no difference to it.
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
z = torch.tensor([NormalDist().inv_cdf((i + 0.5) / 500) for i in range(500)]).double()

def play(saturating, start=5.0, rounds=300, rate=0.3):
    path = [start]
    for _ in range(rounds):
        mean = torch.tensor(path[-1], dtype=torch.float64, requires_grad=True)
        logit = path[-1] * (path[-1] / 2 - (mean + z))  # log p / q of bells at 0 and at the mean
        loss = gan.generator_loss(logit, saturating=saturating)
        path.append(path[-1] - rate * torch.autograd.grad(loss, mean)[0].item())
    return path

# %% mystnb={"image": {"alt": "Two panels. Left, the size of the slope over the logit of D: for the saturating loss it rises in an S from 0 to 1, for the non-saturating one it falls from 1 to 0. Right, the distance over rounds: by the non-saturating loss it falls from 5 to 0 within some twenty rounds, by the saturating one it hardly moves for fifty rounds and arrives at about the hundredth."}}
logits = torch.linspace(-8, 8, 81)
names = {"saturating, log(1 - D)": True, "non-saturating, -log D": False}
slopes = {name: (logits if flag else -logits).sigmoid() for name, flag in names.items()}
paths = {name: play(flag)[:121] for name, flag in names.items()}
figures.saturation(logits, slopes, paths)
plt.show()

# %% [markdown]
# **Figure 3.** Left: how steep both losses are in $D$'s logit. Right: where they take a generator
# that begins at a distance of 5.

# %%
for name, path in paths.items():
    print(f"{name}: nearer than 0.1 after {sum(distance > 0.1 for distance in path)} rounds")

# %% [markdown]
# Both losses end at the same place; one of them spends most of its time where nothing is to be
# felt. And on pictures? Let a generator of digits that has learned nothing yet, a **novice**, stand
# still, and train a discriminator against it. (The networks are those of section 5.)

# %%
train_images, train_labels = load_mnist("train")
test_images, test_labels = load_mnist("test")
mean_image = train_images[:50_000].mean(0)
novice = gan.rectifier_generator(400, 400, noise=10, mean=mean_image).double()
judge = gan.maxout_discriminator(120, 120).double().eval()
noise = gan.draw_noise(500, novice.noise).double()

# %% [markdown]
# > **Before you run:** on which side is the game's own loss steeper before $D$ has learned
# > anything? And after 160 steps of $D$, by what factor does it fall behind?

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
rows = {0: judged()}
for step, real in enumerate(train_images[:16_000].double().split(100), start=1):
    with torch.no_grad():
        fake = novice(noise[:100])
    adam.zero_grad()
    gan.discriminator_loss(judge(real), judge(fake)).backward()
    adam.step()
    if step % 40 == 0:
        rows[step] = judged()

# %%
columns = ["D(G(z))", "saturating", "non-saturating"]
table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("steps of D")
table.map("{:.1e}".format)

# %% tags=["claim", "claim:gan-non-saturating"]
won = table.iloc[-1]
claims.check("gan-non-saturating", won["non-saturating"] / won["saturating"],
             detail=f"after {table.index[-1]} steps of D against a generator that stands still")

# %% [markdown]
# *The gradients' lengths, in all of the generator's weights.* While $D$ knows nothing, both are
# alike. Each of $D$'s steps then makes the game's own loss flatter and the other one steeper. That
# is why from here on $G$ minimises $-\log D(G(z))$, as in the paper.
#
# ## 5. A live run
#
# Now let both learn. The networks are the paper's kind: $G$ takes ten numbers of noise and has two
# layers of rectifiers under one of sigmoids, one for each pixel; $D$ is a maxout network with
# dropout, which gives one logit (Lecture 4's *maxout* is its larger sister). In each round $D$
# takes a step on 100 real digits and 100 generated ones, and then $G$ takes one. Three things are
# newer than the paper, because without them so short a run comes to less: the steps are Adam's, $G$
# has batch normalisation, and the pictures are made by a *running mean* of $G$'s weights.
#
# > **Before you run:** what will come first, strokes or digits? And who will win: where will
# > $D(x)$ and $D(G(z))$ go?

# %%
digits = train_images[:40_000]
ours = gan.rectifier_generator(400, 400, noise=10, mean=mean_image)
theirs = gan.maxout_discriminator(120, 120)
fixed, seen = gan.draw_noise(10, ours.noise, seed=1), {}

def look(rounds):
    """Keep what the same ten draws of noise become after some of the rounds."""
    with torch.no_grad():
        seen[rounds] = ours.eval()(fixed)
    ours.train()

# %%
look(0)
report = gan.train_gan(ours, theirs, digits, epochs=3, every=50, watch=look)

# %% mystnb={"image": {"alt": "Rows of ten small pictures, one row for each of several moments of the training. In the first all ten are the same grey cloud; then come blurred strokes, and in the last rows most are digits. Each column changes slowly from row to row."}}
moments = [0, 100, 250, 500, 800, 1200]
figures.digits([seen[k] for k in moments], names=[f"round {k}" for k in moments])
plt.show()

# %% [markdown]
# **Figure 4.** What the same ten draws of noise become as training goes on. Nobody told the network
# what a digit is, or that there are ten: all that $G$ ever learned came from $D$'s objections.

# %% mystnb={"image": {"alt": "Two panels over the epochs. Left, the losses of D and of G, two wavering lines that come near to levels and stay there. Right, D's mean output: for real digits above one half, for generated ones below it, both apart at first and nearer to one half later."}}
by_epoch = report.set_index("epoch")
losses = by_epoch[["discriminator loss", "generator loss"]]
figures.curves({"loss": losses, "D's mean output": by_epoch[["real", "fake"]]},
               xlabel="epoch")
plt.show()

# %% [markdown]
# **Figure 5.** Left: the two losses. Right: what $D$ says of real digits and of generated ones.
#
# In every other lecture a falling loss meant progress. Here neither loss tells how good the
# pictures are: each is measured against an opponent that improves as well. If $D$ were at its best
# and $G$ perfect, $D$ would say $\frac12$ to everything. It does not, so $D$ still sees something.
#
# Are they digits? Ask a classifier. Lecture 4's maxout has never seen a generated picture.

# %%
from course_utils.training import predict

classifier = load_model("maxout")

def confident(images):
    """The share of images, in percent, whose class the classifier gives at least 0.9."""
    with torch.no_grad():
        return 100 * (classifier(images).softmax(1).amax(1) >= 0.9).double().mean().item()

live = gan.sample(ours, 10_000)
print(f"at least half are digits to the classifier, beyond doubt: {confident(live) >= 50}")

# %% [markdown]
# ## 6. The full run
#
# Training on, for many more rounds, gives the pair that comes with this course. (`make train`
# trains it anew, and `gan.load_gan_record()` says how.)
#
# > **Before you run:** one of the next three sheets is of real digits, one of your run, one of the
# > full run. They come without names. By what do you tell them apart?

# %% mystnb={"image": {"alt": "Three sheets of eight by eight small digits. One has clean and varied digits; the other two have digits with broken or smeared strokes among good ones, one sheet more of them than the other."}}
generator, discriminator = gan.load_gan()
samples = gan.sample(generator, 10_000)
three = {"1": samples[:64], "2": live[:64], "3": test_images[:64]}
figures.sheets(three, columns=8)
plt.show()

# %% [markdown]
# **Figure 6.** Sheet 3 is real, sheet 1 of the full run, sheet 2 of yours.
#
# ## 7. A walk through the noise
#
# $G$ is a smooth function. Go in a straight line from one noise to another, and the picture must
# change smoothly.
#
# > **Before you run:** halfway between two digits *in the pixels* there is a double exposure. What
# > is halfway between them in $z$?

# %% mystnb={"image": {"alt": "Five rows of nine pictures. In the first four, each from another pair of anchors, one digit turns into another by shapes that are themselves strokes of a pen, some of them digits. In the last row, between the anchors of the row above it, one digit fades out while the other fades in, both visible in the middle."}}
ends = gan.draw_noise(8, generator.noise, seed=7).view(4, 2, -1)
t = torch.linspace(0, 1, 9)[:, None]
with torch.no_grad():
    rows = [generator((1 - t) * first + t * second) for first, second in ends]
fade = t.view(-1, 1, 1, 1)
rows.append((1 - fade) * rows[-1][:1] + fade * rows[-1][-1:])
figures.digits(rows, names=["in z"] * 4 + ["in the pixels"],
               titles=[None] * 4 + [[f"t = {share:g}" for share in t[:, 0].tolist()]])
plt.show()

# %% [markdown]
# **Figure 7.** From one draw of noise to another, $(1 - t) A + t B$; in the last row the *pictures*
# of the row above are blended instead.
#
# What is halfway is no double exposure, but something drawn with one pen, and mostly a digit, now
# and then a third one. Only for short stretches is it none: somewhere the generator has to go from
# one kind to another, and what lies between is made, too.
#
# Walk yourself: two anchors, a blend, and the numbers of $z$ that matter most. (This needs a
# running notebook. If you are only reading, Figure 8 stands in for it.)

# %%
from course_utils.widgets import gan_explorer, twin

explorer = gan_explorer(generator)
explorer

# %% mystnb={"image": {"alt": "Four states of the explorer with the blend at t = 0, .3, .7 and 1: anchor A, a four; the blend, which is the four, then a nine, then something between a three and a nine, then the five; anchor B, a five; and bars of what the classifier takes the blend for."}}
twin(explorer, seed_A=[0, 2, 5], blend=11)

# %% [markdown]
# **Figure 8.** The explorer for three anchors A, drawn beforehand. On the course's site it has
# controls of its own; here and on paper it shows the first of them.

# %% [markdown]
# ## 8. Is it memory?
#
# A generator that hands out training digits would win the game. So look for the nearest training
# digit of each sample, among the 50,000 that it learned from.
#
# > **Before you run:** if it had learned them by heart, what would the second row look like?

# %%
learned_from = train_images[:50_000].flatten(1)

def nearest(images):
    """The nearest training digit of each image, and its distance (root mean square per pixel)."""
    found = [torch.cdist(some, learned_from).min(1) for some in images.flatten(1).split(250)]
    indices = torch.cat([f.indices for f in found])
    return train_images[indices], torch.cat([f.values for f in found]) / 28, indices

# %% mystnb={"image": {"alt": "Two rows of ten digits: samples, and below each the training digit nearest to it. Each pair is of one kind and of similar slant, but the strokes differ in places."}}
neighbours, _, _ = nearest(samples[:10])
figures.digits([samples[:10], neighbours], names=["sample", "nearest in training"])
plt.show()

# %% [markdown]
# **Figure 9.** Samples, as they come, and the training digit nearest to each.
#
# Near, but not the same. How near is near? Test digits are the control: they are new for certain.

# %% mystnb={"image": {"alt": "Two histograms of distances to the nearest training digit, one of 500 samples and one of 500 test digits. They overlap; that of the samples is narrower, and none reaches down to 0."}}
distances = {"samples": nearest(samples[:500])[1], "test digits": nearest(test_images[:500])[1]}
figures.histograms(distances, xlabel="distance to the nearest training digit")
plt.show()

# %% [markdown]
# **Figure 10.** Distances to the nearest of 50,000 training digits.

# %%
least = {name: values.min().item() for name, values in distances.items()}
print(", ".join(f"nearest of 500 {name}: {value:.3f}" for name, value in least.items()))

# %% [markdown]
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
# pass. "The nearest neighbour looks different" excludes the crudest kind of memory, and no other.
#
# ## 9. All ten digits?
#
# The classifier again: which digits does it see, and how evenly? The **entropy** of the ten shares,
# $-\sum_k s_k \log s_k$, is at most $\log 10 = 2.303$ nats, for equal shares, and 0 if all are the
# same.
#
# > **Before you run:** which digit will be the rarest? What would the entropy be if one of the ten
# > were missing altogether?

# %%
def digit_shares(images):
    """How often the classifier takes an image for each digit, in percent."""
    return 100 * predict(classifier, images).bincount(minlength=10).double() / len(images)

shown = {"training digits": train_images[:10_000], "full run": samples, "live run": live}
found = pd.DataFrame({name: digit_shares(images).numpy() for name, images in shown.items()})

# %% mystnb={"image": {"alt": "For each of the ten digits three marks, its share in percent among training digits, samples of the full run and samples of the live run. Training digits lie near 10 percent throughout; the full run spreads around them and stays above the dotted line at 3 percent; the live run spreads more."}}
figures.class_shares(found, least=3)
plt.show()

# %% [markdown]
# **Figure 11.** Shares of the ten digits, by the classifier's answers. The dotted line is the
# claim's 3 %.

# %% tags=["claim", "claim:gan-all-digits"]
shares = digit_shares(samples)
claims.check("gan-all-digits", shares.min(), detail=f"a {shares.argmin()}; the most frequent is "
             f"a {shares.argmax()}, {shares.max():.0f} %")

# %% tags=["nbval-ignore-output"]
noise = torch.rand(10_000, 1, 28, 28, generator=torch.Generator().manual_seed(0))
rows = {}
for name, images in {**shown, "uniform noise": noise}.items():
    part = digit_shares(images)
    entropy = torch.distributions.Categorical(part).entropy().item()
    rows[name] = [entropy, part.min().item(), confident(images)]
columns = ["entropy (nats)", "rarest (%)", "beyond doubt (%)"]
pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(2)

# %% [markdown]
# *Beyond doubt: a confidence of at least 0.9.* The last row is the warning of Lecture 4: a
# classifier must choose one of ten, whatever it is shown, and its answer, even a confident one, is
# no proof that there is a digit. And ten digits are not yet *variety*: a generator with a single
# four could score as well here.

# %% [markdown]
# ## 10. Collapse
#
# In $\min_G \max_D V$ the maximum comes first: $D$ has to be at its best for each $G$. What if $G$
# takes many steps while $D$ takes one? Against a $D$ that stands still the best reply is no
# variety, but *one* picture, the one that $D$ believes in most. The paper warns of it: trained too
# much without updating $D$, $G$ collapses too many $z$ to the same $x$. Let the trained pair play
# on, for 40 rounds more, with ten steps of $G$ to each of $D$, and larger ones. Besides the digits
# we measure the *variety*, the mean distance of two samples.
#
# > **Before you run:** 40 rounds, after the thousands of the full run. Will the samples change
# > visibly? And can the damage be undone?

# %%
pair, some_noise, stages = gan.load_gan(), gan.draw_noise(10, 10, seed=3), {}

def stage(name):
    """Keep what ten draws of noise become, the variety of samples, and their digits' shares."""
    made = gan.sample(pair[0], 2000)
    variety = (made[:1000] - made[1000:]).square().mean(dim=(1, 2, 3)).sqrt().mean().item()
    with torch.no_grad():
        stages[name] = pair[0](some_noise), variety, digit_shares(made)

stage("before")

# %%
gan.train_gan(*pair, train_images[:4000], epochs=1, average=0.9,
              generator_steps=10, learning_rate=(3e-3, 3e-4))
stage("collapsed")

# %% [markdown]
# And the cure? Let $D$ keep up: one step each, of the usual size, for 300 rounds.

# %%
gan.train_gan(*pair, train_images[:10_000], epochs=3, average=0.9)
stage("cured")

# %% mystnb={"image": {"alt": "Three rows of ten pictures from the same noise. Before: ten different digits. Collapsed: ten times nearly the same dark picture with a few bright pixels. Cured: different digits again, rougher than before."}}
figures.digits([images for images, _, _ in stages.values()], names=list(stages))
plt.show()

# %% [markdown]
# **Figure 12.** The same ten draws of noise before the collapse; after 40 rounds with ten steps of
# $G$ to each of $D$; and after 300 more with one step each.

# %% tags=["nbval-ignore-output"]
rows = {name: [variety, torch.distributions.Categorical(part).entropy().item(), part.max().item()]
        for name, (_, variety, part) in stages.items()}
columns = ["variety", "entropy (nats)", "most frequent digit (%)"]
lively = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
lively.round(2)

# %%
variety = lively["variety"] / lively.at["before", "variety"]
print(f"collapsed: less than half of the variety: {variety['collapsed'] < 0.5}")
print(f"cured: more than three quarters of it: {variety['cured'] > 0.75}")

# %% [markdown]
# That is a **mode collapse**, and nothing in $G$ was broken: a few dozen rounds took its variety,
# and a few hundred gave it back, though not yet the quality. What made it happen is the balance.
# Whatever $z$ is, $G$ makes about the same picture; as soon as $D$ gets its say it calls that one
# "generated", and $G$ has to go elsewhere. If $G$ may then run on, it runs to the next single
# picture.
#
# Look at that picture: it is no digit at all. $G$ has found what $D$ *wrongly* believes in.
# Lectures 1 to 4 had a name for such pictures, and section 13 comes back to it. (The classifier,
# which must choose, takes nearly all of them for one digit; so much for counting digits alone.)
#
# ## 11. Parzen windows
#
# A classifier is judged by its errors. By what is a generator judged? It gives samples, not
# probabilities. The paper made a density out of them: put a small round bell of width $\sigma$ on
# each of 10,000 samples, choose $\sigma$ on digits held back for it, and take the mean
# log-likelihood of the test digits,
#
# $$\frac1N \sum_{i=1}^N \log \frac1M \sum_{j=1}^M \mathcal N(x_i;\, s_j, \sigma^2 I),$$
#
# in nats. A density may be above 1, so its logarithm may be above 0: only comparisons mean
# anything.
#
# > **Before you run:** the paper's generator reached 225 nats. Our networks are smaller and trained
# > for minutes. And what would *real* digits reach, taken for samples?

# %%
held_back = train_images[50_000:51_000]

def parzen(images, test):
    """Log-likelihood of the test images (mean, and its standard error), and sigma."""
    sigma = gan.choose_sigma(images, held_back, gan.SIGMAS[3:15])
    nats = gan.parzen_log_likelihood(images, test, sigma)
    return nats.mean().item(), nats.std().item() / len(nats) ** 0.5, sigma

# %% tags=["claim", "claim:gan-parzen"]
nats, error, sigma = parzen(samples, test_images)
claims.check("gan-parzen", nats, detail=f"+- {error:.1f}, sigma {sigma:.3f}")

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
real = train_images[:10_000]
kinds = {"real digits": real, "real digits, blurred": F.avg_pool2d(real, 3, 1, 1),
         "full run": samples}
some = test_images[:2000]
scores = pd.DataFrame({
    name: {count: parzen(images[:count], some)[0] for count in (100, 1000, 10_000)}
    for name, images in kinds.items()
})

# %% mystnb={"image": {"alt": "Three lines, the log-likelihood in nats over 100, 1,000 and 10,000 samples. All rise and none levels off. Blurred real digits are the highest at 10,000 samples, above real ones; with few samples the generated ones are above the real digits."}}
figures.curves({"log-likelihood (nats)": scores}, xlabel="samples", log=True)
plt.show()

# %% [markdown]
# **Figure 13.** The score of real digits, of the same digits blurred, and of generated ones, by the
# number of samples. (On the first 2,000 test digits.)

# %%
print(scores.round(0).to_string())

# %% [markdown]
# Blurred digits beat real ones by far, and everything in the paper's table. Nobody would take them
# for real. The bells are the reason: 10,000 points are so few in 784 dimensions that every test
# digit is far from all of them, so $\sigma$ must be large, and then what counts is not to be
# *right* but to be in the *middle*. Nor have the curves levelled off: ten times as many samples
# would change every number, and with few of them the generated digits even beat the real. The paper
# itself says that the estimate has a high variance and does not do well in many dimensions; Theis
# and others [2] showed how little it has to do with either likelihood or looks. And the claim
# above? It holds: by the paper's protocol these samples score what is asked for. It is the protocol
# that says little.
#
# ## 12. A second measure
#
# A measure with other faults looks at what a *classifier* sees. Take the values that Lecture 4's
# maxout computes in its last hidden layer, 240 for each image, fit one Gaussian to those of the
# test digits and one to those of the samples, and compute the **Fréchet distance** of the two [3]:
# 0 if means and covariances agree, and large if the samples look different to the classifier or
# vary too little.
#
# > **Before you run:** which of the four sets will now be nearest to the test digits, and which
# > furthest? Where will the blurred digits come?

# %% tags=["nbval-ignore-output"]
known = gan.features(classifier, test_images)

def frechet(images):
    return gan.frechet_distance(gan.features(classifier, images), known)

rows = {name: [scores.at[10_000, name], frechet(images)] for name, images in kinds.items()}
rows["live run"] = [parzen(live, some)[0], frechet(live)]
columns = ["log-likelihood (nats)", "Fréchet distance"]
pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(1)

# %%
worse = frechet(kinds["real digits, blurred"]) / frechet(real)
print(f"blurred digits are more than five times as far away as real ones: {worse > 5}")

# %% [markdown]
# *High is good on the left, low is good on the right.* The two measures disagree about the blur as
# much as they can. This one knows that real digits are the best samples there are. But it has blind
# spots of its own: it sees what this classifier sees and nothing else; a Gaussian knows no more
# than means and covariances; and both measures would praise a generator that hands out its training
# digits, for that is what the row "real digits" is. No single number says that samples are good.
# Look at them, too.
#
# ## 13. Back to Lecture 4
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
from course_utils.attacks import fgsm
from course_utils.inference import loss_and_gradient

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
figures.digits([eight, to_d, to_class], names=["sample", "D: more real", "maxout: another class"],
               signed=[1, 2])
plt.show()

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
for name, images in {"training digits": train_images[:50_000], "samples": samples}.items():
    inked = 100 * (images[:, ring] > 0.1).any(1).double().mean()
    print(f"{name} with ink in the ring: {inked:.1f} %")

# %% [markdown]
# Few real digits reach so far out, but no sample does. There $q = 0$, and the best discriminator's
# answer $p / (p + q)$ is 1, however small $p$ is: of ink in the ring, $D$ *should* say "real". It
# is the frame of Lecture 4 once more, and somebody else reads it now.
#
# Take the step. $D$ gives one logit; `two` puts a 0 beside it, so to `attacks.fgsm` it is a
# classifier with two classes. Samples are to pass for real, test digits to be called generated; the
# control, as always, is random signs.
#
# > **Before you run:** in every round of its training $D$ had to face an adversary that knew its
# > gradient. Is it robust now?

# %%
count, lot = 1000, torch.Generator().manual_seed(0)
sets = {"test digits": (test_images[:count], 1), "samples": (samples[:count], 0)}

def believed(images):
    with torch.no_grad():
        return 100 * (discriminator(images) > 0).double().mean().item()

def attacked(images, label, eps):
    return fgsm(two, images, torch.full((count,), label), eps=eps)

def shaken(images, label, eps):
    return images + eps * (2.0 * torch.randint(2, images.shape, generator=lot) - 1)

# %% mystnb={"image": {"alt": "Four lines over eps from 0 to .1, the share that D takes for real. Attacked test digits fall to almost zero within two hundredths; attacked samples rise to above 90 percent. Under random signs both rise more slowly and end near 100 percent."}}
sizes = [0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1]
table = pd.DataFrame({
    f"{name}, {way}": [believed(change(images, label, eps).clamp(0, 1)) for eps in sizes]
    for name, (images, label) in sets.items()
    for way, change in (("the step", attacked), ("random signs", shaken))
}, sizes)
figures.curves({"taken for real (%)": table})
plt.show()

# %% [markdown]
# **Figure 15.** What $D$ takes for real ($D(x) > \frac12$) under one step of the fast gradient sign
# against it, and under random signs.
#
# It is not. A step of .02, less than a tenth of Lecture 4's, turns $D$ round for nine in ten and
# more. And look at the control: for the first time in this course random signs do harm as well, if
# only when they are larger. A little ink everywhere is also ink in the ring.
#
# Training against *a generator's* pictures is not training against *every* picture near by: $G$
# makes what its weights can make, and there $D$ learned to look. Elsewhere, nobody ever asked it:

# %% mystnb={"image": {"alt": "Eight pictures with D's output beneath each: a test digit; the same blurred, mirrored, lying on its side, and as a negative, dark on white; a sample; the grey mean of all digits; and uniform noise. The digit on its side, the negative and the noise get outputs near 1."}}
digit, names = test_images[:1], ["test digit", "blurred", "mirrored", "on its side", "negative",
                                 "sample", "mean digit", "noise"]
odd = torch.cat([digit, F.avg_pool2d(digit, 3, 1, 1), digit.flip(3), digit.transpose(2, 3),
                 1 - digit, samples[:1], mean_image[None], noise[:1]])
with torch.no_grad():
    outputs = discriminator(odd).sigmoid()[:, 0].tolist()
figures.digits([odd], titles=[[f"{name}\n{d:.2f}" for name, d in zip(names, outputs)]])
plt.show()

# %% [markdown]
# **Figure 16.** $D$'s output for pictures of many kinds; 1 is "real".
#
# A discriminator is no judge of digits. It knows the border between the real ones and what this
# generator makes *now*; on the far side of everything it has seen, it extrapolates, as in Figure 1.
# That is the same blindness that adversarial examples live on.
#
# So what is adversarial in both? In Lectures 1 to 4 the classifier stands still, and the adversary
# looks for a mistake near one picture; in adversarial training the classifier answers. Here both
# move in turn, and the adversary is a network. But the adversary's eyes are the same, the gradient
# in the pixels; and so is the weakness that it finds.

# %% [markdown]
# ## 14. Exercises
#
# As before: replace `...`, run the cell, then the one with `check`. `hint("cure")` and
# `solution("cure")` help.

# %%
from course_utils.exercises import check, hint, solution

# %% [markdown]
# **Exercise 1: the discriminator's loss** (section 1), from logits, however sure they are.

# %%
def loss_of_d(real, fake):
    """What the discriminator minimises: -V, estimated from its logits.

    real: float (N,), D's logits of real images; fake: float (M,), of generated ones; D is the
    sigmoid of its logit. Logits may be as far from 0 as +-200: the loss and its gradient in them
    stay finite and exact. Returns a tensor without dimensions of the logits' dtype, in nats, which
    autograd can differentiate.
    """
    ...

# %%
check("loss-of-d", loss_of_d)

# %% [markdown]
# **Exercise 2: both losses of the generator** (section 4).

# %%
def loss_of_g(fake, saturating):
    """What the generator minimises, estimated from D's logits of generated images.

    fake: float (M,), as in loss_of_d; saturating: bool, True for G's part of V, the minimax game's
    own; False for the loss that the paper trains with, whose gradient is large where D wins.
    Returns a tensor without dimensions of the logits' dtype, in nats, which autograd can
    differentiate.
    """
    ...

# %%
check("loss-of-g", loss_of_g)

# %% [markdown]
# **Exercise 3: what the game is worth** (section 3), on a line cut into cells.

# %%
def best_value(p, q, width):
    """The largest value V that any discriminator can reach on a line cut into cells.

    p, q: float64 (cells,), the densities of data and of generated points in each cell, 0 or above;
    in some cells one is 0, or both are. width: float, of every cell, so that width * p.sum() is 1,
    as is width * q.sum(). Returns a float64 tensor without dimensions, in nats: between -log 4 and
    0.
    """
    ...

# %%
check("best-value", best_value)

# %% [markdown]
# **Exercise 4: how even?** (section 9) The entropy of the digits' shares.

# %%
def digit_entropy(digits):
    """How evenly a generator's images spread over the ten digits: the entropy of their shares.

    digits: int64 (N,), the class of each image, 0 to 9, such as a classifier gives it. Some digits
    may be missing. Returns a tensor without dimensions, in nats: log 10 for equal shares, 0 where
    all are the same digit.
    """
    ...

# %%
check("digit-entropy", digit_entropy)

# %% [markdown]
# **Exercise 5: find and cure a collapse** (section 10). Change what makes this generator end on
# one or two of eight blobs. A check trains the pair twice; give it half a minute.

# %%
def cure(options):
    """Options of train_gan under which a generator covers its data instead of collapsing.

    The data are points in the plane, in eight equal blobs on a circle; both networks are small.
    options: dict, those under which the generator ends on three blobs or fewer:
    {"generator_steps": 3, "discriminator_steps": 1, "learning_rate": (5e-3, 5e-4),
    "saturating": False, "average": 0.0}. Returns a dict, with any of these keys changed; steps are
    at most 5. Data, networks, epochs, batches and seeds stay as they are. Cured means: from each
    of two seeds at least five blobs get 2 % of the generated points or more.
    """
    ...

# %%
check("cure", cure)

# %% [markdown]
# ## Summary
#
# - $G$ makes points from noise, $D$ tells them from real ones, and both fight over
#   $V = \mathbb E \log D(x) + \mathbb E \log (1 - D(G(z)))$. The **best discriminator** is
#   $p / (p + q)$, and a network finds it from points alone, where there are points.
# - Against it the game is worth $2\,\mathrm{JS}(p, q) - \log 4$: lowest where $q = p$, and flat
#   where the two are far apart. There the game's own loss **saturates**, so $G$ minimises
#   $-\log D(G(z))$.
# - On MNIST a minute of training makes digits, of all ten kinds. The losses do not tell how good
#   they are. A generator that outruns its discriminator **collapses**; the cure is to let $D$ keep
#   up.
# - Nothing close to a copy was found, by a test that finds only exact copies.
# - **Parzen windows** rank a blur above real digits; the **Fréchet distance** in a classifier's
#   features does not, and is blind to what the classifier does not see. Trust no single number.
# - $G$ learns from $D$'s input gradient. $D$ falls to a step far smaller than those of Lecture 4,
#   and believes in pictures that nobody trained it on.
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
#    the table of section 11.
# 2. L. Theis, A. van den Oord, M. Bethge, *A note on the evaluation of generative models*, 2015,
#    [arXiv:1511.01844](https://arxiv.org/abs/1511.01844): why Parzen windows mislead.
# 3. M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler, S. Hochreiter, *GANs trained by a two
#    time-scale update rule converge to a local Nash equilibrium*, 2017,
#    [arXiv:1706.08500](https://arxiv.org/abs/1706.08500): the Fréchet distance, in the features of
#    a classifier of photographs.
# 4. I. Goodfellow, J. Shlens, C. Szegedy, *Explaining and harnessing adversarial examples*, 2014,
#    [arXiv:1412.6572](https://arxiv.org/abs/1412.6572): Lecture 4's step.
# 5. L. Nayak, *Advanced Machine Learning: Adversarial Examples*, the slides that this course
#    follows.
