# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lecture 2: Adversarial examples transfer
#
# In Lecture 1 you made pictures that fool one network. Now show them to *another* one, with other
# layers, or trained on other digits. If every network had blind spots of its own, the other would
# see through. Szegedy and others [1] tried it in 2013, and their two tables are the core of the
# slides. In this lecture you make both tables, whole, and compare cell by cell with the slides [4].
#
# **After this lecture you can**
#
# - measure *transfer*, with an interval that says how far to trust each number, over pictures and
#   over training seeds;
# - say what the two tables of 2013 show, and which of it comes out again today;
# - tell apart what is due to transfer and what to the *size* of a perturbation, or to a network
#   that errs anyway;
# - judge explanations of transfer by data.
#
# **You need** Lecture 1: the attack, and what *distortion* and *target* mean. The lecture runs in
# about a minute. As there, type what you expect into `guess_1` before you run the next cell.
# The terms are in the [glossary](glossary.md).
#
# The next cell does nothing unless you are on Colab.

# %%
# On Colab, install the course first; everywhere else this cell does nothing.
import sys
if "google.colab" in sys.modules:
    raise SystemExit("First, in a cell above: %pip install git+ADDRESS")

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

# %%
from scipy.stats import spearmanr

from course_utils import claims, figures, intervals, published, study
from course_utils.data import load_mnist
from course_utils.zoo import load_model, load_record

figures.use_style()

# %% [markdown]
# ## 1. Six networks
#
# All six were trained on the same 60,000 digits. **FC10($\lambda$)** has no hidden layer: a softmax
# with weight decay $\lambda$. **FC100-100-10** and **FC200-200-10** have two hidden layers of
# sigmoids. **AE400-10** has one layer of 400 sigmoids that were never told a label: they were
# trained as a *sparse autoencoder*, to reconstruct the digit while few of them are active, and
# then frozen; only the softmax on top has learnt to classify.
#
# What does $\lambda$ multiply? The paper (section 4.2) adds $\lambda \sum w_i^2 / k$ to the loss,
# with $k$ the number of units in the layer. (This formula, and that of section 8, are quoted at
# second hand, from people who reproduced the paper: compare them with its own page.) Ours adds
# $\frac{\lambda}{2} \sum w^2$, the textbooks' form. For FC10 $k = 10$, so the printed formula decays
# five times *less*. Try all readings on the network that feels it most, FC10(1), with 20,000 digits.
#
# > **Before you run:** the paper's FC10(1) errs on 20 % of the test digits. Which reading comes
# > nearest: $\frac12$, $\frac1{10}$, or 1 times $\sum w^2$?

# %%
guess_1 = "?"  # 1/2, 1/10 or 1

# %%
from course_utils.models import fully_connected
from course_utils.training import error_rate, fit_linear

images, labels = load_mnist("train")
all_tests, all_test_labels = load_mnist("test")
for factor in (1 / 10, 1 / 2, 1):
    trial = fully_connected(10)
    fit_linear(trial, images[:20_000], labels[:20_000], weight_decay=2 * factor)
    wrong = error_rate(trial, all_tests, all_test_labels)
    print(f"{factor:.1f} times the sum of squares: test error {wrong:.1f} %")
print("paper: 20.0 %; you said", guess_1)

# %% [markdown]
# The formula as printed gives a network that is too good, by five points. None of the three fits
# exactly; $\frac12$ comes nearest, so it is ours, chosen by these errors and not by any table below.
#
# AE400-10 was tuned more: the paper gives the decay of its softmax alone. How sparse it is, how
# much that counts, its autoencoder's decay, rate and epochs were chosen until its training error
# *and its test error* came near the paper's. So that these errors agree is our doing and no
# evidence, and no verdict of this lecture is about them (Lecture 1's on the six test errors is,
# and says so). But the autoencoder's row and column, ten of the thirty cells below, are those of
# a network so chosen.
#
# > **Before you run:** whose errors will be hardest to reproduce, ten years later and without the
# > authors' code: those of the linear networks, or of the deep ones?

# %%
guess_2 = "?"  # linear or deep

# %%
paper = published.cross_model_table()
names = list(published.szegedy_models().index)
models = {name: load_model(name) for name in names}
ours = pd.DataFrame({name: load_record(name) for name in names}).T
table = published.szegedy_models().iloc[:, :2].add_prefix("paper: ")
for kind in ("train", "test"):
    table[f"{kind} error"] = ours[f"{kind}_error"].astype(float)
print("you said", guess_2)
table.round(2)

# %% [markdown]
# In percent. In points the largest gap is at FC10(1), the network with so much weight decay that it
# misreads nearly every fourth training digit; in proportion, on the test digits, at FC100-100-10,
# 1.88 for 1.64. Keep in mind that the linear networks err on many digits
# *before* anybody attacks: that will return.

# %% [markdown]
# ## 2. One picture, six networks
#
# We attack the first 1,000 training digits for each of the six networks; `n` may be anything up to
# 60,000. Each gets a wrong class at random as its target, the same one for all networks; section 6
# is about that choice.

# %%
from course_utils.attacks import lbfgs_attack
from course_utils.transfer import distortion, draw_targets

n = 1000
originals, digits = images[:n], labels[:n]
drawn = torch.Generator().manual_seed(1)
targets = draw_targets(digits, how="random", generator=drawn)
adversarial = {
    name: lbfgs_attack(model, originals, targets, progress=True).images
    for name, model in models.items()
}

# %% [markdown]
# Here is one of them, made for FC10(1e-2).
#
# > **Before you run:** the other five have never met this picture. How many of them will it fool?
# > And if one is fooled: into the same class, the target?

# %%
guess_3 = "?"  # how many of the other five, how many of those into the target

# %% mystnb={"image": {"alt": "A picture of a handwritten digit with a little grey haze, and beside it six panels of ten horizontal bars, one for each network: the probability of each class. The network that the picture was made for is split between the true class and the target; the title of each panel says what that network answers."}}
def answers_to(image):
    with torch.no_grad():
        return {n: models[n](image[None])[0].softmax(0) for n in names}

index = 7
image = adversarial["FC10(1e-2)"][index]
label, target = digits[index].item(), targets[index].item()
figures.probabilities_by_network(
    image, answers_to(image), label=label, target=target)
plt.show()
print("you said", guess_3)

# %% [markdown]
# **Figure 1.** A digit altered so that FC10(1e-2) takes it for the target, and what all six make of
# it. Black is each network's answer. Since the attack stops right on the border, the network that
# it was made for is hardly surer of the target than of the next class. Of the other five three now
# give a wrong answer, two of them the target; the remaining two see through.
#
# One picture is an anecdote. Count.
#
# ## 3. The first table
#
# Each row is a set of pictures: made for one network, or with Gaussian noise for comparison. Each
# column is a network that they are shown to. A cell is the **error**: the percentage that is not
# given its true class.
#
# > **Before you run:** the diagonal is easy. Which row will have the largest numbers beside it, and
# > which the smallest? Which column?

# %%
guess_4 = "?"  # largest row, smallest row, largest column

# %%
from course_utils.transfer import boxed_noise, gaussian_noise, transfer_table

generator = torch.Generator().manual_seed(2)
sets = dict(adversarial)
for stddev in (0.1, 0.3):
    noise = gaussian_noise(originals, stddev, generator)
    sets[published.NOISE.format(stddev)] = noise
