"""nbval runs the problem sets in source/, which are solved; those in this folder are for readers."""

collect_ignore_glob = ["problem_set_*.ipynb"]
