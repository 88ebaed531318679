# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A small problem set, for the tests

# %%
import torch

from course_utils.assignments import same

points = torch.tensor([[0.5, -2.0], [3.0, 0.25]])

# %% [markdown]
# ## Exercise 1: projection (3 points)

# %% nbgrader={"grade": false, "grade_id": "projection", "locked": false, "schema_version": 3, "solution": true, "task": false}
def project(x, eps):
    """The point of the box |x_i| <= eps that is nearest to x.

    x: float (N, D); eps: a number above 0. Returns float (N, D).
    """
    ### BEGIN SOLUTION
    nearest = x.clamp(-eps, eps)
    return nearest
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# What can one coordinate do without the others?

# %% nbgrader={"grade": true, "grade_id": "projection-shape", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
assert project(points, 1.0).shape == (2, 2), "project(points, 1): expected the shape of points"

# %% nbgrader={"grade": true, "grade_id": "projection-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
same(project(points, 1.0), torch.tensor([[0.5, -1.0], [1.0, 0.25]]), "project(points, 1)",
     cause="both ends of the interval count")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(3)
x = torch.randn(7, 5, generator=lot)
same(project(x, 0.3), torch.maximum(torch.minimum(x, torch.tensor(0.3)), torch.tensor(-0.3)),
     "project on random points", cause="a secret of the hidden tests")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 2: the norm (2 points)

# %% nbgrader={"grade": false, "grade_id": "norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def norm(x):
    """The L2 norm of each row of x, float (N, D). Returns float (N,)."""
    ### BEGIN SOLUTION
    return x.square().sum(dim=1).sqrt()
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "norm-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
same(norm(torch.tensor([[3.0, 4.0]])), torch.tensor([5.0]), "norm([[3, 4]])", cause="which norm?")
### BEGIN HIDDEN TESTS
same(norm(points), torch.tensor([4.25, 9.0625]).sqrt(), "norm(points)", cause="hard-coded?")
### END HIDDEN TESTS

# %% [markdown]
# ## A question
#
# Why is a box projected on coordinate by coordinate?

# %% [markdown] nbgrader={"grade": true, "grade_id": "open-question", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Because the squared distance is a sum over coordinates, and the box a product of intervals.
# ### END SOLUTION