measured = transfer_table(models, sets, digits)

# %% [markdown]
# A thousand pictures are a sample, so each number comes with an interval: with **Wilson's**
# formula [3], 95 of 100 such intervals contain the error on *all* pictures of the kind. Unlike the
# usual *plus or minus*, it never leaves 0 to 100 %. *In numbers:* 10 of 100 pictures fooled is 10 %,
# and the interval is 5.5 to 17.4 %: longer upwards, since 0 is near.
#
# **Exercise 1: one cell by hand**, with its interval. (`hint("table-cell")` and
# `solution("table-cell")` help.)

# %%
from course_utils.exercises import check, hint, solution

# %%
def table_cell(logits, labels):
    """One cell of the table: the error rate and its 95 % Wilson interval, in %.

    logits: float (N, K), what a network says to one set of images; labels:
    int64 (N,), the true classes. Returns float64 (3,): rate, low, high. With p
    the share misclassified and z = 1.96, the ends are
    (p + z^2 / 2N -+ z sqrt(p (1 - p) / N + z^2 / 4N^2)) / (1 + z^2 / N).
    """
    ...

# %%
check("table-cell", table_cell)

# %% [markdown]
# Distortion is averaged over the digits that the network classified correctly, as in Lecture 1.

# %% tags=["drift:0.5"]
def with_intervals(table):
    errors, low, high = (part.map("{:.1f}".format) for part in table)
    return errors + " (" + low + " to " + high + ")"

clean = transfer_table(models, {"clean": originals}, digits).errors.loc["clean"]
right = {n: models[n](originals).argmax(1) == digits for n in names}
found = {n: distortion(adversarial[n] - originals)[right[n]] for n in names}
sizes = pd.Series({n: found[n].mean().item() for n in names})
shown = with_intervals(measured)
shown["av. distortion"] = [*sizes.round(3), 0.1, 0.3]
print("you said", guess_4)
shown

# %% [markdown]
# *Ours: error in percent with its 95 % interval.* These intervals know about *pictures* only: they
# say what other digits would give, shown to these same six networks. (Was it as you thought? In the
# mean the row of FC10(1) has the largest numbers, that of FC10(1e-4) the smallest; and the column
# of FC10(1e-4) is the one most easily fooled.) And the paper's:

# %%
paper

# %% [markdown]
# ### How many pictures did the paper use?
#
# It does not say. But its numbers do: a percentage of $n$ pictures is a multiple of $100 / n$. The
# smallest cells of its other table, which section 8 comes to, are 5.1, 5.9, 6.25 and 8.2.
#
# > **Before you run:** 6.25 % is one sixteenth. Which $n$ do you suspect?

# %%
guess_5 = "?"  # how many pictures

# %%
from course_utils.transfer import cells

printed = cells(paper[names])
second = cells(published.cross_training_table().iloc[:3, :3])

def explained(n, cells):
    """How many cells are a whole number of n pictures, to the printed digit."""
    nearest = (cells * n / 100).round() * 100 / n
    return (nearest.sub(cells).abs() < 0.05 + 1e-9).sum()

# %%
counts = {n: [explained(n, table) for table in (printed, second)]
          for n in range(50, 1000)}
titles = [f"of {len(printed)} in the first", f"of {len(second)} in the second"]
table = pd.DataFrame(counts, titles).T.rename_axis("n")
print("you said", guess_5)
table[table.iloc[:, 1] == 6].head(3)

# %% [markdown]
# The smallest number that explains the second table is **256**, and it explains 25 of the 30 cells
# of the first. (By chance a number of that size hits a cell in about one case of four: a step of
# $100 / 256 = 0.39$ against printed steps of 0.1. Large $n$ explain everything and say nothing.) So
# each of the paper's cells is most likely a sample of 256 pictures, and has a Wilson interval of
# its own. Of the five exceptions 47 and 14 may be rounded to whole percents; 48.1, 38.2 and 24.8 we
# cannot explain.
#
# ### Ten seeds
#
# The six networks are a sample, too: trained again from another random start, on the same digits,
# they are others. So `make study` has trained all six **ten times**, and made the table with each,
# on a thousand digits of its own. Below: their mean, and the interval in which *one more* seed would
# fall in 95 of 100 cases, since the paper's table is one training as well. (The linear networks have
# one solution whatever the seed; their cells move with the digits alone.)

# %%
results = study.read("tables").replace("FC100-100-10(P1)", "FC100-100-10")
keys = ["table", "measure", "row", "column", "seed"]
results = results.set_index(keys)["value"].sort_index()

def by_seed(measure, like, table="models"):
    """A row for each cell of `like`, (made for, shown to), a column a seed."""
    return results[table, measure].unstack("seed").reindex(like.index)

# %% [markdown]
# Each cell's mean, then, and where one more seed would fall:

# %%
def summarised(by_seed):
    return by_seed.apply(
        lambda row: pd.Series(vars(intervals.next_seed(row))), axis=1)

ten = summarised(by_seed("error", printed))

# %% mystnb={"image": {"alt": "Six panels, one for each network that pictures were made for. In each, five lines, one for each other network, with a black dot and its interval for our error over ten seeds, a hollow diamond with a grey interval for the paper's, and the signed difference printed at the right. Most intervals overlap; the largest differences are in the lines of AE400-10, and for FC100-100-10 shown what was made for FC200-200-10."}}
def as_table(cells):
    return cells.unstack().reindex(index=names, columns=names)

def of_256(printed):
    return printed.apply(
        lambda p: pd.Series(vars(intervals.proportion(round(2.56 * p), 256))))

theirs = of_256(printed)
figures.beside_paper(*map(as_table, (
    ten.value, ten.low, ten.high, printed, theirs.low, theirs.high)))
plt.show()

# %% [markdown]
# **Figure 2.** The adversarial cells one by one: ours, the mean of ten seeds and where one more seed
# would fall (dot), the paper's with Wilson's interval for 256 pictures (hollow diamond, grey), and at
# the right ours less the paper's in percentage points, bold where the two do not agree: where the
# 95 % interval of their difference leaves out zero.
#
# > **Before you run:** if the paper's networks were ours, how many of the 30 cells would agree? And
# > how many do?
#
# For the first, let one of our own seeds stand for the paper: 256 of its thousand pictures, drawn by
# lot, against the other nine seeds.

# %%
guess_6 = "?"  # of 30, if they were the same; of 30, found

# %%
errors, lots = by_seed("error", printed), np.random.default_rng(0)

def lot_of_256(errors, seed):
    wrong = (10 * errors[seed]).round().astype(int)  # of 1,000
    return lots.hypergeometric(wrong, 1000 - wrong, 256)

def agreeing(errors, seed):
    """Cells that agree when 256 pictures of this seed stand for the paper."""
    rest = errors.drop(columns=seed).to_numpy()
    return sum(intervals.agree(intervals.next_seed(row),
                               intervals.proportion(k, 256))
               for row, k in zip(rest, lot_of_256(errors, seed)))

# %%
same = [agreeing(errors, seed) for seed in errors]
print("you said", guess_6)
print("with each of ten seeds for the paper:", *same)

# %% [markdown]
# The verdict on a table is about its **order**: correlate the ranks of all 30 adversarial cells, ours
# and the paper's. (The diagonal and the rows of noise would agree in any case.) Is that more than
# chance gives? Shuffle one of the tables ten thousand times, and see how often it does as well.

