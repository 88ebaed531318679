"""What `make study` measured with several training seeds: a tidy table for each part."""

from pathlib import Path

import pandas as pd

from course_utils.checks import check_choice

RESULTS = Path(__file__).with_name("results")


def read(part: str) -> pd.DataFrame:
    """Return what was measured: a row a measurement, with its training seed.

    part: a name in `RESULTS`. "tables" has the networks of Szegedy et al. 2013, ten seeds each; its
    columns: seed, table ("models" or "halves"), row, column, measure, value, n. "fast_gradient" has
    `zoo.STUDY`: condition, seed, measure, eps, value, n. "few_digits" has Lecture 3's penalty and
    its rivals on 1,000 digits, "gan" Lecture 5's small pairs. Another one is a ValueError.
    """
    check_choice(tuple(sorted(path.stem for path in RESULTS.glob("*.csv"))), part=part)
    return pd.read_csv(RESULTS / f"{part}.csv")
