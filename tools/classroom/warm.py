"""Imported once, by the process from which submissions' processes fork.

What the course imports only when it is needed would else be imported anew for each submission.
"""

from course_utils.vision import import_torchvision

import_torchvision()
