# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lecture 3: Lipschitz bounds
#
# Lecture 1 *found* small perturbations. Can one also *prove* that there are none? Szegedy and
# others [1] looked at how much each layer of a network can amplify a change of its input. That is
# a number which can be computed from the weights alone, without any attack, and small numbers are
# a guarantee. In this lecture you compute it, for real networks, and see what it promises and what
# it does not.
#
# **After this lecture you can**
#
# - say what a *Lipschitz constant* is, and bound that of a fully connected layer, a convolution, an
#   activation and a pooling layer;
# - multiply them to a bound of the network, and turn it into a **certified radius**: a distance
#   within which no adversarial example exists;
# - measure how loose such a bound is;
# - judge by data what the slides say about small bounds, large bounds and penalties.
#
# **You need** Lecture 1, matrices, and a rough idea of what a Fourier transform does. The lecture
# runs in one or two minutes.
#
# **A word on units.** Bounds are about the length of a change, $\|r\|_2$. The other lectures speak
# of *distortion*, the root mean square per pixel. For MNIST's 784 pixels,
# $\|r\|_2 = 28 \times \text{distortion}$: here all distances are lengths, **28 times** as large.
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
from torch import nn

from course_utils import claims, figures, lipschitz, published
from course_utils.data import load_mnist
from course_utils.zoo import load_model, load_study

figures.use_style()

# %% [markdown]
# ## 1. Unstable, in numbers
#
# The slides: if a minor perturbation changes the output so much that it becomes wrong, the network
# is *not stable*. So look at the output. The logits $\varphi(x)$ are ten numbers; how far do they
# move, compared with the picture? We attack 200 test digits, and for each add noise of the same
# length as well.
#
# > **Before you run:** attack and noise move the picture equally far. How many times further does
# > the attack move the logits: twice? Ten times? A hundred times?

# %% tags=["claim", "claim:not-stable"]
from course_utils.attacks import lbfgs_attack
from course_utils.transfer import amplify, draw_targets

images, labels = (tensor[:200] for tensor in load_mnist("test"))
network = load_model("FC100-100-10").requires_grad_(False)
targets = draw_targets(labels, how="random", generator=torch.Generator().manual_seed(1))
found = lbfgs_attack(network, images, targets)
noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
noisy = images + amplify(0 * images, noise, 1) * found.distortion.view(-1, 1, 1, 1)
moved, shaken = ((network(x) - network(images)).norm(dim=1) for x in (found.images, noisy))
claims.check("not-stable", moved.median() / shaken.median())

# %% [markdown]
# Noise hardly reaches the output. Some directions are amplified, most are not. How strongly can a
# direction be amplified *at most*? For that there is an old notion.
#
# ## 2. Lipschitz continuity in one dimension
#
# A function is **Lipschitz continuous** if no line through two points of its graph is steeper than
# some number $K$:
#
# $$|f(x_1) - f(x_2)| \le K\,|x_1 - x_2| \qquad \text{for all } x_1, x_2 .$$
#
# $K$ is a **Lipschitz constant** of $f$; the smallest one is the best. Where $f$ has a slope, that
# is the largest absolute slope. Here is the sigmoid $1 / (1 + e^{-x})$, from our networks' hidden
# units. In a picture, the condition says: put a cone of slopes $\pm K$ on *any* point of the graph,
# and the graph stays inside.
#
# > **Before you run:** two values of $K$ are tried, 0.25 and 0.15. Which of them is a Lipschitz
# > constant of the sigmoid?

# %% mystnb={"image": {"alt": "Two panels with the same S-shaped curve and a grey cone on its middle point. With K = 0.25 the curve stays inside the cone; with K = 0.15 a long part of the curve leaves it and is drawn as a thick orange line."}}
def sigmoid(x):
    return 1 / (1 + np.exp(-x))

figures.cones(sigmoid, constants=[0.25, 0.15], points=[0])
plt.show()

# %% [markdown]
# **Figure 1.** The sigmoid, and the cone that $K$ allows at 0, its steepest point, where the slope
# is $\frac14$. With $K = 0.15$ it leaves the cone (thick, orange).

# %% tags=["claim", "claim:lipschitz-definition"]
points = np.random.RandomState(0).normal(0, 2, (100_000, 2))
slopes = np.abs(np.diff(sigmoid(points))) / np.abs(np.diff(points))
claims.check("lipschitz-definition", 100 * slopes.max() / 0.25)

# %% [markdown]
# Note the direction of the proof. A hundred thousand pairs show that $K$ is *at least* so large;
# that it is *at most* $\frac14$ no sample can show. That took calculus: $\sigma' = \sigma (1 -
# \sigma) \le \frac14$. Attacks are samples, too. This lecture is about the other side.
#
# ## 3. A fully connected layer
#
# With vectors, lengths take the place of absolute values. A layer $\varphi(x) = Wx + b$ moves by
# $\varphi(x + r) - \varphi(x) = W r$, wherever $x$ is. So its smallest Lipschitz constant is the
# largest factor by which $W$ makes a vector longer, the **operator norm**
#
# $$\|W\| = \max_{r \ne 0} \frac{\|W r\|_2}{\|r\|_2} = \sigma_1 ,$$
#
# the largest **singular value**. The singular value decomposition gives the whole story: orthogonal
# input patterns $v_1, v_2, \dots$, and how many times each is amplified,
# $\sigma_1 \ge \sigma_2 \ge \dots$
#
# > **Before you run:** the first layer of FC100-100-10 takes 784 pixels to 100 units. What will the
# > pattern that it amplifies most look like: speckle, strokes, or a blob?

