"""Problem sets: handing them out, and marking what comes back.

`problem_sets` knows their cells, `release` makes the forms that are handed out, `submissions` reads
what was handed in, `worker` and `running` execute it in processes of their own, `grading` marks a
folder of submissions, `feedback` says why.
"""
