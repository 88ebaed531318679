# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lecture 4: The fast gradient sign
#
# Lecture 1 searched for an adversarial picture with dozens of steps. In 2014 Goodfellow, Shlens and
# Szegedy [1] found that *one* step does: move every pixel by the same small amount, up or down,
# whichever raises the loss. The step is so cheap that a network can be trained against it, and it
# came with an explanation: networks are not too wild, but **too linear**. In this lecture you take
# the step, test the explanation, and see what training against it does. Not all of it will come out
# as on the slides.
#
# **After this lecture you can**
#
# - carry out the *fast gradient sign* on any differentiable classifier, and give it in closed form
#   for a linear one;
# - say what "too linear" means, measure it, and explain what the input's dimension has to do with
#   it;
# - write down the loss of *adversarial training*, and say what it buys and what not;
# - recognise *gradient masking*, and test a defence by a stronger attack.
#
# **You need** Lecture 1: what an adversarial example is, and why noise is the control. The lecture
# runs in one or two minutes, and downloads no network: all were trained by this course's code,
# except the classifier of photographs, which was installed with it.
#
# The next cell does nothing unless you are on Colab.

# %%
# On Colab, install the course first; everywhere else this cell does nothing.
import sys
if "google.colab" in sys.modules:
    raise SystemExit("First, in a cell above: %pip install git+ADDRESS")

# %%
import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch.nn import functional as F

from course_utils import claims, figures, published
from course_utils.data import DataUnavailable, load_image, load_mnist
from course_utils.zoo import load_model, load_study

figures.use_style()

# %% [markdown]
# ## 1. One step
#
# Let $J(\theta, x, y)$ be the loss of a network with weights $\theta$ on a picture $x$ of class
# $y$. Training changes $\theta$ so that $J$ falls. Turn it round: keep $\theta$, and change $x$ so
# that $J$ *rises*. If no pixel may move by more than $\epsilon$, and if $J$ were linear, the best
# change would be
#
# $$x + \epsilon\,\text{sign}(\nabla_x J(\theta, x, y)),$$
#
# every pixel moved by exactly $\epsilon$, up where the gradient is positive and down where it is
# negative. That is the **fast gradient sign**. Note the measure of size: not the length $\|r\|_2$
# of Lecture 1, but the largest change of a pixel, $\|r\|_\infty = \max_i |r_i|$. With pixels from 0
# to 1, the slides' $\epsilon = .007$ is less than two of a picture's 255 levels of grey.
#
# The slides' panda is a photograph, shown to GoogLeNet. Ours is a picture drawn for this course,
# shown to **EfficientNet-Lite0**, a small classifier of 2020 that knows the same 1,000 categories.
# Put the path of a picture of your own in place of `"panda"`, and this section and the next are
# about yours.

# %%
from course_utils.imagenet import imagenet_classifier

PICTURE = "panda"

classifier = imagenet_classifier("efficientnet_lite0")
picture = load_image(PICTURE, size=224)[None]

# %%
def top(image, count=5):
    """The likeliest categories, and the confidence in each in percent."""
    with torch.no_grad():
        chances, classes = classifier(image)[0].softmax(0).topk(count)
    names = [classifier.categories[k] for k in classes.tolist()]
    return dict(zip(names, (100 * chances).tolist()))

# %% [markdown]
# The label $y$ to get away from is the network's own first answer. Then the whole method is:

# %%
first = classifier(picture).argmax(1)
x = picture.clone().requires_grad_()
(gradient,) = torch.autograd.grad(F.cross_entropy(classifier(x), first), x)
sign = gradient.sign()
moved = (picture + 0.007 * sign).clamp(0, 1)

# %% [markdown]
# From here on we call `attacks.fgsm`, which does the same for batches and checks what it is given.

# %%
from course_utils.attacks import fgsm

same = moved.isclose(fgsm(classifier, picture, first, eps=0.007))
print(f"pixels on which both agree: {100 * same.double().mean():.1f} %")

# %% [markdown]
# > **Before you run the next cell:** on the slides, GoogLeNet goes from "panda", 57.7 %, to
# > "gibbon", 99.3 %. What will a network of six years later make of the step?

# %% mystnb={"image": {"alt": "An equation of three pictures: a drawn panda; plus .007 times a pattern of coloured speckle; equals a picture that looks just like the first panda. Beneath each stands the category that the network gives it and its confidence: giant panda for the first, something unrelated for the speckle, teddy for the sum."}}
shown = [picture[0], sign[0], moved[0]]
answers = [top(image, 1) for image in (picture, (sign + 1) / 2, moved)]
captions = [f"“{name}”\n{sure:.1f} %" for answer in answers for name, sure in answer.items()]
figures.equation(shown, captions, plus="+ .007 ×")
plt.show()

# %% [markdown]
# **Figure 1.** The picture, the sign of the gradient (each of the three colours of each pixel
# either up or down), and the sum; beneath each what the network says, to the pattern alone as well.

# %% tags=["claim", "claim:panda"]
before, after = top(picture), top(moved)
name = next(iter(before))
winner, sure = next(iter(after.items()))
detail = f"from {before[name]:.1f} %; first is now {winner!r} with {sure:.1f} %"
claims.check("panda", after.get(name, 0.0), detail=detail)

# %% [markdown]
# So the answer changes, but the network does not become sure of its new one, as GoogLeNet did. The
# step makes $J$ large, which only asks for *less panda*.
#
# As in Lecture 1, the control is noise of the same size: every pixel by $\pm .007$, but the signs
# drawn by lot.
#
# > **Before you run:** what is left of the panda's confidence under random signs?