# %% mystnb={"image": {"alt": "Eight grey pictures of 28 by 28 pixels, each with its singular value beneath. The first ones are bright and dark blobs with some grain, the last ones fine speckle, all confined to the middle of the picture, where digits are; the border is plain grey."}}
first = network[1]
values, patterns = torch.linalg.svd(first.weight, full_matrices=False)[1:]
which = [0, 1, 2, 3, 4, 20, 60, 99]
shown = 5 * patterns[which].view(-1, 1, 28, 28)
figures.digits([shown], titles=[[f"{values[i]:.2f}" for i in which]], signed=[0])
plt.show()

# %% [markdown]
# **Figure 2.** Patterns that the first layer amplifies, and how many times: the first five, and
# those of rank 21, 61 and 100. What is amplified most is coarse, blobs and broad strokes; fine
# speckle hardly gets through. Nothing reaches the border, where training saw only black.

# %%
bounds = lipschitz.operator_norm(first)
print(f"by numpy's SVD: {np.linalg.norm(first.weight.numpy(), 2):.4f}")
print(f"attained: {bounds.lower:.4f}, proved: {bounds.upper:.4f}")

# %% [markdown]
# The course's `operator_norm` gives **two** numbers: one that an input attains, and one that is
# proved not to be exceeded, rounding included [2]. Now for *each* layer $k$ the slides' statement
# $\|\varphi_k(x) - \varphi_k(x + r)\| \le L_k \|r\|$. We do our best to break it: the pattern that
# attains the norm, through each linear layer, and steps around zero, through each sigmoid.
#
# > **Before you run:** the number below is the largest growth that we see, in percent of $L_k$. If
# > the statement is true it is at most 100. How near will it come?

# %% tags=["claim", "claim:layer-lipschitz"]
table = lipschitz.layer_bounds(network, (1, 28, 28))
growth = []
for name, bound in table["upper"].items():
    layer = network[int(name)].double()
    if isinstance(layer, nn.Linear):
        x, r = torch.zeros(layer.in_features).double(), lipschitz.operator_norm(layer).attained_at
    else:
        x, r = torch.zeros(100).double(), torch.full((100,), 0.01).double()
    growth.append((layer(x + r) - layer(x)).norm() / r.norm() / bound)
network = network.float()
claims.check("layer-lipschitz", 100 * max(growth))

# %% [markdown]
# ## 4. A convolution
#
# A convolution is linear, so it *is* a matrix. But that of AlexNet's second layer would have
# $69{,}984$ columns and $186{,}624$ rows. What helps: a convolution treats all places alike. Take
# one dimension, and let the ends meet in a circle. Then every row of the matrix is the row above,
# shifted by one, and **waves** come out as waves of the same frequency, only scaled, by the
# kernel's **Fourier transform**. Waves of different frequency are orthogonal, so nothing can be
# amplified more than the best wave:
#
# $$\|W\| = \max_\xi |\hat w(\xi)| .$$

# %%
kernel = np.array([-0.5, 1.0, -0.4])
matrix = np.stack([np.roll(np.r_[kernel, np.zeros(29)], shift) for shift in range(32)])
print("singular values:", np.linalg.svd(matrix)[1][:5].round(4))
print("|Fourier|:      ", np.sort(abs(np.fft.fft(kernel, 32)))[::-1][:5].round(4))

# %% [markdown]
# The SVD of a $32 \times 32$ matrix, and a Fourier transform of three numbers: the same values.
# (All but two come in pairs, a wave and its shift.)
#
# **With channels**, $\hat w(\xi)$ is a small matrix, (channels out) x (channels in), for each
# frequency, and the norm of the layer is the largest norm of these.
#
# **With a stride** $s$, only every $s$-th output is kept. Then waves that differ only *between* the
# kept outputs can no longer be told apart: they are **aliases**, as the wagon wheel that seems to
# turn backwards in a film. Put together in the right mixture they can add up. So the paper's matrix
# $A(\xi)$ stacks the transforms at all $s^2$ aliases of a frequency side by side.
#
# **At the border** the layers of real networks see zeros in place of a circle. A picture with
# zeros around it is a special case of a picture on a larger circle, so the circle's norm is still
# an upper bound, and on large pictures nearly exact [3].
#
# Two first layers: AlexNet's of 2012, with weights as before the training (11 x 11 pixels, stride
# 4), and a *trained* one, of EfficientNet-Lite0 (3 x 3, stride 2), a network of 2020.
#
# > **Before you run:** one of these was drawn at random and one has learnt to see. Which of the two
# > pictures will have structure, and where: at low frequencies or at high ones?