# %% tags=["claim", "claim:cross-model-table"]
claims.check_table(
    "cross-model-table", ten["value"], printed, low=ten["low"],
    high=ten["high"], n=256, detail="ten seeds against one training of 2013; "
    f"were the networks the same, about {np.mean(same):.0f} would agree")

# %% [markdown]
# So the *order* is reproduced, the numbers only in part: nine cells differ by more than pictures and
# seeds explain, where one would.
#
# Thirty cells of six networks are no thirty independent draws, and a stricter shuffle respects that:
# exchange the *names* of the networks in one of the tables, rows and columns alike. There are $6! =
# 720$ ways.

# %%
from itertools import permutations

def renamed(values, order):
    table = as_table(values).loc[[*order], [*order]]
    return cells(table.set_axis(names).set_axis(names, axis=1))

ranks = [spearmanr(renamed(ten["value"], order), printed).statistic
         for order in tqdm([*permutations(names)])]
as_good = np.sum(np.array(ranks) >= ranks[0] - 1e-9)
print(f"as good as the true names: {as_good} of 720")

# %% [markdown]
# The diagonal has a verdict of its own. A network that errs on every fourth digit anyway scores
# without our help, so from each cell we take off what noise of the same size does.

# %% tags=["claim", "claim:own-row"]
def diagonal(measure):
    return pd.DataFrame({n: results["models", measure, n, n] for n in names})

excess = diagonal("error") - diagonal("error, noise of its size")
size = {n: distortion(adversarial[n] - originals) for n in names}
noisy = {n: boxed_noise(originals, size[n], generator) for n in names}
again = {n: boxed_noise(originals, size[n], generator) for n in names}
one, two = (transfer_table(models, s, digits).errors for s in (noisy, again))
claims.check("own-row", intervals.over_seeds(excess.min(axis=1)),
             null=(two - one).to_numpy().diagonal().min(), detail="ten seeds")

# %% [markdown]
# What agrees: the order of the cells, the weak row of FC10(1e-4), the strong ones of FC10(1e-2)
# and FC10(1), and that the two deep networks' pictures fool the *linear* FC10(1e-4) far more than
# the other way round. What does not are nine cells. Four are in the column of AE400-10, which is
# fooled more often here, above all by the two linear rows (+24 and +12); the largest others are
# FC200-200-10 shown to FC100-100-10 (+15) and FC10(1) shown to FC10(1e-2) (-13). The paper says
# little about how its autoencoder was trained, so ours is another network, with similar errors
# because we made them so.
#
# ## 4. More than noise?
#
# Do pictures made for one network fool others *because* of how they were made, or is it their size?
# The slides set noise beside them. To be fair, it must obey the box, as the attack does, and have for
# each picture exactly the length of its perturbation.
#
# > **Before you run:** in the column of FC10(1) our pictures score 27 to 100 %, the paper's 21 to
# > 100 %. What will noise as small as 0.05 do to it?

# %%
guess_7 = "?"  # in percent

# %% tags=["drift:0.5"]
print("you said", guess_7)
pd.concat([clean.to_frame("no change").T, one]).round(1)

# %% tags=["claim", "claim:transfer-above-noise"]
above = by_seed("error", printed) - by_seed("error, noise of its size", printed)
each = above.apply(intervals.over_seeds, axis=1)
null = cells(two.loc[names] - one.loc[names]).mean()
linear = [made.startswith("FC10(") and shown.startswith("FC10(")
          for made, shown in above.index]
retrained = intervals.over_seeds(above[~np.array(linear)].mean())
claims.check("transfer-above-noise", intervals.over_seeds(above.mean()),
             null=null, detail="mean of 30 cells, ten seeds; each alone: "
             f"{sum(i.low > 0 for i in each)}; without the {sum(linear)} "
             f"between linear networks: {retrained}")

# %% [markdown]
# The interval is narrow since a mean of thirty cells hides how they differ, and since it speaks of
# new trainings of these six networks, not of other kinds. (The linear three are the same in all ten
# seeds, so the six cells between them move with the digits alone; that is why the mean without
# them stands beside it.)
#
# It holds cell by cell, but read the first row of the table above the verdict: FC10(1) errs on
# nearly a quarter of these digits with nothing done to them. Many a cell in its column, in ours and
# in the paper's table alike, is little more than that. Transfer is what is *added*: so from here on
# we also look at the **transfer rate**, the percentage fooled among those pictures whose original
# the network had right.

# %% tags=["drift:0.5"]
def transfer_rates(sets):
    """Of the digits that each network had right, the percentage now wrong."""
    def rate(name, moved):
        wrong = models[name](moved).argmax(1) != digits
        return 100 * wrong[right[name]].double().mean().item()
    return pd.DataFrame({n: {row: rate(n, moved) for row, moved in sets.items()}
                         for n in names})

rates = transfer_rates(adversarial)
rates.round(1)

# %% [markdown]
# ### Rivals that have an aim
#
# Noise is a weak rival: it goes nowhere in particular. Here are two that go towards the target's
# class, and for each picture exactly as far as the attack did (then clipped, which makes them a
# little shorter). One takes **another picture's** perturbation, made for the same network, of the
# same digit and with the same target. The other asks no network at all: it goes from the **mean
# digit** of the picture's class to that of the target.
#
# > **Before you run:** on the five other networks, will the mean digits fool about as few as noise,
# > as many as the attack, or what in between? And on the network that the pictures were made for?

# %%
guess_8 = "?"  # on the others, on their own

# %%
means = torch.stack([images[labels == k].mean(dim=0) for k in range(10)])
between, kind = means[targets] - means[digits], 10 * digits + targets
borrowed = torch.arange(n)
for one_kind in kind.unique():
    alike = (kind == one_kind).nonzero()[:, 0]
    borrowed[alike] = alike.roll(1)  # of the next picture of that kind

# %%
def towards(start, way, size):
    """Pictures, moved this way by each one's distortion, and clipped."""
    factor = (size / distortion(way).clamp(min=1e-9)).view(-1, 1, 1, 1)
    return (start + factor * way).clamp(0, 1)

# %%
changes = {name: x - originals for name, x in adversarial.items()}
rivals = {
    "attack": adversarial,
    "another's": {name: towards(originals, r[borrowed], distortion(r))
                  for name, r in changes.items()},
    "mean digits": {name: towards(originals, between, distortion(r))
                    for name, r in changes.items()},
    "noise": noisy}

# %% tags=["drift:0.5"]
shares = {rival: transfer_rates(sets) for rival, sets in rivals.items()}
beside = pd.DataFrame({rival: cells(t).groupby("made for").mean()
                       for rival, t in shares.items()}).reindex(names)
beside.loc["mean of these six"] = beside.mean()
beside.loc["on their own network"] = [np.diag(t).mean()
                                      for t in shares.values()]
print("you said", guess_8)
beside.round(1)

# %% tags=["drift:0.5"]
lead = (shares["attack"] - shares["mean digits"]).loc[names, names]
ahead = cells(lead) > 0
print("ahead on others in", ahead.sum(), "cells of", len(ahead))
lead.round(1)

