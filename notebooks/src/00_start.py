# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Start here
#
# This notebook takes ten minutes. It shows you how to run a cell, sees whether your machine has
# what the lectures need, says how long each of them takes *here*, and helps you to choose a path
# through them. If you know Jupyter: Run > Run All Cells, then read on at section 2.
#
# **Are you reading this on a web page?** Then nothing can be run, and what stands under the cells
# comes from the machine on which the course was made. Section 5 has the paths all the same.
#
# ## 1. Run a cell
#
# A **notebook** is made of cells. Some, like this one, hold text. The grey ones hold Python. To run
# a cell, click into it and press **Shift + Enter**: what it prints appears beneath it, and the next
# cell is chosen. So you can go through a whole lecture by pressing Shift + Enter.
#
# The first cell of every lecture does nothing unless you are on Colab. Run it now.

# %%
# On Colab, install the course first; everywhere else this cell does nothing.
import sys
if "google.colab" in sys.modules:
    raise SystemExit("First, in a cell above: %pip install git+ADDRESS")

# %% [markdown]
# The number in brackets at its left says that it ran, and as which. While a cell is at work there
# is a star instead, `[*]`. Now one that prints something. (MNIST is a collection of 70,000
# handwritten digits, small grey pictures; most of this course is about them.)

# %%
picture = 28 * 28
print("A digit of MNIST has", picture, "pixels.")

# %% [markdown]
# Change it: write `224 * 224` for `28 * 28`, and press Shift + Enter again. You cannot break
# anything. Three things are good to know:
#
# - **Cells remember.** `picture` is known to all cells that you run from now on. So run cells from
#   top to bottom; a cell that says `NameError: name ... is not defined` wants one above it first.
# - **To stop** a cell, press the square (■) in the bar above the notebook.
# - **When all is tangled**, choose Kernel > Restart Kernel and Run All Cells. The *kernel* is the
#   Python behind the notebook.
#
# ## 2. Is this machine ready?
#
# The next cell looks at Python, the packages, the memory and the disk. The first time, it also
# fetches MNIST (up to 20 MB); nothing else in this notebook needs the network.

# %% tags=["drift:machine"]
from course_utils import machine

findings = []
for finding in machine.check():
    findings.append(finding)
    print(machine.report([finding]))

# %% [markdown]
# `fine` needs no attention. With a `note` the lectures can run, but something may go wrong. What is
# `MISSING` has to be put right first. The line with the arrow `->` says how.
#
# If instead you see `No module named 'course_utils'`, this notebook runs on another Python than the
# course's. Close Jupyter, and type `make lab` in a terminal, in the course's folder. (In VS Code:
# *Select Kernel*, at the top right, and there the environment `.venv`.) The file SETUP.md has more,
# under *Troubleshooting*.

# %%
print(machine.verdict(findings))

# %% [markdown]
# ## 3. What is where
#
# In the list of files at the left (in JupyterLab) you find
#
# - the five **lectures**: [1. Intriguing properties](01_intriguing_properties.ipynb),
#   [2. Transfer tables](02_transfer_tables.ipynb),
#   [3. Lipschitz bounds](03_lipschitz_bounds.ipynb),
#   [4. The fast gradient sign](04_fast_gradient_sign.ipynb) and
#   [5. Generative adversarial networks](05_generative_adversarial_networks.ipynb);
# - `assignments`: a **problem set** for each lecture, with hints, tests and solutions;
# - the [glossary](glossary.md): gradients, logits and spread in two minutes, then all terms from A
#   to Z.
#
# On your machine:

# %% tags=["drift:machine"]
print(machine.places())

# %% [markdown]
# ## 4. How long does a lecture take here?
#
# Times measured elsewhere would tell you little. So the next cell computes for about three seconds:
# gradients of a small network, in its pixels and in its weights, which is most of what the lectures
# do. We know how long these take one core of our own machine, and how long the lectures took there.

# %% tags=["drift:time"]
from course_utils import plan

seconds = plan.measure()
plan.times(seconds)

# %% [markdown]
# **This is an estimate**, of how long the machine computes if you run all cells in one go: *here,
# about* is the reference, as much longer or shorter as the gradients took here. Half as long or
# twice as long is possible, too. The reference times are from two cores, the comparison from one,
# since a second core helps most lectures little: with one alone Lectures 2, 3 and 4 took no longer,
# Lecture 1 a fifth longer, Lecture 5 half as long again. If other programs were busy just now, run
# the cell again. `make course` runs all lectures and prints what they really took.
#
# **You will take longer than the machine**: with its predictions and exercises, a lecture is an
# afternoon's or a long evening's work. That is our guess; nobody was timed.
#
# ## 5. Choose a path
#
# Each lecture builds on those before it. How far in do you want to go? Where a path names some
# sections of a lecture, run its cells above section 1 as well: they load what the others use.
#
# **An evening**
#
# | when | what |
# |---|---|
# | first hour | [Lecture 1](01_intriguing_properties.ipynb), sections 1 to 4, 6 and 7 |
# | half an hour | [Lecture 2](02_transfer_tables.ipynb), sections 1 to 4 |
# | second hour | [Lecture 4](04_fast_gradient_sign.ipynb), sections 1 to 3 |
#
# **A week**
#
# | when | what |
# |---|---|
# | day 1 | [Lecture 1](01_intriguing_properties.ipynb), with its exercises |
# | day 2 | [Lecture 2](02_transfer_tables.ipynb), with its exercises |
# | day 3 | [Lecture 3](03_lipschitz_bounds.ipynb); the exercises can wait |
# | day 4 | [Lecture 4](04_fast_gradient_sign.ipynb), with its exercises |
# | day 5 | [Lecture 5](05_generative_adversarial_networks.ipynb), with its exercises |
#
# **A term**
#
# | when | what |
# |---|---|
# | weeks 1 to 3 | [Lecture 1](01_intriguing_properties.ipynb), then [problem set 1](assignments/problem_set_1.ipynb) |
# | weeks 4 and 5 | [Lecture 2](02_transfer_tables.ipynb), then [problem set 2](assignments/problem_set_2.ipynb) |
# | weeks 6 to 8 | [Lecture 3](03_lipschitz_bounds.ipynb), then [problem set 3](assignments/problem_set_3.ipynb) |
# | weeks 9 and 10 | [Lecture 4](04_fast_gradient_sign.ipynb), then [problem set 4](assignments/problem_set_4.ipynb) |
# | weeks 11 to 13 | [Lecture 5](05_generative_adversarial_networks.ipynb), then [problem set 5](assignments/problem_set_5.ipynb) |
#
# ## 6. How a lecture works
#
# - **Before you run...** asks you to guess a result. Do type a guess, even a bad one, into the cell
#   `guess_1 = "?"` where there is one: it is printed beside what comes out, and what surprises you is
#   what you remember. On the course's site the answer waits until you have typed something.
# - A line with **Verdict** compares a statement of the lecture's slides with what was measured just
#   now, on your machine. Some statements do not hold, and the lecture says why.
# - **Try it yourself** has sliders and menus. They need a running kernel: if nothing moves, run the
#   cells above them first.
# - **Exercises** leave a function for you to write, say what is wrong with it, and have hints.
#
# Jupyter saves what you change. If you came here by `make lab`, all of this is your own copy, in
# the folder `work`: nothing overwrites it, and the lectures as they were, with all their outputs,
# are still in the folder `notebooks`.
#
# Now open [Lecture 1](01_intriguing_properties.ipynb), or where your path begins.