# %%
from course_utils.imagenet import alexnet_2012, imagenet_classifier

alexnet = alexnet_2012(seed=0)
lite0 = imagenet_classifier("efficientnet_lite0")
stem = nn.Conv2d(3, 32, 3, stride=2, bias=False)
stem.weight = lite0[1]._conv_stem.weight
layers = {
    "AlexNet, conv1, untrained": (alexnet.conv1, (3, 227, 227)),
    "EfficientNet-Lite0, stem, trained": (stem, (3, 225, 225)),  # 224, and a row of zeros
}

# %% mystnb={"image": {"alt": "Two grey maps of the largest singular value over frequency, zero in the middle. The untrained layer's is nearly even, with faint ripples; the trained one's is bright in the middle and darkens outwards, more so to the right and left. A hollow orange circle marks the largest value of each."}}
norms = {name: lipschitz.frequency_norms(*layer) for name, layer in layers.items()}
figures.frequency_maps(norms)
plt.show()

# %% [markdown]
# **Figure 3.** The largest singular value of $A(\xi)$ over all frequencies, 0 in the middle: how
# much each wave can be amplified at most. The circle marks the largest, which is the layer's
# bound. Random weights treat all frequencies nearly alike; training has made a choice, and it seems
# to be low frequencies. Does it?
#
# ### Which pattern is it?
#
# Choose a layer and a frequency: on the right is the input that the layer amplifies most at that
# frequency, its colours included. (This needs a running notebook. If you are only reading, Figure 4
# stands in for it.)
#
# > **Before you drag:** which colour will the most amplified pattern of the trained layer have?

# %%
from course_utils.widgets import frequency_explorer, twin

explorer = frequency_explorer(layers)
explorer

# %% mystnb={"image": {"alt": "Four states of the explorer for AlexNet's untrained first layer, at frequencies from -28 to 28 to the right: a nearly even grey map of norms with an orange mark that moves to the right, and beside it a fine weave in mixed colours, whose direction turns with the mark. All are amplified .45 to .48 times."}}
twin(explorer, layer=len(layers), right=7)

# %% [markdown]
# **Figure 4.** The explorer for both layers, drawn beforehand: the norms with the chosen frequency
# in orange, and the pattern. Downwards the frequency is the one that is amplified most. On the
# course's site it has controls of its own; here and on paper it shows the first layer.
#
# The same for a smaller picture, of 33 x 33 pixels, in which single pixels are to be seen:

# %% mystnb={"image": {"alt": "Four small pictures of waves. The untrained layer's is an irregular weave of vertical bands in mixed colours. The trained layer's at frequency 0 alternates green and purple from one row of pixels to the next; the other two are such fine stripes with a slow wave across, less amplified."}}
pictures, titles, beneath = [], [], []
for title, layer, frequency in [("AlexNet", alexnet.conv1, (0, 3)), ("Lite0", stem, (0, 0)),
                                ("Lite0", stem, (0, 4)), ("Lite0", stem, (8, 8))]:
    grid = lipschitz.frequency_norms(layer, (3, 33, 33))
    pictures.append(lipschitz.amplified_pattern(layer, (3, 33, 33), frequency))
    titles.append(f"{title}, frequency {frequency}")
    beneath.append(f"{grid[frequency]:.2f} times")
figures.patterns(pictures, titles=titles, beneath=beneath)
plt.show()

# %% [markdown]
# **Figure 5.** What is amplified most, and how many times. The
# second is the very best of the trained layer: its frequency is 0, but look at it. It changes from
# green to purple *with each row*, the finest stripes there are. With a stride of 2 they are an
# **alias** of frequency 0: the layer looks at every other row, and there they stand still. An
# average over frequencies without the aliases would have missed it.
#
# ## 5. Activations and pooling
#
# - **ReLU**: slopes 0 and 1, so $L = 1$. **Sigmoid**: $L = \frac14$.
# - **Average pooling** is linear: treat it as a convolution.
# - **Max pooling**: two maxima over the same window differ by at most the largest difference in
#   it. The paper concludes that max pooling is *contractive*, $L = 1$. That is so if no pixel lies
#   in two windows. But AlexNet's windows of 3 x 3, every 2 pixels, overlap.
#
# > **Before you run:** a black picture, and one with a single bright pixel at a corner of four
# > windows. How much longer is the difference after pooling?

# %%
pool = nn.MaxPool2d(3, stride=2)
dot = torch.zeros(1, 1, 7, 7)
dot[0, 0, 2, 2] = 1
print("growth:", (pool(dot).norm() / dot.norm()).item())
lipschitz.layer_bounds(pool, (1, 7, 7))[["layer", "size", "stride", "upper"]]