# %%
lot = torch.Generator().manual_seed(0)
draws = [2.0 * torch.randint(2, picture.shape, generator=lot) - 1 for _ in range(5)]
for draw in draws:
    answer, sure = next(iter(top((picture + 0.007 * draw).clamp(0, 1)).items()))
    print(f"random signs: {answer}, {sure:.1f} %")

# %% [markdown]
# And a real photograph? This course may not ship one, but fetches it where there is a network.
# (`PICTURE = "panda-photo"` above draws Figure 1 with it.)

# %% tags=["nbval-ignore-output"]
try:
    photo = load_image("panda-photo", size=224)[None]
    step = fgsm(classifier, photo, classifier(photo).argmax(1), eps=0.007)
    for words, image in (("photograph", photo), ("after the step", step)):
        print(f"{words}:", {name: round(sure, 1) for name, sure in top(image, 3).items()})
except DataUnavailable:
    print("The photograph could not be had; without it the lecture goes on as well.")

# %% [markdown]
# On that photograph the network loses most of its confidence, and yet "giant panda" stays first:
# what it lost is spread over so many categories that no other has more. One step of .007 is not a
# promise. Whether the label flips depends on the picture and the network.
#
# ## 2. How far?
#
# Now vary $\epsilon$. If the network were linear in the pixels, twice the step would do twice the
# damage.
#
# > **Before you run:** the step of .007 took most of the confidence. Sketch the curve from 0 to .3,
# > of the confidence in the panda and of that in the winner. Does either ever turn round?

# %%
sizes = [0, .001, .002, .003, .004, .005, .007, .01, .015, .02, .03, .05, .1, .15, .2, .25, .3]
steps = [(picture + eps * sign).clamp(0, 1) for eps in sizes]
answers = [top(image, 1000) for image in steps]
winners = [next(iter(answer)) for answer in answers]
print("winners, in order:", ", ".join(dict.fromkeys(winners)))

# %% mystnb={"image": {"alt": "Two curves of confidence over eps. That in the first category, giant panda, falls steeply within the first few thousandths and stays low, with small bumps; that in the winner follows it down, turns where teddy takes over, and rises to a high plateau at large steps before it falls again."}}
own = [answer[winners[0]] for answer in answers]
best = [answer[winner] for answer, winner in zip(answers, winners)]
figures.confidence_over_eps(sizes, own, best, winners, mark=0.007)
plt.show()

# %% [markdown]
# **Figure 2.** Confidence in the first category and in the winner as the step grows; above, who
# wins from there on. The dotted line is the slides' .007. Half of the confidence goes within the
# first two thousandths. Then the curve *bends*: the sign was computed at the picture, and a deep
# network's slope holds for a short way only.
#
# How short? A linear function would raise the log-odds of "not a panda" by $\epsilon \|g\|_1$, with
# $g$ their gradient.

# %%
from course_utils.inference import loss_and_gradient

odds, slope = loss_and_gradient(classifier, picture, first)
for eps in (0.0005, 0.001, 0.002, 0.007):
    there, _ = loss_and_gradient(classifier, picture + eps * sign, first)
    print(f"eps {eps}: promised {eps * slope.abs().sum():.2f}, got {(there - odds).item():.2f}")

# %% [markdown]
# Remember that for section 4. If the slope turns on the way, look again on the way: ten small steps
# with a new sign after each, never further than .007 from the picture. That is **projected
# gradient** (`attacks.pgd`), ten times the price.
#
# > **Before you run:** the same .007. What does the network say now, and how sure is it?

# %%
from course_utils.attacks import pgd

ten = pgd(classifier, picture, first, eps=0.007, step=0.007 / 4, steps=10)
for answer, sure in top(ten, 3).items():
    print(f"{answer}: {sure:.1f} %")

# %% [markdown]
# There is the certainty of the slides' third picture. So the danger in a ball of .007 was there all
# along; one step just did not find it. That will be the end of this lecture, too.
#
# ## 3. Try it yourself
#
# Choose a picture or upload your own, and drag. The bars are the five likeliest categories. (This
# needs a running notebook. If you are only reading, Figure 3 stands in for it.)
#
# > **Before you drag:** at which $\epsilon$ will *you* see a difference?

# %%
from course_utils.widgets import fast_gradient_explorer, twin

explorer = fast_gradient_explorer(classifier, {PICTURE: picture[0]})
explorer

# %% mystnb={"image": {"alt": "Four states of the explorer: the drawn panda at eps 0, .007, .02 and .1, each with bars of its five likeliest categories. The first two pictures look the same, the third has a faint grain, the last a plain one. Giant panda has nearly all the confidence at first; then teddy leads, by little at .007 and by far at .1."}}
twin(explorer, eps=[0, 0.003, 0.007, 0.02, 0.05, 0.1])

# %% [markdown]
# **Figure 3.** The explorer for this picture, drawn beforehand, in 256 colours. On the course's
# site it has a slider of its own; here and on paper it shows four steps.

# %% [markdown]
# ## 4. Too linear?
#
# When adversarial examples were new, people blamed the networks' wild non-linearity: surely such
# holes are due to some odd folding deep inside. The slides say the opposite. So look. We go along
# the sign direction, from $-.3$ to $.3$, and watch the ten logits of the paper's own kind of
# network: **maxout**, whose units take the largest of a few linear functions, trained on MNIST with
# dropout (section 7 has the details).
#
# > **Before you run:** will the ten curves be smooth lines, wiggles, or steps? And along a
# > direction of random signs?

# %%
test_images, test_labels = load_mnist("test")
maxout = load_model("maxout")
steps = torch.linspace(-0.3, 0.3, 61)

def along(model, image, direction):
    """The logits (61, N, 10) along a direction. Pixels may leave [0, 1], to see the function."""
    with torch.no_grad():
        return torch.stack([model(image + step * direction) for step in steps])

