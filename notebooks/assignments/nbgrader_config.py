"""For nbgrader run in this folder: nothing but notebooks may be copied into a release."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "adversarial-examples"
# nbgrader hands out every file that lies beside a source notebook, and there lie the solutions.
c.CourseDirectory.ignore = ["*.py", "*.pyc", "__pycache__", ".ipynb_checkpoints", ".*"]