# %% [markdown]
# Twice: the bright pixel is the maximum of four windows, and $\sqrt 4 = 2$. So in AlexNet each of
# the three pooling layers has $L = 2$, not 1, and the paper's product would have to be multiplied
# by 8. (Its *response normalisation* has a bound a little above 1, too.)
#
# ## 6. The product, and how loose it is
#
# Layer by layer, a change is amplified at most $L_1$ times, then at most $L_2$ times, and so on.
# For the whole network
#
# $$\|\varphi(x) - \varphi(x + r)\| \le L\,\|r\| \qquad\text{with}\qquad L = \prod_{k=1}^K L_k .$$

# %%
table.round(3)

# %% [markdown]
# > **Before you run:** the product of the last column is the bound of the network. Then we look at
# > the growth that really happens, at the largest singular value of the network's **Jacobian**,
# > its matrix of slopes at one picture: at 200 digits, and at the 200 adversarial pictures of
# > section 1. What percentage of the bound will the largest be?

# %%
def steepest(model, points):
    """The largest norm of the model's Jacobian seen at any of the points."""
    slopes = torch.func.vmap(torch.func.jacrev(lambda x: model(x[None])[0]))(points)
    return torch.linalg.matrix_norm(slopes.flatten(2), 2).max().item()

bound = lipschitz.network_bound(network, (1, 28, 28))
seen = max(steepest(network, images), steepest(network, found.images))
print(f"product: {bound:.1f}, steepest slope seen: {seen:.1f}, "
      f"largest growth under the attack: {(moved / (28 * found.distortion)).max():.1f}")

# %% tags=["claim", "claim:network-product"]
claims.check("network-product", 100 * seen / bound)

# %% [markdown]
# Every factor is exact, and yet the product is several times too large, for two reasons. The
# pattern that one layer amplifies most does not come out as the pattern that the *next* one
# amplifies most. And a sigmoid reaches its slope of $\frac14$ only at 0: to have the bound, all 200
# hidden units would have to sit there at once.
#
# ## 7. AlexNet's table
#
# The slides print the paper's bounds for AlexNet, **trained** on ImageNet; the authors' weights
# were never published. What can be computed anywhere are the same eight layers **before
# training**, with the first weights of the paper of 2012. torchvision's network of that name is
# *another one* (64, 192, 384, 256, 256 channels, no groups), with other first weights; it stands
# in a column of its own. Its layers have the same names here, not the same sizes.
#
# > **Before you run:** does training make the bounds larger or smaller?

# %%
from course_utils.vision import import_torchvision

def in_a_row(net):
    """torchvision's AlexNet as a sequence of layers."""
    return nn.Sequential(net.features, net.avgpool, nn.Flatten(), net.classifier)

def eight_layers(model, shape):
    """Table of the bounds of the model's five convolutions and three fully connected layers."""
    table = lipschitz.layer_bounds(model, shape)
    return table[table["layer"].isin(["Conv2d", "Linear"])].set_axis(paper.index)

# %%
paper = published.alexnet_bounds()
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)
    other = in_a_row(import_torchvision().models.alexnet(weights=None).eval())
ours, variant = eight_layers(alexnet, (3, 227, 227)), eight_layers(other, (3, 224, 224))
bounds = ours[["size", "stride"]].copy()
bounds["paper, trained"] = paper["bound"]
bounds["2012, untrained"] = ours["upper"]
bounds["torchvision's, untrained"] = variant["upper"]
bounds.loc["product"] = ["", "", *bounds.iloc[:, 2:].prod()]
bounds.round(2)

# %%
gap = ((ours["upper"] - ours["lower"]) / ours["lower"]).max()
print(f"largest gap between what is proved and what is attained: {100 * gap:.1f} %")

# %% tags=["claim", "claim:alexnet-bounds"]
ratio = np.exp(np.log(ours["upper"] / paper["bound"]).mean())
claims.check("alexnet-bounds", ratio, detail="weights before training, the paper's after it")

# %% [markdown]
# *As expected* means: we knew that this comparison cannot come out even. The paper's are bounds of
# trained weights; ours are the bounds that the training started from. Each of the eight has grown,
# some more than tenfold. If that is what training does, any trained network should show it.
#
# **Trained weights of AlexNet** exist in two places on the internet: a compressed file of 9 MB for
# the network of 2012 [4], and torchvision's own weights, 233 MB. The next cell uses the first if it
# can be had, and the second if you set `large = True`; otherwise it says so.

# %% tags=["nbval-ignore-output"]
from course_utils.sources import DataUnavailable

large = False
wanted = {227: lambda: alexnet_2012(weights="deep-compression")}
if large:
    wanted[224] = lambda: in_a_row(imagenet_classifier("alexnet")[1])
for side, get in wanted.items():
    try:
        print(eight_layers(get(), (3, side, side))["upper"].round(2))
    except (DataUnavailable, ValueError) as error:
        print(f"trained weights not to be had on this machine ({type(error).__name__})")

# %% [markdown]
# ### A network that did learn
#
# EfficientNet-Lite0's trained weights come with the course: 49 convolutions and one fully connected
# layer. After each convolution comes a *batch normalisation*, which only scales the channels, so we
# fold it into the convolution. First we note what each layer meets when a picture passes.
#
# > **Before you run:** AlexNet's eight trained bounds multiply to about 800,000. And these fifty?