def sign_direction(model, images, labels):
    return loss_and_gradient(model, images, labels)[1].sign()

# %% mystnb={"image": {"alt": "Two panels of ten lines, the logits over the step from minus .3 to .3. Along the sign direction they are steep, bend gently, and cross soon after 0: the thick line of the true class falls, others rise. Along random signs all ten are almost flat and straight, and the thick one stays on top."}}
four = (test_labels == 4).nonzero()[0]
image, label = test_images[four], test_labels[four]
lot = torch.Generator().manual_seed(0)
random = 2.0 * torch.randint(2, image.shape, generator=lot) - 1
directions = {"sign of the gradient": sign_direction(maxout, image, label), "random signs": random}
lines = {title: along(maxout, image, way)[:, 0] for title, way in directions.items()}
figures.logit_lines(steps, lines, label=label.item())
plt.show()

# %% [markdown]
# **Figure 4.** The ten logits of one four; each line has its class at its right end, the true one
# is thick. No wiggles, no steps: a few gentle bends, and long stretches that are straight, in both
# panels. What differs is the slope: along the sign, hundreds of small contributions all pull the
# same way.
#
# One picture, again, is an anecdote. For 300 test digits we fit a straight line to each logit, and
# ask which share of the logits' variation along the direction it explains ($R^2$, over all
# pictures and classes together). The *slope* is the mean absolute one.

# %%
def straight(logits):
    """The share that straight lines explain, in percent, and their mean absolute slope."""
    bent, way = logits.double() - logits.double().mean(0), steps.double()
    slopes = (way[:, None, None] * bent).sum(0) / way.square().sum()
    rest = bent - way[:, None, None] * slopes
    return 100 * (1 - rest.square().sum() / bent.square().sum()).item(), slopes.abs().mean().item()

some, truth = test_images[:300], test_labels[:300]
random = 2.0 * torch.randint(2, some.shape, generator=lot) - 1

# %%
def linearity(model):
    to_sign = straight(along(model, some, sign_direction(model, some, truth)))
    return [*to_sign, *straight(along(model, some, random))]

networks = {name: load_model(name) for name in ("softmax", "FC100-100-10", "maxout")}
columns = ["sign: straight (%)", "sign: slope", "random: straight (%)", "random: slope"]
rows = {name: linearity(model) for name, model in networks.items()}
pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(1)

# %% tags=["claim", "claim:too-linear"]
claims.check("too-linear", rows["maxout"][0], detail="maxout, 300 test digits")

# %% [markdown]
# The softmax without hidden layers *is* linear; the deep networks are not far from it, over a range
# in which a digit dissolves. Two cautions. First, straightness alone fools nobody: along random
# signs the lines are as straight, and harmless, because they are flat. Linear *and steep in some
# direction* is the trouble. Second, the panda: there one step of .007 fell far short of its slope's
# promise. A deep network on 150,528 pixel values is linear only nearby, which was enough.
#
# ## 5. Where it is exactly linear
#
# Take the simplest network of all. **Logistic regression** tells threes from sevens by the sign of
# one number, $w \cdot x + b$. Here it is, trained now.
#
# The gradient of its loss in the pixels is a negative number times $y\,w$ (with $y = \pm 1$), so
# the fast gradient sign is $-\epsilon\,y\,\text{sign}(w)$, for *every* picture the same two
# patterns, and by what it changes is known beforehand:
#
# $$y\,w \cdot (x + r) + y\,b = y\,(w \cdot x + b) - \epsilon \|w\|_1 .$$
#
# > **Before you run:** about 1.5 % of the test digits are misread. How many after the step of
# > $\epsilon = .25$?

# %%
from course_utils.models import fully_connected
from course_utils.training import fit_linear, predict

def threes_and_sevens(split):
    images, labels = load_mnist(split)
    chosen = (labels == 3) | (labels == 7)
    return images[chosen], (labels[chosen] == 7).long()

pair, pair_labels = threes_and_sevens("train")
test_pair, test_pair_labels = threes_and_sevens("test")
logistic = fully_connected(2)
history = fit_linear(logistic, pair, pair_labels, weight_decay=1e-3, progress=False)

# %% [markdown]
# The weight is the difference of the two logits' weights. We attack with its sign alone, once
# clipped to $[0, 1]$ and once not.

# %%
def wrong(model, images, labels):
    """Misclassified, in percent; pixels may leave [0, 1]."""
    return 100 * (predict(model, images) != labels).double().mean().item()

w = (logistic[1].weight[1] - logistic[1].weight[0]).detach().view(1, 1, 28, 28)
y = 2.0 * test_pair_labels.view(-1, 1, 1, 1) - 1
stepped = test_pair - 0.25 * y * w.sign()
sets = {"clean": test_pair, "clipped": stepped.clamp(0, 1), "not clipped": stepped}
errors = {name: wrong(logistic, images, test_pair_labels) for name, images in sets.items()}
agree = sets["clipped"].isclose(fgsm(logistic, test_pair, test_pair_labels, eps=0.25))

# %%
name = "logistic regression, 3 against 7"
printed = published.CLEAN_ERRORS[name], published.fast_gradient_sign().at[name, "error"]
print(f"error: clean {errors['clean']:.1f} %, clipped {errors['clipped']:.1f} %, "
      f"not clipped {errors['not clipped']:.1f} %")
print(f"paper: {printed[0]} % and {printed[1]:.0f} %")
print(f"the sign of w and attacks.fgsm agree on {100 * agree.double().mean():.0f} % of the pixels")