# %% [markdown]
# *Percent fooled: means of the five other networks, and (last row) the network itself; then, cell
# by cell, the attack less the mean digits, in points (rows: made for, columns: shown to; on the
# diagonal the network itself).* On the network that they were made for the attack's pictures have
# no rival. On *others* they have: a direction that no network made fools 20.0 %, the attack 22.8,
# noise 1.7; the attack is ahead in 14 of the 30 cells. Another picture's perturbation does four
# fifths as well. So a way that no network made, from one class to another, which all six have had to
# learn, would fool nearly as many. What the network adds to it shows
# in some cells, mostly where the linear FC10(1e-4) is fooled, and on FC100-100-10 and FC200-200-10.
#
# That is one training and one thousand digits. Over the ten seeds, each with digits of its own:

# %%
by_name = {"attack": "", "mean digits": ", mean digits",
           "noise": ", noise of its size"}
for name, way in by_name.items():
    mean = by_seed("rate" + way, printed).mean()
    print(f"{name}: {intervals.over_seeds(mean)} %")

# %%
more = by_seed("rate", printed) - by_seed("rate, mean digits", printed)
each = more.apply(intervals.over_seeds, axis=1)
print(f"the attack's lead: {intervals.over_seeds(more.mean())} points; ahead "
      f"in {sum(i.low > 0 for i in each)} cells of {len(each)}, "
      f"behind in {sum(i.high < 0 for i in each)}")

# %% [markdown]
# So it stays: among *these six* networks the attack leads by 2.2 points of 24.1, and in 16 of the 30
# cells the mean digits are ahead. (*Exploratory*. The slides' statement is about noise, and stands.)

# %% [markdown]
# ## 5. Do linear models transfer best?
#
# On the slides the row of FC10(1) is called the strongest: 34.4 to 76.2 %. Compare it with each
# other row on the columns that *both* have, those of the other four networks. (The mean of a whole
# row is unfair: each row leaves out another column, its own, and the columns differ a lot.)
#
# > **Before you run:** which other row comes nearest? And is a linear model better at fooling others
# > *because it is linear*? What else is different about its row?

# %%
guess_9 = "?"  # which row

# %%
def lead(table, name="FC10(1)"):
    """The row's mean less each other row's, in the other networks' columns."""
    def shared(other):
        columns = [n for n in names if n not in (name, other)]
        return (table.loc[name, columns] - table.loc[other, columns]).mean()
    return pd.Series({other: shared(other) for other in names if other != name})

by_lot = by_seed("error", printed)
leads = pd.DataFrame({seed: lead(as_table(by_lot[seed])) for seed in by_lot})
print("you said", guess_9)
pd.DataFrame({"ours": leads.apply(intervals.over_seeds, axis=1).astype(str),
              "paper": lead(as_table(printed)).round(1)})

# %% tags=["claim", "claim:linear-transfer-best"]
lot = [lead(as_table(by_lot[seed]), n).min() for seed in by_lot for n in names]
claims.check("linear-transfer-best", intervals.over_seeds(leads.min()),
             null=np.mean(lot), detail="ten seeds")

# %% [markdown]
# In the paper FC10(1)'s row leads by ten points; here FC10(1e-2) is level with it, and the interval
# leaves open which of the two is ahead. It is not linearity, either: the third linear network,
# FC10(1e-4), transfers *worst* of all six, in the paper's table as well. And the two that transfer
# best are those whose pictures were changed most. So give all rows the same size: scale each
# perturbation to a distortion of exactly 0.1.
#
# > **Before you run:** which row will be the strongest now?

# %%
guess_10 = "?"  # which row

# %%
from course_utils.transfer import amplify

amplified = {name: amplify(originals, moved - originals, 0.1)
             for name, moved in adversarial.items()}

# %%
def leads_of(name, measure):
    rows = by_seed(measure, printed)
    each = pd.DataFrame({s: lead(as_table(rows[s]), name) for s in rows})
    return each.apply(intervals.over_seeds, axis=1).astype(str)

print("you said", guess_10)
columns = {f"{name}, {title}": leads_of(name, measure)
           for name in ("FC10(1e-2)", "FC10(1)") for title, measure in (
               ("as found", "rate"), ("all at .1", "rate, all at .1"))}
pd.DataFrame(columns).reindex(names).fillna("-")

# %% [markdown]
# *The two strong rows' mean transfer rate less each other row's, on the columns that both have, in
# points, with intervals over ten seeds.* At the same size the lead of the linear networks is gone:
# FC200-200-10 is a little ahead of FC10(1e-2), FC100-100-10 is level with it, and FC10(1) is eight
# and ten points behind these two. The large numbers in the linear rows, ours and the paper's, are
# for the larger part a matter of size: a network that needs a big push to be fooled yields pictures
# with a big push in them.
#
# ### Error against amplification
#
# One row in full: the perturbations of FC100-100-10, from nothing to 0.25, and beside it noise of
# the same size: once unclipped, like these perturbations and the paper's noise, and once within the
# box, as in section 4. (At 0.256 one would be as far away as a real picture of another class,
# Lecture 1.)
#
# > **Before you run:** is there a curve that stays down, with the attack, the noise, the noise in the
# > box?

# %%
guess_11 = "?"  # yes or no: the attack, the noise, the noise in the box

# %%
def row_at(stddev, source="FC100-100-10"):
    moved = amplify(originals, adversarial[source] - originals, stddev)
    noise = gaussian_noise(originals, stddev, torch.Generator().manual_seed(3))
    boxed = boxed_noise(originals, torch.full((n,), stddev),
                        torch.Generator().manual_seed(3))
    sets = {"attack": moved, "noise": noise, "noise in the box": boxed}
    return transfer_table(models, sets, digits).errors

# %%
scales = [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25]
row_by_size = {x: row_at(x) for x in scales}
panels = {f"{kind}: error (%)": pd.DataFrame(
    {x: row_by_size[x].loc[kind] for x in scales}).T
    for kind in row_by_size[0].index}

# %% mystnb={"image": {"alt": "Three panels of six curves of error against distortion, each with its own line style and marker. Left, the attack: the curve of FC100-100-10 jumps to nearly 100 percent shortly beyond the attack's mean; the curves of FC10(1e-4) and FC200-200-10 follow, those of the other three rise more slowly. Middle, noise: all curves stay near where they start; FC10(1) near a quarter, FC10(1e-4) rises a little. Right, noise in the box: at the line about as in the middle, then five of the six rise, to between a sixth and more than a half at 0.25."}}
figures.curves(panels, xlabel="distortion", mark=sizes["FC100-100-10"],
               marked="the attack")
plt.show()
print("you said", guess_11)

# %% [markdown]
# **Figure 3.** Left: the perturbations made for FC100-100-10, each scaled to the distortion
# beneath. Its own curve is not a step at the vertical line since some digits need less than the
# mean, and others more. All others rise, too: the direction is bad for all networks, and the *shortest* step in it
# that fools one is hardly long enough for another. Middle: unclipped noise of the same size: all
# curves stay down, that of FC10(1e-4) the least. Right: noise that has that size *after* clipping to
# the box. At the attack's size it does as little; at 0.25 only the curve of FC10(1), high from the
# start, has not risen:

# %% tags=["drift:0.5"]
row_by_size[0.25].round(1)