# %%
from torch.nn.utils.fusion import fuse_conv_bn_weights

met = []
for name, layer in lite0[1].named_modules():
    if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
        layer.register_forward_hook(lambda l, x, y, name=name: met.append((name, l, x[0])))
with torch.no_grad():
    lite0(torch.zeros(1, 3, 224, 224))

# %%
def folded(layer, norm):
    """The convolution and its batch normalisation as one convolution, without padding."""
    new = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride,
                    groups=layer.groups, bias=False)
    new.weight = fuse_conv_bn_weights(layer.weight, None, norm.running_mean, norm.running_var,
                                      norm.eps, norm.weight, norm.bias)[0]
    return new

plain = {name: (folded(layer, norm), tuple(layer.static_padding(x).shape[1:]))
         for (name, layer, x), (_, norm, _) in zip(met[:-1:2], met[1::2])}
plain["_fc"] = (met[-1][1], (1280,))

# %% [markdown]
# A convolution of one pixel does the same at every pixel, so its norm is that on a picture of a
# single pixel. For the larger ones we take the largest value over frequencies, as in Figure 3; on
# the padded picture, since zeros around it make no vector longer.

# %%
def upper(layer, shape):
    if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
        return lipschitz.frequency_norms(layer, shape).max().item()
    one_pixel = (shape[0], 1, 1)[: len(shape)]
    return lipschitz.layer_bounds(layer, one_pixel)["upper"].item()

trained_bounds = pd.Series({name: upper(*layer) for name, layer in plain.items()})
print(f"{len(trained_bounds)} layers, from {trained_bounds.min():.2f} "
      f"to {trained_bounds.max():.2f}, product 10^{np.log10(trained_bounds).sum():.1f}")
trained_bounds.iloc[[0, 1, 2, 3, -2, -1]].round(2).to_frame("bound")

# %% mystnb={"image": {"alt": "Two panels of hollow markers on a logarithmic axis of bounds. Left, AlexNet's eight layers: the paper's trained bounds lie between 2.75 and 11, the untrained ones of both networks all lie to their left. Right, a histogram of EfficientNet-Lite0's fifty trained bounds: a group near 1 and a larger one from 5 to 54."}}
figures.trained_bounds(bounds.drop(columns=["size", "stride"]).drop("product"), trained_bounds,
                       title="EfficientNet-Lite0, trained")
plt.show()

# %% [markdown]
# **Figure 6.** Left: AlexNet's eight layers. Right: how many of EfficientNet-Lite0's fifty trained
# layers have which bound. A third of them hardly amplify (most of those that widen a block), the
# others five to fifty times. Factors like the paper's, then, or larger; and fifty of them multiply
# to a number that promises nothing to anybody. (The
# blocks' *shortcuts* would add a little more: a block with one has a bound of 1 plus its own
# product.)
#
# ## 8. The sandwich
#
# What is a bound good for? The largest logit leads the second by the **margin**. A change $r$ moves
# the difference of two logits by at most $\sqrt2\,L\,\|r\|$, so as long as
#
# $$\|r\| < \frac{\text{margin}}{\sqrt2\, L}$$
#
# the class *cannot* change, whatever $r$ is. This is the **certified radius** of the picture [5].
# On the other side stands the attack: the smallest perturbation that it finds, towards whichever
# class is easiest, is one that *does* change the class. The true distance to the border lies
# between the two. For 200 test digits and six networks we compute both. In between we put a guess,
# which is **no** certificate: the same formula with the steepest slope *seen* in place of $L$.
#
# Besides the deck's networks there are two of 100 and 100 *rectified* units (ReLU). One of them was
# trained with a penalty on its bounds, of which more in section 10.
#
# > **Before you run:** the certificate knows nothing of attacks, nor the attack of certificates.
# > How far apart will they be for a linear network? For one with two hidden layers?

# %%
from course_utils.transfer import easiest_targets

names = ["FC10(1e-4)", "FC100-100-10", "FC200-200-10", "AE400-10"]
models = {name: load_model(name) for name in names}
models["rectifiers"] = load_study("none")[0]
models["rectifiers, penalised"] = load_study("Lipschitz penalty")[0]

def nearest(model, images):
    """The length of the smallest perturbation that the attack finds, towards any other class."""
    answers = model(images).argmax(1)
    found = easiest_targets(lbfgs_attack, model, images, answers)[1]
    return torch.where(found.success, 28 * found.distortion, torch.inf)

# %%
radii, product = {}, {}
for name, model in models.items():
    model.requires_grad_(False)
    product[name] = lipschitz.network_bound(model, (1, 28, 28))
    radii[name] = {
        "certified": lipschitz.certified_radius(model, images, bound=product[name]),
        "guess": lipschitz.certified_radius(model, images, bound=steepest(model, images)),
        "attack": nearest(model, images),
    }
medians = pd.DataFrame({n: {k: v.median().item() for k, v in r.items()} for n, r in radii.items()})
medians.T.assign(bound=product).round(3)

