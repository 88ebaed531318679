"""nbval runs the problem sets in source/, which are solved; those in this folder are for readers.

Where it serves nbgrader as a course folder, students' notebooks lie in it: tests never run those.
"""

collect_ignore_glob = ["problem_set_*.ipynb"]
collect_ignore = ["release", "submitted", "autograded", "feedback"]