# %% [markdown]
# *Error in percent at a distortion of 0.25.* What the box does to noise is the subject of section
# 7.
#
# ## 6. How were the targets chosen?
#
# The paper does not say. Three ways, each a plausible reading:
#
# - **random**: any of the nine wrong classes;
# - **runner-up**: the class that the network finds likeliest after the true one;
# - **easiest**: attack towards all nine, keep the shortest. This is the *least* distortion that
#   makes the network err, which is how the paper describes the column "av. distortion".
#
# The last costs nine attacks a picture, so 100 pictures have to do, for all three.
#
# > **Before you run:** by how much will the distortion shrink from *random* to *easiest*?

# %%
guess_12 = "?"  # in percent

# %%
from course_utils.transfer import easiest_targets

def made(model, how, n=100):
    x, y = originals[:n], digits[:n]
    if how == "easiest":
        return easiest_targets(lbfgs_attack, model, x, y)[1].images
    aims = draw_targets(y, how=how, generator=generator, model=model, images=x)
    return lbfgs_attack(model, x, aims).images

ways = {how: {name: made(model, how)
              for name, model in tqdm(models.items(), how)}
        for how in ("random", "runner-up", "easiest")}

# %%
def mean_size(name, how):
    size = distortion(ways[how][name] - originals[:100])
    return size[right[name][:100]].mean().item()

by_target = paper.loc[names, ["av. distortion"]].set_axis(["paper"], axis=1)
for how in ways:
    by_target[how] = [mean_size(name, how) for name in names]
shorter = 100 * (1 - by_target["easiest"] / by_target["random"])
print(f"from random to easiest: {shorter.min():.1f} to {shorter.max():.1f} % "
      f"shorter (you said {guess_12})")
by_target.round(3)

# %% tags=["drift:0.5"]
def summary(how):
    errors = transfer_table(models, ways[how], digits[:100]).errors
    over = by_target[how] / by_target["paper"]
    return {
        "mean transfer (%)": cells(errors).mean(),
        "rank correlation": spearmanr(cells(errors), printed).statistic,
        "distortion over the paper's": over.mean(),
    }

pd.DataFrame({how: summary(how) for how in ways}).T.round(2)

# %% [markdown]
# The distortion depends on it a lot: *runner-up* and *easiest* nearly agree with each other, and
# stay far below the paper's. *Random* comes nearest to the paper's distortions, which is why it is
# our default; it is not a proof that they did the same. The order of the cells hardly depends on
# the choice, their height does: smaller perturbations transfer less.
#
# But even the random targets are below the paper's distortion for most networks. Perhaps its attack
# stopped at longer perturbations than necessary. Ours is within a percent of the optimum where the
# optimum is known (Lecture 1, section 10).
#
# ## 7. Clipped or not?
#
# Noise and amplified pictures leave the range from 0 to 1. Did the paper cut them off there? It
# prints the stddev of the noise as its distortion, 0.1 and 0.3. Clipping would have made it
# smaller, since most of a digit's pixels are black and half of the noise would vanish there.
#
# > **Before you run:** and the error? Less noise is left after clipping. Will fewer digits be
# > misread?

# %%
guess_13 = "?"  # fewer or more

# %% tags=["drift:0.5"]
name, clipped = published.NOISE.format(0.3), {}
print("you said", guess_13)
for clip in (False, True):
    seed = torch.Generator().manual_seed(4)
    noise = gaussian_noise(originals, 0.3, seed, clip=clip)
    clipped[f"{name}, clipped: {clip}"] = noise
left = {row: distortion(x - originals).mean().item()
        for row, x in clipped.items()}
table = transfer_table(models, clipped, digits).errors
table.loc["paper"] = paper.loc[name]
table.assign(**{"av. distortion": {**left, "paper": 0.3}}).round(2)

# %% [markdown]
# Surprise: clipping removes over a quarter of the noise and *raises* the error of most networks,
# by a lot. What it leaves is not centred: in black regions only the bright half survives, a grey
# **veil** over the picture, and a veil should add up along a network's weights where noise cancels.
# Is that the cause? Take the veil, the mean of fifty such noises, by itself, and the clipped noise
# without it.

# %% tags=["drift:0.5"]
veil = sum(gaussian_noise(originals, 0.3, seed, clip=True)
           for _ in range(50)) / 50 - originals
apart = {"the veil alone": originals + veil, "without the veil": noise - veil}
transfer_table(models, apart, digits).errors.round(1)

# %% [markdown]
# It is: the veil alone does nearly all, and without it clipped noise does less than unclipped. The
# paper's numbers look like the unclipped row, in errors as in distortion, so we don't clip either.
# The attack's own pictures always stay in the box.
#
# ## 8. The second table: other training sets
#
# Perhaps networks agree in their mistakes because they have seen the same digits? So the paper
# split the training set into two halves of 30,000, P1 and P2. FC100-100-10 and FC123-456-10 learnt
# from P1 only, FC100-100-10' from P2 only.
#
# Which pictures were attacked? In the paper the networks err on 2.2 to 2.6 % under noise of 0.06,
# nearly their test errors; on digits that they were trained on they would err on none. So it was
# the **test set**, it seems, and we take 1,000 of that.
#
# > **Before you run:** will the numbers between P1 and P2 be as high as those within P1? As low as
# > the noise?

# %%
guess_14 = "?"  # between P1 and P2, within P1, in percent

# %%
test_images, test_labels = all_tests[:n], all_test_labels[:n]
halves = {"FC100-100-10": "FC100-100-10(P1)", "FC123-456-10": "FC123-456-10",
          "FC100-100-10'": "FC100-100-10'"}
pair = {name: load_model(stored) for name, stored in halves.items()}
drawn = torch.Generator().manual_seed(1)
aims = draw_targets(test_labels, how="random", generator=drawn)
crossed = {name: lbfgs_attack(model, test_images, aims, progress=True).images
           for name, model in pair.items()}

# %%
def second_table(sets, stddev):
    seed = torch.Generator().manual_seed(5)
    noisy = gaussian_noise(test_images, stddev, seed)
    sets = sets | {published.NOISE.format(stddev): noisy}
    return transfer_table(pair, sets, test_labels)

# %% [markdown]
# The average distortion is, as in the first table, that of the digits that each network had right:

# %% tags=["drift:0.5"]
lengths = []
for name, x in crossed.items():
    correct = pair[name](test_images).argmax(1) == test_labels
    lengths.append(distortion(x - test_images)[correct].mean().item())
split = second_table(crossed, 0.06)
shown = with_intervals(split)
shown["av. distortion"] = [*np.round(lengths, 3), 0.06]
shown

# %%
split_paper = published.cross_training_table()
split_paper

# %%
second_ten = by_seed("error", second, table="halves")
beside = summarised(second_ten).round(1)
beside["paper"] = second
print("you said", guess_14)
beside

# %% [markdown]
# *The six adversarial cells over ten seeds: mean, and where one more seed would fall.* So between P1
# and P2 it is a third of what it is within P1, and about three times what noise does. The verdict is
# about the order again, now of six cells; there are $6! = 720$ orders, and all are tried.
#
# Can six cells show an order at all? Let our own seeds stand for the paper again.
#
# > **Before you run:** in how many of 100 such draws will the order be *reproduced* ($p$ below .05)?

# %%
guess_21 = "?"  # of 100

# %%
def order_of(seed):
    """The order of the cells when 256 of this seed's pictures are the paper."""
    rest = second_ten.drop(columns=seed).mean(axis=1).to_numpy()
    return intervals.rank_correlation(rest, lot_of_256(second_ten, seed))