# %% mystnb={"image": {"alt": "Six rows, one for each network, on a logarithmic axis of distance. In each, 200 strokes and a marker for the certified radius at the left, the guess between, and the attack at the right. For the linear network the three nearly touch; for the others certificate and attack lie about a factor of ten apart, and less for the penalised network."}}
figures.distances_by_network(radii)
plt.show()

# %% [markdown]
# **Figure 7.** For 200 test digits: certified radius (left), the guess from the steepest slope seen
# (middle), and the smallest perturbation that the attack finds (right); markers are medians. No
# adversarial example exists to the left of a picture's first stroke, and one is known at its last.
# Lengths below; the axis above is distortion, 28 times smaller.

# %% tags=["claim", "claim:small-bounds-guarantee"]
inside = [100 * (r["attack"] < r["certified"]).double().mean().item() for r in radii.values()]
claims.check("small-bounds-guarantee", max(inside), detail="six networks, 200 digits each")

# %% [markdown]
# Not one of 1,200 attacks, each of them the best of nine, lands inside a certificate. It could not:
# the certificate is a theorem. (If one had, the *code* would be wrong.)
#
# > **Before you run:** now divide, picture by picture: how many times longer is the attack's
# > perturbation than the certificate? And how much of that is due to the product being loose?

# %%
looseness = pd.DataFrame({
    "attack / certified": {n: (r["attack"] / r["certified"]).median() for n, r in radii.items()},
    "attack / guess": {n: (r["attack"] / r["guess"]).median() for n, r in radii.items()},
    "bound / steepest seen": {n: (r["guess"] / r["certified"])[0] for n, r in radii.items()},
}).astype(float)
looseness.round(2)

# %% [markdown]
# For the linear network the bound is its true slope; what remains, a factor below 2, is that the
# steepest direction is not the direction of the border, and the factor $\sqrt2$. With hidden layers
# the product alone loses a factor of several, and the rest goes because the steepest place seen is
# seldom the place where the picture is.
#
# A certificate of FC100-100-10 reaches to about a tenth of the distance of the attack; of the
# penalised network, whose product is nearly its steepest slope, to two fifths. It is a promise, and
# one that no attack, however clever, will ever break.
#
# ## 9. Large bounds don't condemn
#
# The slides' second property: a large bound does not mean that there *are* adversarial examples.
# The proof is a network. Multiply the weights and the bias of one rectified unit by 1024, and what
# the next layer takes from it by $1/1024$. Since $\max(0, 1024\,t) = 1024 \max(0, t)$, nothing
# changes; with a power of two not even the rounding.
#
# > **Before you run:** will the bound change? And the attack?

# %%
import copy

twin = copy.deepcopy(models["rectifiers"])
first, second = (layer for layer in twin if isinstance(layer, nn.Linear) and len(layer.bias) == 100)
first.weight[0] *= 1024
first.bias[0] *= 1024
second.weight[:, 0] /= 1024
same = torch.equal(twin(images), models["rectifiers"](images))
print("the logits of 200 digits are the same numbers:", same)

# %% tags=["claim", "claim:large-bounds-do-not-condemn"]
blown_up = lipschitz.network_bound(twin, (1, 28, 28))
claims.check("large-bounds-do-not-condemn", blown_up / product["rectifiers"] * same)

# %% [markdown]
# The same function, the same adversarial examples at the same distances, and a bound hundreds of
# times as large. Nor is there a limit: take $2^{100}$. The bound belongs to the *weights*, not to
# the function, and of all the weights that give this function it pays to take those with a small
# product.
#
# ## 10. Penalise the bounds
#
# The slides: small bounds are a guarantee, so penalise them in the training, which "might help
# improve the generalisation error". The penalty is half the sum of the layers' $\|W_k\|^2$ [6],
# times 0.004. Each $\|W_k\|$ is followed by *power iteration*, one step a batch:
# multiplying a vector by $W^\top W$ again and again turns it into the pattern that is amplified
# most.
#
# Five networks 784-100-100-10 with rectifiers were trained without the penalty, five with it, and
# five with plain weight decay for comparison. The three of a kind share their first weights and
# the order of the digits. (We chose 0.004 among 0.0003, 0.001, 0.002 and 0.004, for the smallest
# error on 10,000 *training* digits that were held out, with other seeds; the errors hardly
# differed. The test set took no part in that.)
#
# > **Before you run:** predict the signs. With the penalty: is the test error lower? The gap
# > between test and training error? The product? The certified accuracy at a radius of 0.3? And
# > how far does the attack have to go?

# %%
from course_utils.training import error_rate

study = {kind: load_study(kind) for kind in ("none", "weight decay", "Lipschitz penalty")}
train, test = load_mnist("train"), load_mnist("test")

def measure(model):
    """What the table says of one network."""
    error, seen = error_rate(model, *test), error_rate(model, *train)
    aims = draw_targets(labels, how="runner-up", model=model, images=images)
    length = 28 * lbfgs_attack(model, images, aims).distortion.mean().item()
    return {"test error": error, "test - train": error - seen, "attack": length,
            "product": lipschitz.network_bound(model.requires_grad_(False), (1, 28, 28))}