# %% mystnb={"image": {"alt": "Three rows. Top: four threes and four sevens. Middle: the same pattern of black and white patches on the threes, and its negative on the sevens. Bottom: the digits with the pattern laid over in grey, still easily read; beneath each the wrong class."}}
chosen = torch.cat([(test_pair_labels == k).nonzero()[:4, 0] for k in (0, 1)])
rows = [test_pair[chosen], (-y * w.sign())[chosen], sets["clipped"][chosen]]
said = [[3, 7][k] for k in predict(logistic, rows[2]).tolist()]
figures.digits(rows, names=["digit", "-y sign(w)", "eps = .25"], titles=[None, None, said],
               signed=[1])
plt.show()

# %% [markdown]
# **Figure 5.** The attack on logistic regression is one pattern for all threes, and its negative
# for all sevens. You read these digits without effort; beneath stands what the model reads.
#
# ## 6. Why dimension matters
#
# In the formula, the attack's gain is $\epsilon \|w\|_1$, a sum over pixels. Random signs gain
# nothing on average, with a spread of $\epsilon \|w\|_2$. The quotient $\|w\|_1 / \|w\|_2$ says by
# how much *aligned* signs beat random ones, and for weights of similar sizes it grows like
# $\sqrt{n}$ with the number $n$ of pixels: no pixel changes much, but there are many. Put to the
# test on the same digits, averaged down to $14 \times 14$ and $7 \times 7$ pixels.
#
# > **Before you run:** from one size to the next $n$ grows fourfold. What will the quotient do? And
# > the error at the same $\epsilon$: is it bound to grow, too?

# %%
def at_size(side, weight_decay):
    shrink = lambda images: F.adaptive_avg_pool2d(images, side)
    model = fully_connected(2, inputs=side * side)
    fit_linear(model, shrink(pair), pair_labels, weight_decay=weight_decay, progress=False)
    w = (model[1].weight[1] - model[1].weight[0]).detach()
    digits = shrink(test_pair)
    moved = fgsm(model, digits, test_pair_labels, eps=0.1, bounds=(-1, 2))
    quotient = (w.norm(p=1) / w.norm()).item()
    return [quotient, *(wrong(model, some, test_pair_labels) for some in (digits, moved))]

# %%
columns = ["||w||1 / ||w||2", "clean error (%)", "error at eps = .1 (%)"]
rows = {(decay, side): at_size(side, decay) for decay in (1e-3, 1e-2) for side in (7, 14, 28)}
table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
table.index = pd.MultiIndex.from_tuples(table.index, names=["weight decay", "pixels a side"])
table.round(1)

# %% [markdown]
# The quotient doubles with each doubling of the side, as predicted, in both blocks. The error does
# not obey so simply. With little weight decay it climbs with the dimension; with ten times as much,
# hardly, because the larger picture also lets the model leave a larger *margin* to be overcome. The
# linear argument explains why a sum of invisible changes can matter. That more pixels must mean
# less robustness is more than it says: draw each pixel as four equal ones, give each a quarter of
# the weight, and neither the margin nor $\|w\|_1$ has changed.

# %% [markdown]
# ## 7. The paper's networks
#
# Four networks of the paper, trained by this course's code:
#
# - **softmax**: no hidden layer;
# - **maxout**: two layers of 240 units, each the largest of five linear functions, with dropout;
# - **maxout (adversarial)**: the same shape, trained against the fast gradient sign (section 9);
# - **RBF**: one unit for each class, $p_k(x) = e^{-\sum_i b_{ki} (x_i - \mu_{ki})^2}$, with $\mu_k$
#   the mean picture of the class. Each unit is a yes or no of its own, so all of them may say no.
#   Far from all means, they do.
#
# We take the step of $\epsilon = .25$ on all 10,000 test digits, and count errors and the mean
# confidence on those *mistakes*. The paper does not say whether it clipped to $[0, 1]$, so we do
# both.
#
# > **Before you run:** at .25 the digits are still easy to read. What share will each network
# > misread? Which will know that it is in trouble?

# %%
from course_utils.models import RBF

def error_and_confidence(model, images, labels):
    """Misclassified, in percent, and the mean confidence on those mistakes, in percent."""
    with torch.no_grad():
        logits = model(images)
    chances = logits.sigmoid() if isinstance(model, RBF) else logits.softmax(1)
    confidence, classes = chances.max(1)
    mistakes = classes != labels
    return [100 * mistakes.double().mean().item(), 100 * confidence[mistakes].mean().item()]

# %%
names = ["softmax", "maxout", "maxout (adversarial)", "RBF"]
models = {name: load_model(name) for name in names}
free = (-1.0, 2.0)
rows = {}
for name, model in models.items():
    moved = fgsm(model, test_images, test_labels, eps=0.25, bounds=free)
    sets = [test_images, moved.clamp(0, 1), moved]
    rows[name] = sum([error_and_confidence(model, images, test_labels) for images in sets], [])

# %%
columns = pd.MultiIndex.from_product([["clean", "clipped", "not clipped"], ["error", "sure"]])
table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
paper = published.fast_gradient_sign().iloc[:4, :2].set_axis(names)
table["paper", "error"], table["paper", "sure"] = paper.T.to_numpy()
table.round(1)

# %% [markdown]
# *Error and mean confidence on mistakes, in percent.* Our softmax and maxout come out as fragile as
# the paper's or more so, and they are wrong with conviction. Clipping takes about half of the step
# away, as MNIST's pixels are mostly black and cannot get darker; where the paper gives enough to
# compare, the RBF network, its numbers look unclipped.
#
# ## 8. RBF networks resist?
#
# The paper's argument: a network whose units answer only *near* what they know is not linear, and
# does not extrapolate. Here are error and confidence on the first 2,000 test digits as the step
# grows.
#
# > **Before you run:** for which network should the confidence fall as the digits get stranger?

