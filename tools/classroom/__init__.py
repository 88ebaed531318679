"""Problem sets: handing them out, and marking what comes back.

`problem_sets` knows their cells and makes what is handed out, `submissions` finds what was handed
in, `reading` tells a student's cells from ours, `running` has them run in a process of their own,
`student`, with which `wire` talks; `grading` marks a folder, and writes `tables` and `feedback`.
"""