# %%
rows = {(kind, seed): measure(model) for kind, models in study.items()
        for seed, model in enumerate(models)}
each = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["trained with", "seed"])
each.groupby(level=0, sort=False).agg(["mean", "std"]).round(2)

# %% [markdown]
# Errors in percent; *attack* is the mean length of its perturbation, towards the runner-up class,
# over 200 test digits.

# %%
print("test error without the penalty less with it, seed by seed:")
gain = each.loc["none", "test error"] - each.loc["Lipschitz penalty", "test error"]
print(gain.round(2).tolist(), f"mean {gain.mean():.2f}")

# %% tags=["claim", "claim:penalty-generalises"]
claims.check("penalty-generalises", gain.mean(), detail="mean of five pairs")

# %% mystnb={"image": {"alt": "Three falling curves of certified accuracy over the radius, each with five thin lines for the seeds. Without a penalty the curve falls to zero first, with weight decay a little later, and with the Lipschitz penalty it stays high several times further."}}
def certified(model, bound, radii):
    """The percentage of 1,000 test digits that are right, and certified to each radius."""
    digits, answers = test[0][:1000], test[1][:1000]
    right = model(digits).argmax(1) == answers
    reach = lipschitz.certified_radius(model, digits, bound=bound).where(right, -1)
    return 100 * (reach[:, None] >= radii).double().mean(0)

steps = torch.linspace(0, 1, 51)
curves = {kind: torch.stack([certified(*pair, steps) for pair in zip(study[kind], bounds)])
          for kind, bounds in each["product"].groupby(level=0, sort=False)}
figures.certified_curves(steps, curves)
plt.show()

# %% [markdown]
# **Figure 8.** Certified accuracy: the percentage of 1,000 test digits that are classified
# correctly and certified at least to this radius. Thin lines are the five networks of a kind.

# %%
at = pd.DataFrame({kind: curve[:, 15] for kind, curve in curves.items()})
print(f"certified accuracy at a radius of {steps[15]:.1f}, in percent:")
at.agg(["mean", "std"]).round(1)

# %% [markdown]
# What comes out: the penalty does what it says. The product falls six-fold, and at a radius of 0.3
# the certificates go from nothing to well over half of the digits, at no loss of accuracy. But:
#
# - **Generalisation.** The gain in test error is 0.05 points, five pictures in 10,000, and no more
#   than another seed would change. We ask for 0.1 before we call it help, so the verdict above is
#   no. (The gap to the training error shrinks a little more, because the *training* error rises.)
# - **Robustness.** The attack has to go only about a third further. Weight decay, with a product
#   three times as large and next to no certificates at 0.3, does as well or better. For the larger
#   part the penalty has made the *bound* tighter, not the network more robust. Both are worth
#   having; they are not the same.
#
# ## 11. Bounds don't explain transfer
#
# The slides' last property. In Lecture 2, pictures made for one network fooled others. Is it the
# networks with large bounds that are fooled by foreign pictures? Here are Lecture 2's six networks
# and its 30 transfer rates, from the same thousand digits and targets.
#
# > **Before you run:** if the bound told how easily a network is fooled by foreign pictures, the
# > rank correlation would be near 1. Which of the six has the smallest bound, and was it hard to
# > fool?

# %%
names = list(published.szegedy_models().index)
six = {name: load_model(name).requires_grad_(False) for name in names}
originals, truth = train[0][:1000], train[1][:1000]
aims = draw_targets(truth, how="random", generator=torch.Generator().manual_seed(1))
made = {name: lbfgs_attack(model, originals, aims).images for name, model in six.items()}
had = {name: model(originals).argmax(1) == truth for name, model in six.items()}
rates = pd.DataFrame({
    name: {row: 100 * (model(x).argmax(1) != truth)[had[name]].double().mean().item()
           for row, x in made.items()} for name, model in six.items()})
six_bounds = pd.Series({n: lipschitz.network_bound(m, (1, 28, 28)) for n, m in six.items()})

# %% mystnb={"image": {"alt": "A scatter plot of transfer rate over the bound of the network that the pictures are shown to, on a logarithmic axis, with six columns of five markers. High and low rates are found in every column; there is no trend."}}
figures.transfer_scatter({"": rates}, six_bounds, log=True,
                         xlabel="bound of the network shown to")
plt.show()

# %% [markdown]
# **Figure 9.** Transfer rate, the percentage fooled among the digits that a network had right,
# against that network's bound; a point for each of the 30 ordered pairs.

# %% tags=["claim", "claim:bounds-do-not-explain-transfer"]
from scipy.stats import spearmanr

beside = ~np.eye(6, dtype=bool)
to = np.tile(six_bounds.to_numpy(), (6, 1))
claims.check("bounds-do-not-explain-transfer", spearmanr(to[beside], rates.to_numpy()[beside])[0])