# %%
def curves(model, sizes, count=2000):
    digits, truth = test_images[:count], test_labels[:count]
    way = sign_direction(model, digits, truth)
    return [error_and_confidence(model, digits + eps * way, truth) for eps in sizes]

sizes = [0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
found = {name: curves(model, sizes) for name, model in models.items()}
panels = {
    what: pd.DataFrame({name: [pair[k] for pair in rows] for name, rows in found.items()}, sizes)
    for k, what in enumerate(["error (%)", "mean confidence on mistakes (%)"])
}

# %% mystnb={"image": {"alt": "Two panels over eps from 0 to .3 with a line for each of four networks. Left, the error: softmax and maxout rise to 100 percent by about .1; RBF starts higher and rises slowly to above half; the adversarially trained maxout stays lowest at large steps. Right, the confidence on mistakes: softmax and maxout climb towards 100 percent, RBF falls to zero."}}
figures.curves(panels, mark=0.25)
plt.show()

# %% [markdown]
# **Figure 6.** Error (left) and mean confidence on mistakes (right) under the fast gradient sign,
# not clipped. As the step grows, softmax and maxout are fooled and ever surer; the RBF network is
# fooled more slowly, and says that it does not know.

# %% tags=["claim", "claim:rbf-resistant"]
rbf = table.loc["RBF"]
detail = f"clipped; not clipped {rbf['not clipped', 'sure']:.1f} %, " \
         f"with errors of {rbf['clipped', 'error']:.0f} and {rbf['not clipped', 'error']:.0f} %"
claims.check("rbf-resistant", rbf["clipped", "sure"], detail=detail)

# %% [markdown]
# "Resistant" is a generous word, then: most of the steps still succeed when not clipped. What sets
# RBF apart is the confidence. And the price is in the table's first column: it misreads 13 % of the
# *clean* digits. Now let forty small steps do what one did, on 500 digits, inside $[0, 1]$.
#
# > **Before you run:** do you trust the RBF network's resistance?

# %%
digits, truth = test_images[:500], test_labels[:500]
iterated = pgd(models["RBF"], digits, truth, eps=0.25, step=0.02, steps=40)
error, sure = error_and_confidence(models["RBF"], iterated, truth)
print(f"RBF after 40 steps: error {error:.1f} %, confidence on mistakes {sure:.0f} %")

# %% [markdown]
# Nearly all are misread, and several times as confidently as after one step. Part of the
# resistance was that *one* step from the start is a poor attack on a function that is not linear.
# Keep that in mind for section 12.

# %% [markdown]
# ## 9. Training against the step
#
# The step costs one gradient, so it can be taken at every step of training. The slides' loss is
#
# $$\tilde J(\theta, x, y) = \alpha J(\theta, x, y)
#   + (1 - \alpha) J(\theta, x + \epsilon\,\text{sign}(\nabla_x J(\theta, x, y)), y),$$
#
# with $\alpha = .5$: half of the loss on the picture, half on the picture as an adversary would
# hand it over, made anew against the network as it is *now*. In code:

# %%
from course_utils.losses import adversarial_loss, cross_entropy

def by_hand(model, images, labels, eps, alpha=0.5):
    moved = fgsm(model, images, labels, eps=eps)
    clean, hostile = cross_entropy(model, images, labels), cross_entropy(model, moved, labels)
    return alpha * clean + (1 - alpha) * hostile

with torch.no_grad():
    for name in ("maxout", "maxout (adversarial)"):
        ours, theirs = (loss(models[name], digits, truth, eps=0.25).item()
                        for loss in (by_hand, adversarial_loss))
        print(f"{name}: loss by hand {ours:.2f}, losses.adversarial_loss {theirs:.2f}")

# %% [markdown]
# `fit(model, images, labels, loss=partial(adversarial_loss, eps=0.25))` trains on it; that is how
# *maxout (adversarial)* came about (with $\alpha = .8$ and less dropout: of the settings tried, the
# best on training digits that were held back).
#
# > **Before you look:** under the step of .25 maxout misread nearly every digit. How many after
# > training on such steps? (The paper: 89.4 % before, 17.9 % after.)

# %% tags=["claim", "claim:adversarial-objective"]
before, after = table.loc["maxout"], table.loc["maxout (adversarial)"]
detail = f"clipped, from {before['clipped', 'error']:.1f} %; " \
         f"not clipped {after['not clipped', 'error']:.1f} %"
claims.check("adversarial-objective", after["clipped", "error"], detail=detail)

# %% [markdown]
# Better than the paper's, by far. Before you rejoice, look inside: the weights of the first layer,
# of twelve units as they come, and of the twelve with the largest weights.
#
# > **Before you run:** a network that must not react to a little grey in many pixels: what will its
# > weights look like?

# %% mystnb={"image": {"alt": "Four rows of twelve squares of weights, grey for zero. Plain maxout, as they come and strongest: strokes and blobs over the whole square. Adversarially trained, as they come: some strokes on speckle. Adversarially trained, strongest: an even grey middle, and strong black and white speckle in a frame along the square's edges."}}
from course_utils.models import linear_layers

def first_weights(model, *, strongest, count=12):
    weights = linear_layers(model)[0].weight.detach()
    order = weights.norm(dim=1).argsort(descending=True)
    chosen = weights[order[:count]] if strongest else weights[:count]
    return (chosen / chosen.abs().amax(1, keepdim=True)).view(-1, 1, 28, 28)

pairs = [(name, strongest) for strongest in (False, True) for name in names[1:3]]
figures.digits([first_weights(models[name], strongest=strongest) for name, strongest in pairs],
               names=[name + ",\nstrongest" * last for name, last in pairs], signed=range(4))
plt.show()

# %% [markdown]
# **Figure 7.** Weights of the first layer, each square divided by its largest. Black is negative,
# white positive, grey zero. In the paper, adversarial training makes them more localised, and some
# of ours are. But the strongest of all are none that look at digits: they look at the *frame*,
# where MNIST is always black, and where nothing but the attack ever leaves a mark. Section 12 comes
# back to that.

# %% [markdown]
# ## 10. A regulariser?
#
# The slides say more: adversarial training *regularises*, even beyond dropout, so the error on
# **clean** digits falls. In the paper it fell from .94 % to .84 %, a tenth of a percent, ten digits
# of the test set. So small a difference needs repeated runs. Eight ways of training the same
# network (784-100-100-10), on the same 60,000 digits, for the same number of epochs, each with five
# seeds:
#
# - **none**; **weight decay**; **dropout**;
# - **noise**: half of the loss on digits with *random* signs times .25, the control for
# - **adversarial training**, $\epsilon = .25$;
# - **dropout and adversarial training**;
# - **weak adversarial training**, and the same with dropout: $\epsilon = .025$. Of .025, .05 and .1
#   it had the least error on 10,000 *training* digits, held back for this choice.
#
# > **Before you run:** order the eight by their error on clean test digits. Then by their error
# > under the step. Do you expect the same order?

# %%
conditions = ["none", "weight decay", "dropout", "noise", "adversarial training",
              "dropout and adversarial training", "weak adversarial training",
              "dropout and weak adversarial training"]
study = {condition: load_study(condition) for condition in conditions}
clean = {
    condition: [wrong(model, test_images, test_labels) for model in models_]
    for condition, models_ in study.items()
}

# %% mystnb={"image": {"alt": "Eight lines, one for each way of training, with five small circles each, the test errors of five seeds, and a bar at their mean, which is printed at the right. Weak adversarial training has the lowest error, noise the next; adversarial training at .25 lies to the right of no regularisation, with dropout far to the right."}}
figures.seeds(clean, xlabel="error on clean test digits (%)")
plt.show()

# %% [markdown]
# **Figure 8.** Test error of each seed (circles) and their mean (bar, and the number at the right).
#
# Beside it the errors under the step, and the mean distortion that Lecture 1's attack needs, on 200
# digits with random targets. The interval is for the mean over seeds (95 %, Student's $t$).

# %% tags=["nbval-ignore-output"]
from course_utils.attacks import lbfgs_attack
from course_utils.transfer import draw_targets

few, few_labels = test_images[:200], test_labels[:200]
aims = draw_targets(few_labels, how="random", generator=torch.Generator().manual_seed(1))

def mean_distortion(model):
    found = lbfgs_attack(model, few, aims)
    return found.distortion[found.success].mean().item()

# %%
def summary(condition):
    runs = pd.Series(clean[condition])
    half = 2.776 * runs.std() / len(runs) ** 0.5  # Student's t for five runs
    stepped = [wrong(model, fgsm(model, digits, truth, eps=0.25), truth)
               for model in study[condition]]
    far = [mean_distortion(model) for model in study[condition][:3]]
    return [runs.mean(), half, pd.Series(stepped).mean(), pd.Series(far).mean()]

# %% tags=["nbval-ignore-output"]
columns = ["clean error (%)", "+-", "error under the step (%)", "Lecture 1's distortion"]
results = {condition: summary(condition) for condition in study}
regularised = pd.DataFrame.from_dict(results, orient="index", columns=columns)
regularised.round(3)

# %% tags=["claim", "claim:training-regularises"]
errors = regularised["clean error (%)"]
weak, strong = errors["weak adversarial training"], errors["adversarial training"]
detail = f"{errors['none']:.2f} and {weak:.2f} %, means of five seeds; at eps = .25 {strong:.2f} %"
claims.check("training-regularises", errors["none"] - weak, detail=detail)

# %% tags=["claim", "claim:beyond-dropout"]
both = errors["dropout and weak adversarial training"]
detail = f"{errors['dropout']:.2f} and {both:.2f} %, means of five seeds"
claims.check("beyond-dropout", errors["dropout"] - both, detail=detail)

# %% [markdown]
# At the paper's $\epsilon = .25$, in this network: no. With adversarial training it misreads *more*
# clean digits than with nothing at all, and together with dropout more still; the differences are
# larger than the intervals. Random signs of the same size do better.
#
# At a tenth of that: yes. $\epsilon = .025$ gives the least error of the eight, ahead of weight
# decay, dropout and noise, and it improves on dropout when added to it. (Dropout by itself costs
# this small network more than it gives; the paper's had many more units.) So adversarial training
# is a regulariser whose strength has to be chosen, as with any other, and the slides' word *can* is
# the right one.
#
# Now the other two columns. Against the step of .25 itself only training on that step helps, and a
# lot. But Lecture 1's attack, which looks for the *nearest* mistake, finds it hardly further away
# than with weight decay, and nearer than after training on noise; furthest away it is after *weak*
# adversarial training, which does nothing against the step. One of the two attacks is being misled.


# %% [markdown]
# ## 11. Beside Lecture 1's attack
#
# The fast gradient sign and box-constrained L-BFGS answer different questions: *is there a mistake
# within $\epsilon$ of every pixel?* and *how near is the nearest mistake?* Side by side on maxout
# and 200 digits: one step at two sizes; one step, with the smallest of 30 sizes that works for each
# digit; and L-BFGS towards the runner-up class.
#
# > **Before you run:** by what factor is L-BFGS's distortion smaller? And how much more does it
# > cost?

# %%
def smallest_step(model, images, labels):
    way, best = sign_direction(model, images, labels), images.clone()
    for eps in torch.linspace(0.3, 0.01, 30):
        candidate = (images + eps * way).clamp(0, 1)
        fooled = predict(model, candidate) != labels
        best[fooled] = candidate[fooled]
    return best

def near(model, images, labels):
    aims = draw_targets(labels, how="runner-up", model=model, images=images)
    return lbfgs_attack(model, images, aims).images

# %%
attacks = {
    "one step, eps = .25": lambda *a: fgsm(*a, eps=0.25),
    "one step, eps = .1": lambda *a: fgsm(*a, eps=0.1),
    "one step, smallest that works": smallest_step,
    "L-BFGS, runner-up": near,
}

# %% tags=["nbval-ignore-output"]
import time

rows = {}
for name, attack in attacks.items():
    began = time.perf_counter()
    moved = attack(maxout, few, few_labels)
    took = 1000 * (time.perf_counter() - began) / len(few)
    size = (moved - few).square().mean(dim=(1, 2, 3)).sqrt().mean().item()
    rows[name] = [size, wrong(maxout, moved, few_labels), took]
columns = ["distortion", "misread (%)", "ms an image"]
pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(3)

# %% [markdown]
# L-BFGS finds mistakes at less than two thirds of the distance that the best single step needs, and
# at a fifth of that of a step of .25; it takes some dozens of times as long. The step's strength is its
# price: one gradient, so cheap that training can afford it in every round. As a measure of
# robustness it is poor, because it only ever says that *this* step failed.


# %% [markdown]
# ## 12. False comfort
#
# The adversarially trained network withstands the step that it was trained on. Does it withstand an
# *adversary*? Someone who attacks in earnest takes more than one step: **projected gradient**,
# forty steps of $\epsilon / 12$ along the newest sign, each clipped back to within $\epsilon$ of
# the picture [2, 3].
#
# > **Before you run:** one step of .25 fools the adversarially trained maxout for few digits. And
# > forty small ones, in the same ball?

# %%
hard = models["maxout (adversarial)"]
sizes = [0, 0.05, 0.1, 0.15, 0.2, 0.25]
digits, truth = test_images[:250], test_labels[:250]

def forty(model, eps):
    return pgd(model, digits, truth, eps=eps, step=eps / 12, steps=40)

def one(model, eps):
    return fgsm(model, digits, truth, eps=eps)

# %%
columns = {"maxout, one step": (maxout, one), "maxout, forty steps": (maxout, forty),
           "adversarial, one step": (hard, one), "adversarial, forty steps": (hard, forty)}
errors = pd.DataFrame({
    name: [wrong(model, attack(model, eps), truth) for eps in sizes]
    for name, (model, attack) in columns.items()
}, sizes)

# %% mystnb={"image": {"alt": "Four lines of error over eps from 0 to .25. Plain maxout rises to 100 percent under one step and sooner under forty. Adversarially trained maxout stays low under one step; under forty small steps it rises steeply as well."}}
figures.curves({"error (%)": errors}, mark=0.25)
plt.show()

# %% [markdown]
# **Figure 9.** Error of maxout, plain and adversarially trained, on 250 test digits under one step
# and under forty, all within $\epsilon$ and inside $[0, 1]$.

# %% tags=["nbval-ignore-output"]
errors.round(1)

# %% [markdown]
# After forty steps nothing is left: both networks end at 100 % or next to it, and on the way the
# adversarially trained one is no better than the other. And look at the lowest curve: it misreads
# *fewer* digits at .25 than at .05. But whoever may move a pixel by .25 may also move it by .05: a
# robust network's error can only grow with $\epsilon$. A curve that falls says that the *attack*
# fails, not that the network holds.
#
# ### What went wrong
#
# This is **gradient masking** [4]: the network has not moved its borders away; it has bent its loss
# near the data so that the gradient there points nowhere useful. Training against one step rewards
# that [5]: to lower $\tilde J$ it is enough that *the one step fails*. Three tests that anybody can
# make:
#
# - *Start elsewhere.* A random point within $\epsilon$, then the one step.
# - *Be weaker.* Leave alone the frame of pixels that are dark in nearly every digit. Taking pixels
#   away from an attack should not make it stronger, unless they gave it away.
# - *Measure straightness*, as in section 4.
#
# > **Before you run:** for a network without tricks, should the second attack fool more digits than
# > the full step, or fewer?

# %%
frame = load_mnist("train")[0].mean(0) < 0.01
print(f"pixels in the frame: {frame.sum().item()} of 784")

def tests(model):
    lot = torch.Generator().manual_seed(0)
    step = fgsm(model, digits, truth, eps=0.25)
    attacks = [step, pgd(model, digits, truth, eps=0.25, step=0.25, steps=1, generator=lot),
               torch.where(frame, digits, step)]
    straightness, _ = straight(along(model, digits, sign_direction(model, digits, truth)))
    return [*(wrong(model, moved, truth) for moved in attacks), straightness]

# %% tags=["nbval-ignore-output"]
columns = ["the step", "random start, then the step", "the step without the frame", "straight"]
rows = {name: tests(models[name]) for name in ("maxout", "maxout (adversarial)")}
rows["small, adversarial"] = tests(study["adversarial training"][0])
pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(1)

# %% [markdown]
# *Errors, and the share of straight lines, in percent.* Plain maxout passes: the weaker attack
# fools fewer digits, or as many. The adversarially trained ones fail all three. The strangest is
# the second: the step does better when it *keeps off* the frame. There, where hardly a digit ever
# writes, the step leaves its signs for everyone to read. The weights of Figure 7 do read them, and
# part of the defence comes undone when they have nothing to read. The network defends itself not
# against perturbations but against *this* one.
#
# What to do? Train against the strong attack instead of the weak one: projected gradient at every
# step of training, forty times the price, is a defence that has held up well since [3]. And
# whatever the defence, attack it with something that it was not trained on before you believe it.

# %% [markdown]
# ## 13. Exercises
#
# As before: replace `...`, run the cell, then the one with `check`. `hint("worst-margin")` and
# `solution("worst-margin")` help.

# %%
from course_utils.exercises import check, hint, solution

# %% [markdown]
# **Exercise 1: the closed form for a linear model** (section 5). How bad can it get?

# %%
def worst_margin(x, y, w, b, eps):
    """The smallest margin y (w . (x + r) + b) that any r can leave, with every |r_i| <= eps.

    x: float (N, D); y: float (N,), the classes, +1 or -1; w: float (D,); b and eps: numbers, eps
    at least 0. There is no box here. Returns float (N,) of x's dtype, in closed form: below 0
    where some r changes the answer.
    """
    ...

# %%
check("worst-margin", worst_margin)

# %% [markdown]
# **Exercise 2: the regulariser's limit** (section 9). Derive what $\tilde J$ adds to $J$ when
# $\epsilon$ is small.

# %%
def regulariser(gradient, eps, alpha):
    """What adversarial training adds to the loss of each image, to first order in eps.

    For small eps, alpha J(x) + (1 - alpha) J(x + eps sign(grad_x J)) is J(x) plus this.
    gradient: float (N, ...), grad_x J of each image; eps: a small number above 0; alpha: a number
    in [0, 1]. Returns float (N,) of the gradient's dtype.
    """
    ...

# %%
check("regulariser", regulariser)

# %% [markdown]
# **Exercise 3: break it** (section 12). Write an attack of your own that gets past a network on
# which the fast gradient sign fails.

# %%
def break_it(model, images, labels, eps):
    """Images that the model misclassifies, no pixel further than eps from the originals.

    model: images (N, D) to logits (N, K), differentiable; images: float (N, D) in [0, 1]; labels:
    int64 (N,), the true classes; eps: float above 0. Returns float (N, D) in [0, 1]. The fast
    gradient sign, one step of size eps, hardly ever fools this model.
    """
    ...

# %%
check("break-it", break_it)

# %% [markdown]
# Then try it on the adversarially trained maxout. Before you have an answer the table shows the
# fast gradient sign alone.

# %% tags=["nbval-ignore-output"]
flat = digits.flatten(1)
yours = break_it(hard, flat, truth, 0.25)
tried = {"fast gradient sign": fgsm(hard, flat, truth, eps=0.25)}
tried |= {} if yours is None else {"yours": yours}
pd.DataFrame({"error (%)": {name: wrong(hard, x, truth) for name, x in tried.items()}}).round(1)

# %% [markdown]
# ## Summary
#
# - The **fast gradient sign** moves every pixel by $\epsilon$ along the sign of the loss's
#   gradient: one gradient, one step. On a picture of 150,528 values $\epsilon = .007$ takes a
#   network's confidence away; whether the label flips, and how surely, differs from picture to
#   picture. Random signs of the same size do nothing.
# - Networks on MNIST are **nearly linear** along that direction, and for a linear model the step is
#   exactly optimal: the margin falls by $\epsilon\|w\|_1$. Aligned signs beat random ones by a
#   factor that grows like $\sqrt n$ with the dimension. On the large classifier a straight line
#   holds for a short way only.
# - **RBF** networks are misled less by one step and admit that they do not know; forty steps
#   mislead them, too, and they classify worse to begin with.
# - **Adversarial training** makes the step that it trains on fail. At $\epsilon = .025$ it lowered
#   the clean error more than weight decay, dropout or noise did; at .25 it raised it.
# - **Against forty steps it did not help.** Low error under a weak attack can be gradient masking:
#   be suspicious when a larger $\epsilon$, a random start or a *weaker* attack changes the picture
#   the wrong way.
#
# **What comes next.** In adversarial training two sides improve against each other: one makes
# pictures that fool, the other learns not to be fooled. Lecture 5 turns the first side into a
# network of its own, which learns to make pictures from nothing.
#
# ## References
#
# 1. I. Goodfellow, J. Shlens, C. Szegedy, *Explaining and harnessing adversarial examples*, 2014,
#    [arXiv:1412.6572](https://arxiv.org/abs/1412.6572). The step, linearity, adversarial training
#    and RBF networks.
# 2. A. Kurakin, I. Goodfellow, S. Bengio, *Adversarial examples in the physical world*, 2016,
#    [arXiv:1607.02533](https://arxiv.org/abs/1607.02533): the step, iterated.
# 3. A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu, *Towards deep learning models resistant
#    to adversarial attacks*, 2017, [arXiv:1706.06083](https://arxiv.org/abs/1706.06083): projected
#    gradient, and training against it.
# 4. N. Papernot, P. McDaniel, I. Goodfellow, S. Jha, Z. B. Celik, A. Swami, *Practical black-box
#    attacks against machine learning*, 2016,
#    [arXiv:1602.02697](https://arxiv.org/abs/1602.02697): names gradient masking.
# 5. F. Tramèr, A. Kurakin, N. Papernot, I. Goodfellow, D. Boneh, P. McDaniel, *Ensemble adversarial
#    training: attacks and defenses*, 2017, [arXiv:1705.07204](https://arxiv.org/abs/1705.07204):
#    why training against one step masks gradients.
# 6. C. Szegedy, W. Zaremba, I. Sutskever, J. Bruna, D. Erhan, I. Goodfellow, R. Fergus,
#    *Intriguing properties of neural networks*, 2013,
#    [arXiv:1312.6199](https://arxiv.org/abs/1312.6199): Lecture 1's attack.
# 7. L. Nayak, *Advanced Machine Learning: Adversarial Examples*, the slides that this course
#    follows.