# %%
six = np.mean([agreeing(second_ten, seed) for seed in second_ten])
draws = pd.DataFrame([order_of(seed) for seed in second_ten
                      for _ in range(100)])
shown = (draws["p"] < 0.05) & (draws["correlation"] > 0)
power = 100 * shown.mean()
each = shown.groupby(draws.index // 100).sum()
print(f"of 100 draws {power:.0f} (you said {guess_21}); by seed",
      *each.sort_values())
print(f"the correlation: median {draws['correlation'].median():.2f}, lowest "
      f"of {len(draws)} {draws['correlation'].min():.2f}")

# %% tags=["claim", "claim:cross-training-table"]
over = summarised(second_ten)
claims.check_table(
    "cross-training-table", over["value"], second, low=over["low"],
    high=over["high"], n=256, detail="ten seeds; were the networks the same, "
    f"about {six:.0f} would agree, and {power:.0f} of 100 draws reproduce "
    f"the order; the lowest of {len(draws)} has a correlation of "
    f"{draws['correlation'].min():.2f}")

# %% [markdown]
# The order does *not* come out. (With the noise row and the diagonal in it, the correlation would
# look respectable; they agree in any case.) That is no proof of a reversed order, hence
# *undecided*. But it is no want of cells, either: networks like ours would have shown the order in
# seven of ten draws (the first line ends with the counts by the seed that stands for the paper: for
# two of the ten it is less than half), and in none of a thousand was it so low. So something differs
# from ours, in the paper's networks or in how they were attacked.
#
# In which cells? One catches the eye: what is made for FC123-456-10 fools FC100-100-10 in 6.25 % of
# the cases in the paper, and in more than a quarter here.

# %%
first, other, third = pair
across = [(first, third), (other, third), (third, first), (third, other)]
odd, mean = (other, first), over["value"]
for words, (x, y) in {
        "without that cell": (mean.drop([odd]), second.drop([odd])),
        "with ours there": (mean, second.where(second.index != odd, mean)),
        "between the halves": (mean[across], second[across])}.items():
    found = intervals.rank_correlation(x, y)
    print(f"{words}: {found['correlation']:.2f}, p = {found['p']:.2f}")
print(f"the paper's 6.25 %: {intervals.proportion(16, 256)} %")
pd.DataFrame({"ours": mean[across], "paper": second[across]}).round(1)

# %% [markdown]
# That cell alone does not explain it: with ours in its place the order is as open as before. The four
# between the halves run the other way round in the paper. But four cells have 24 orders only, and of
# six no more can be replaced: what is ours on both sides agrees by construction.
#
# And the 6.25? Two numbers that changed places in the paper (6.25 and 26.2), or an unlucky seed?
# Not luck: 6.25 lies far below where one more seed of ours would fall, and Wilson's interval for 16
# of 256 ends at 10 %. A swap would break the other, whose 6.25 would lie below all our seeds
# as well. Of the other five cells four agree, and the fifth, 5.1 against our 10.2, is in the same
# row: so what was made for FC123-456-10 may have been made for another network than ours, perhaps
# one trained with another decay.
#
# Now the statement of the slides: transfer from P1 to P2 and back, over noise of the same size.

# %% tags=["claim", "claim:cross-training-above-noise"]
excess = second_ten - by_seed("error, noise of its size", second, "halves")
like = [{row: boxed_noise(test_images, distortion(x - test_images), generator)
         for row, x in crossed.items()} for _ in range(2)]
once, twice = (transfer_table(pair, sets, test_labels).errors for sets in like)
claims.check("cross-training-above-noise",
             intervals.over_seeds(excess.loc[across].min()),
             null=cells(twice - once)[across].min(), detail="ten seeds")

# %% [markdown]
# More than noise does, then. And more than the mean digits of section 4, which ask no network?
#
# > **Before you run:** between the halves, and within P1?

# %%
guess_15 = "?"  # more than the mean digits: between the halves, within P1

# %%
def rates_of(rival=""):
    """Transfer rates, a row for each of the six cells, a column a seed."""
    return by_seed("rate" + rival, second, "halves")

print("you said", guess_15)
pd.DataFrame({name: rates_of(way).apply(intervals.over_seeds, axis=1)
              for name, way in by_name.items()}).astype(str)

# %% [markdown]
# *Transfer rates as in section 4, in percent, over ten seeds.* And the attack less the mean digits:

# %%
more = rates_of() - rates_of(", mean digits")
parts = {"between the halves": more.loc[across].mean(),
         "within P1": more.drop(across).mean()}
for where, points in parts.items():
    print(f"{where}: {intervals.over_seeds(points)} points; the attack is "
          f"ahead in {(points > 0).sum()} of {len(points)} seeds")

# %% [markdown]
# Between the halves the attack does no more than the mean digits, but a little less, in nine of ten
# seeds. Equal numbers need not be the same digits, nor one cause; but that
# networks without a single training digit in common share *weaknesses*, in any other sense
# than that they learn the same classes, this table does not show. Within P1 it does three times as
# much: there the two networks share something in particular, and it comes from the digits that they
# have seen. (*Exploratory*, like section 4's: we thought of this rival after the table.)
#
# ### The half that the slides leave out
#
# The paper goes on (section 4.2): the same perturbations, amplified to stddev 0.1. Its formula is
# $x + 0.1\, (x' - x) / \|x' - x\|_2$. Taken literally that makes the
# *length* 0.1, a distortion of $0.1 / 28 = 0.0036$: sixteen times *smaller* than the attack's own. It
# is a stddev of 0.1 only with a factor of 28 more. And there are two ways to give it that:
# scale *each* picture's perturbation to 0.1, as in section 5, or scale a whole row by *one factor*,
# so that 0.1 is the stddev over all its pictures.
#
# > **Before you run:** the diagonal is 100 % above. What does the formula give as printed? And with
# > which of the two other ways can it *fall* below 100?

# %%
guess_16 = "?"  # percent as printed; picture by picture, or by one factor

# %%
def by_one_factor(x):
    r = x - test_images
    return test_images + 0.1 * r / r.square().mean().sqrt()

# %% tags=["drift:0.5"]
for words, size in (("as printed", 0.1 / 28),
                    ("each picture scaled to 0.1", 0.1)):
    each = {row: amplify(test_images, x - test_images, size)
            for row, x in crossed.items()}
    own = transfer_table(pair, each, test_labels).errors.to_numpy().diagonal()
    print(f"{words}, the diagonal:", own.round(1))
print("you said", guess_16)
by_one = {row: by_one_factor(x) for row, x in crossed.items()}
with_intervals(second_table(by_one, 0.1))

# %%
loud_paper = published.cross_training_table(amplified=True)
loud_paper

# %%
loud = cells(loud_paper.iloc[:3, :3])
loud_ten = summarised(by_seed("error, one factor to .1", second, "halves"))
beside = loud_ten.round(1)
beside["paper"] = loud
beside

# %% mystnb={"image": {"alt": "Three panels, one for each network that pictures were made for, with a line for each other network: our error over ten seeds with its interval, the paper's hollow diamond with a grey interval, and the difference. Within the half P1 nearly all are fooled; between the halves ours lie between 43 and 48 percent, the paper's between 22 and 50."}}
tables_ = [c.unstack().reindex(index=[*pair], columns=[*pair]) for c in (
    *(loud_ten[end] for end in ("value", "low", "high")), loud,
    *(of_256(loud)[end] for end in ("low", "high")))]
figures.beside_paper(*tables_)
plt.show()

# %% [markdown]
# **Figure 4.** The second table with each row scaled to 0.1 by one factor, over ten seeds: the
# mean, and where one more seed would fall; the paper's with Wilson's interval for 256 pictures.
# Amplified, the perturbations fool networks of the other half about five to six times as often;
# noise of that size does next to nothing. As printed, the formula leaves every picture on its own
# side: nearly nobody is fooled, which is not the paper's table. Scaled picture by picture, our
# diagonal falls short of 100 % (the second line): digits that needed *more* than 0.1 are scaled
# down, and stop short of the border. The paper has 100 there, so it seems to have used one factor,
# as we do in this table. Three of the six cells agree. Two of the others are between the halves,
# where ours transfer about twice as much: 48 against 22 and 45 against 27; the third is within P1,
# 91 against 98.
#
# ## 9. The same mistake?
#
# If one picture fools two networks, do both see the *same* wrong digit? Two that chose blindly
# among the nine wrong ones would agree in 11 % of the cases.
#
# > **Before you run:** 11 %, all, or what in between?

# %%
guess_17 = "?"  # in percent

# %% mystnb={"image": {"alt": "A shaded table of six rows and six columns with a percentage in each cell and, in small print, the number of pictures that it is a percentage of. The diagonal is 100. In the rows of FC10(1e-2) and FC10(1) agreement is between about 40 and 80 percent, except in the low column of AE400-10; in the other rows it is mostly below a third."}}
from course_utils.transfer import same_mistakes

share, count = same_mistakes(models, adversarial, digits)
figures.number_table(share, label="fooled into the same class (%)",
                     rows="made for", columns="shown to", beneath=count)
plt.show()

# %% [markdown]
# **Figure 5.** Of the pictures that fool both the network that they were made for (row) and the one
# that they were shown to (column): the percentage that both give the same wrong class, with their
# number beneath. Outside the row of FC10(1e-4), whose small perturbations fool few, it is above the
# 11 % of blind choice. (In three cells, such as the 7 of 55 in the column of AE400-10, not by more
# than chance allows.) But outside the row of FC10(1) only one cell is more than half. Elsewhere the
# other network often just leaves the true class, and falls into the neighbour that it finds
# nearest. (In the columns of linear networks many digits were misread from the start.)

# %% tags=["drift:0.5"]
print("you said", guess_17)
quartiles = cells(share).quantile([0.25, 0.5, 0.75])
quartiles.set_axis(["a quarter below", "median", "a quarter above"]).to_frame(
    "into the same class (%), of 30 cells").T.round(1)

# %% [markdown]
# Favourites, a four that is mostly called a nine by whichever network, explain little of it: the
# first network's answers are the *targets*, which were drawn evenly. (Not quite evenly among the
# pictures that fool both.) But some of these digits were misread before anybody attacked. Leave
# those out (*exploratory*: thought of after Figure 5):

# %%
before = {name: model(originals).argmax(1) for name, model in models.items()}

def agreement(made, shown):
    """Percent of the same wrong class, of digits that both had right."""
    one, two = (models[n](adversarial[made]).argmax(1) for n in (made, shown))
    right = (before[made] == digits) & (before[shown] == digits)
    both = right & (one != digits) & (two != digits)
    return 100 * (one == two)[both].double().mean().item()

# %% tags=["drift:0.5"]
fair = [agreement(*made_and_shown) for made_and_shown in cells(share).index]
pd.DataFrame({"all": [cells(share).median()],
              "that both had right": [np.nanmedian(fair)]},
             ["into the same class (%), median of 30 cells"]).round(1)

# %% [markdown]
# So the networks do share where *this* picture is pushed to.
#
# ## 10. Why do they transfer?
#
# Several explanations have been offered. Lecture 4 comes to one: networks behave nearly
# linearly, and learn similar weights from similar data [2]. This can be put to a test. To first
# order, a perturbation along one network's gradient changes another's loss in proportion to the
# **cosine** between the two gradients. If that is the reason, pairs with more similar gradients
# should transfer more.
#
# > **Before you run:** do they? In the table as the paper made it (left), and with all
# > perturbations scaled to the same size (right)?

# %%
guess_18 = "?"  # rank correlation as found, at equal size

# %% mystnb={"image": {"alt": "Two scatter plots of transfer rate against gradient cosine, thirty points each, with a marker for each source network. Left, at the sizes that the attack found, there is no clear relation; right, with all scaled to 0.1, the points rise from lower left to upper right."}}
kinds = {"as the attack found them": "rate",
         "all scaled to 0.1": "rate, all at .1"}
cosines = by_seed("cosine", printed)
transfer = {title: by_seed(kind, printed) for title, kind in kinds.items()}
clouds = {title: as_table(t.mean(axis=1)) for title, t in transfer.items()}
figures.transfer_scatter(clouds, as_table(cosines.mean(axis=1)),
                         xlabel="cosine of the two gradients")
plt.show()

# %% [markdown]
# **Figure 6.** Transfer rate against the cosine between the two networks' gradients, means of ten
# seeds; a point for each of the 30 ordered pairs. In numbers:

# %%
for title, rates in transfer.items():
    found = [spearmanr(rates[seed], cosines[seed]).statistic for seed in rates]
    rank = intervals.over_seeds(found)
    print(f"{title}: rank correlation {rank} (you said {guess_18})")

# %% [markdown]
# As found, there is hardly any relation: size decides. At equal size similar gradients do go with
# transfer, but only in part. A cosine is symmetric, and transfer is not: a row is strong or weak for
# *all* columns, a column easy or hard for *all* rows. So take these two out first. Suppose that
#
# $$t_{ij} = s_i + w_j + \text{slope} \times \cos_{ij} + \text{rest}_{ij}$$
#
# with $t_{ij}$ the transfer from $i$ to $j$, $s_i$ the strength of $i$, $w_j$ the weakness of $j$,
# and $\cos_{ij}$ the cosine of the two.
#
# *In numbers:* if row $i$ lies 10 points above the mean of all cells, and column $j$ 5 points
# below, a cell of 50 in a table of mean 40 is $40 + 10 - 5 = 45$ and 5 more. Those 5 are what the
# pair has in particular, and what the cosine should explain. (With the diagonal missing, rows and
# columns are fitted by least squares.) The cosine's own rows and columns are taken out in the same
# way.
#
# > **Before you run:** what will the correlation of what is left be with the cosine? More or less
# > than above?

# %%
guess_19 = "?"  # a correlation

# %%
def particular(cells):
    """What is left of each cell after its row's and its column's effect."""
    sides = pd.get_dummies(cells.index.to_frame(), dtype=float).to_numpy()
    return cells - sides @ np.linalg.lstsq(sides, cells, rcond=None)[0]

def fit(rates, cosines):
    left, similar = particular(rates), particular(cosines)
    r = np.corrcoef(left, similar)[0, 1]
    share = 1 - left.var() / rates.var()
    return pd.Series({
        "correlation": r, "rows and columns (%)": 100 * share,
        "with the cosine (%)": 100 * (1 - (1 - share) * (1 - r**2))})

# %%
fits = {title: pd.DataFrame({s: fit(rates[s], cosines[s]) for s in rates})
        for title, rates in transfer.items()}
print("you said", guess_19)
pd.DataFrame({title: f.apply(intervals.over_seeds, axis=1).astype(str)
              for title, f in fits.items()}).T

# %% [markdown]
# *The correlation, and how much of the variance of the 30 cells is explained by rows and columns
# alone, and with the cosine too; intervals over ten seeds.* At equal size, three things explain
# nearly all of the table: how strong the source is, how weak the receiver, and how alike their
# gradients. Could thirty numbers do that by chance? Give the networks each other's names in the
# cosines, in all 720 ways:

# %%
left = particular(transfer["all scaled to 0.1"].mean(axis=1))
alike = cosines.mean(axis=1)
chance = [np.corrcoef(left, particular(renamed(alike, order)))[0, 1]
          for order in tqdm([*permutations(names)])]
as_high = np.sum(np.array(chance) >= chance[0] - 1e-9) - 1
print(f"true names: {chance[0]:.2f}; as high with other names: "
      f"{as_high} of 719")

# %% [markdown]
# So Goodfellow's explanation passes this test: what one pair of networks shares beyond their
# general strength and weakness goes with the likeness of their gradients. So would any rival by
# which networks come to have similar gradients, linear or not. (It was found after looking at these
# networks, so call it exploratory, and test it on others.) Demontis and others [5] have related
# measures, on many models and data sets: how large the *target's* gradients are, how much the loss
# of the network attacked in its place varies, and how well the two gradients are aligned.
#
# **Exercise 2: a row that transfers better.** You know some networks and can attack them, but the
# one to be fooled is unknown. Use all that you know. (Liu and others [6] did so on ImageNet.)

# %%
def stronger_row(images, perturbations, stddev):
    """Images that fool an unseen network better than those made for one.

    images: float (N, ...); perturbations: float (M, N, ...), each made for one
    of M networks that you know, of any size, a few of them zero; stddev: float
    above 0. Returns float (N, ...), each image changed by a root mean square
    per pixel of at most stddev. Do not clip.
    """
    ...

# %%
check("stronger-row", stronger_row)

# %% [markdown]
# Then try it on the real networks: three are known, and the other three columns are those to win,
# on average; everything is at 0.1. Before you have an answer the table shows the known rows alone.

# %% tags=["drift:0.5"]
known = ["FC10(1e-4)", "FC100-100-10", "AE400-10"]
perturbations = torch.stack([adversarial[name] - originals for name in known])
yours = stronger_row(originals, perturbations, 0.1)
rows = {name: amplified[name] for name in known}
if yours is not None:
    rows["yours"] = yours
transfer_table(models, rows, digits).errors.round(1)

# %% [markdown]
# ## 11. Try it yourself
#
# Choose whose perturbations to show, and how large to make them. The explorer attacks the first 100
# test digits anew, in your browser; Figure 7 shows two sources with all digits.
#
# > **Before you drag:** for which source do all six bars pass one half first?

# %%
guess_20 = "?"  # a source

# %%
from course_utils.laboratory.widget import laboratory

laboratory("transfer", networks=names)

# %%
stddevs = np.arange(0, 0.26, 0.01).round(2)

def errors_over_size(made):
    """Each network's error, a row for each size of what was made for one."""
    way = adversarial[made] - originals
    rows = {stddev: amplify(originals, way, stddev) for stddev in stddevs}
    return transfer_table(models, rows, digits).errors

over_size = {made: errors_over_size(made) for made in tqdm(names)}

# %% mystnb={"image": {"alt": "Two panels of error over distortion from 0 to .25, a line for each of six networks. Left, made for FC10(1e-4): that network's own line rises first and passes 90 percent below .1; those of the other networks follow, FC10(1) last. Right, made for FC100-100-10: its own line rises first, and those of FC10(1e-4) and FC200-200-10 are close behind."}}
figures.curves({f"error (%), made for {made}": over_size[made]
                for made in ("FC10(1e-4)", "FC100-100-10")},
               xlabel="distortion")
plt.show()

# %% [markdown]
# **Figure 7.** The error of each network over the size of the perturbations, from two sources.
# Mostly the source's own line rises first, and FC10(1), which errs most on untouched digits, last.

# %%
least = pd.DataFrame({made: over_size[made].min(axis=1) for made in over_size})
first = (least > 50).idxmax().where((least > 50).any())
print("you said", guess_20)
pd.DataFrame({"all six bars above 50 % from": first})

# %% [markdown]
# That is the answer to the question above: the source with the smallest number, FC10(1e-2), just
# before FC10(1).

# %% [markdown]
# ## Summary
#
# - Pictures made for one network **fool others**, of other shapes, and trained on digits of which
#   none is the same: more than noise of the same size does in every comparison we made. But going
#   from one mean digit to another, which asks no network, transfers nearly as well among the six
#   networks and between the halves, though not within a half (exploratory): so how much of what
#   transfers there is more than a way from class to class the numbers do not show.
# - The first table of 2013 comes out **in nearly the same order** on networks trained anew, ten
#   times; its numbers only in part: two thirds of the cells agree within both intervals, where
#   nearly all would if the networks were the same. Of the small second one the **order is not
#   reproduced**, where networks like ours would have it in about seven of ten draws, and one so low in
#   none of a thousand; the statement that rests on it is, but between the halves the mean digits do no
#   less.
# - A cell is not transfer alone. Subtract what the network **errs anyway**, and compare at **equal
#   size** and on **the same columns**: the strong rows of the linear networks are strong mostly
#   because their perturbations are large. At equal size their lead is gone.
# - At equal size a cell is the **strength** of its source, the **weakness** of its receiver, and the
#   **likeness of their gradients**: together nearly all of it.
# - **Targets** drawn at random come nearest to the paper's distortions. **Clipping** noise makes it
#   smaller and more harmful; the paper seems not to have clipped.
# - Networks make the **same** mistake more often than chance, though in the median pair in about a
#   quarter of the cases only, a third where both had the digit right untouched.
#
# **What comes next.** How far can a perturbation grow on its way through a network? Lecture 3 puts
# bounds on it, layer by layer, and asks what such bounds promise.
#
# ## References
#
# 1. C. Szegedy, W. Zaremba, I. Sutskever, J. Bruna, D. Erhan, I. Goodfellow, R. Fergus,
#    *Intriguing properties of neural networks*, 2013,
#    [arXiv:1312.6199](https://arxiv.org/abs/1312.6199). Section 4.2 has the tables.
# 2. I. Goodfellow, J. Shlens, C. Szegedy, *Explaining and harnessing adversarial examples*, 2014,
#    [arXiv:1412.6572](https://arxiv.org/abs/1412.6572). Section 8 is about transfer.
# 3. E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, Journal
#    of the American Statistical Association 22, 1927.
# 4. L. Nayak, *Advanced Machine Learning: Adversarial Examples*, the slides that this course
#    follows.
# 5. A. Demontis, M. Melis, M. Pintor, M. Jagielski, B. Biggio, A. Oprea, C. Nita-Rotaru, F. Roli,
#    *Why do adversarial attacks transfer?*, USENIX Security 2019,
#    [arXiv:1809.02861](https://arxiv.org/abs/1809.02861).
# 6. Y. Liu, X. Chen, C. Liu, D. Song, *Delving into transferable adversarial examples and black-box
#    attacks*, ICLR 2017, [arXiv:1611.02770](https://arxiv.org/abs/1611.02770).