# %%
source = to.T[beside]
print(f"with the bound of the network they were made for: "
      f"{spearmanr(source, rates.to_numpy()[beside])[0]:.1f}")

# %% [markdown]
# No relation with the bound of the network that is shown the pictures. With that of the network
# they were made *for* there is one, and it is negative: small bounds make *strong* pictures.
# Lecture 2 has the reason: a network with a small bound needs a large push, and a large push fools
# others. That is about size again. Why a push for one network points in a bad direction for
# *another*, no bound can say: it is a number about one network, and has no direction.
#
# Six networks are few; don't read too much into either number.
#
# ## 12. Exercises
#
# As before: replace `...`, run the cell, then the one with `check`; `hint("circular-norm")` and
# `solution("circular-norm")` help.

# %%
from course_utils.exercises import check, hint, solution

# %% [markdown]
# **Exercise 1: the norm of a circular convolution** (section 4), in one dimension.

# %%
def circular_norm(kernel, n):
    """The largest factor by which a circular convolution makes a signal of n numbers longer.

    kernel: float64 (taps,), with at most n taps; the output at i is the sum over t of
    kernel[t] * signal[(i - t) % n]. n: int, 1 or more. Returns a float64 tensor without
    dimensions, and makes no n x n matrix.
    """
    ...

# %%
check("circular-norm", circular_norm)

# %% [markdown]
# **Exercise 2: tighten a bound** (section 6). The product forgets that nothing stands between two
# linear layers, and that a scale may be moved from one layer to the next.

# %%
def tighter_bound(first, second):
    """A Lipschitz constant of x -> second @ relu(first @ x), often below the norms' product.

    first: float64 (hidden, inputs), second: float64 (outputs, hidden). Each hidden unit's weights
    may be divided by a number above 0 if what leaves it is multiplied by the same number: the
    function stays as it is, the product of the norms does not. Choose them so that the product is
    much smaller where the units have very different sizes. Returns a float64 tensor without
    dimensions, and never less than the function's true Lipschitz constant.
    """
    ...

# %%
check("tighter-bound", tighter_bound)

# %% [markdown]
# **Exercise 3: the certified radius** (section 8), as a distortion.

# %%
def certified_distortion(logits, bound, pixels):
    """The distortion up to which each picture's class cannot change.

    logits: float (N, K), K at least 2; bound: float above 0, |f(x) - f(y)| <= bound |x - y| for
    the logits, lengths being L2; pixels: int, of a picture. Returns float (N,) of the logits'
    dtype: root mean square per pixel.
    """
    ...

# %%
check("certified-distortion", certified_distortion)

# %% [markdown]
# ## Summary
#
# - A **Lipschitz constant** bounds how far an output can move when the input moves. For a linear
#   layer it is the largest singular value; for a convolution the largest over all frequencies, with
#   a stride's aliases stacked.
# - The **product** over the layers bounds the network. Each factor can be exact; the product is
#   loose all the same: several times for networks of three layers, astronomically for deep ones.
# - **Small bounds guarantee**: within margin $/ (\sqrt2 L)$ there is no adversarial example. No
#   attack landed there.
# - **Large bounds do not condemn**: the same function can have any bound above its own.
# - **Penalising** the bounds makes certificates reach much further, at the same accuracy. We saw
#   no effect on the test error that stands out from the seeds, and not much on the attack.
# - They **do not explain transfer**.
#
# **What comes next.** The bound is a worst case that no picture meets. Lecture 4 goes to the other
# end: a single step along the sign of the gradient, and the claim that networks are fooled because
# they are *too linear*.
#
# ## References
#
# 1. C. Szegedy, W. Zaremba, I. Sutskever, J. Bruna, D. Erhan, I. Goodfellow, R. Fergus,
#    *Intriguing properties of neural networks*, 2013,
#    [arXiv:1312.6199](https://arxiv.org/abs/1312.6199). Section 4.3 has the bounds of each layer.
# 2. S. M. Rump, *Verification of positive definiteness*, BIT Numerical Mathematics 46, 2006: the
#    proof in floating point.
# 3. H. Sedghi, V. Gupta, P. M. Long, *The singular values of convolutional layers*, 2019,
#    [arXiv:1805.10408](https://arxiv.org/abs/1805.10408).
# 4. S. Han, H. Mao, W. J. Dally, *Deep compression*, 2015,
#    [arXiv:1510.00149](https://arxiv.org/abs/1510.00149); A. Krizhevsky, I. Sutskever, G. E.
#    Hinton, *ImageNet classification with deep convolutional neural networks*, 2012.
# 5. Y. Tsuzuku, I. Sato, M. Sugiyama, *Lipschitz-margin training*, 2018,
#    [arXiv:1802.04034](https://arxiv.org/abs/1802.04034).
# 6. Y. Yoshida, T. Miyato, *Spectral norm regularization for improving the generalizability of deep
#    learning*, 2017, [arXiv:1705.10941](https://arxiv.org/abs/1705.10941).
# 7. L. Nayak, *Advanced Machine Learning: Adversarial Examples*, the slides that this course
#    follows.