"""`make study`: the lectures' networks trained with several seeds, attacked and measured."""


def all_jobs() -> list:
    """Every job of every part, the seeds of all parts in turn."""
    from tools.study import fast_gradient, few_digits, gan, tables

    return tables.jobs() + few_digits.jobs() + fast_gradient.jobs() + gan.jobs()


def main(*arguments: str) -> int:
    """Run the parts that are named (all, if none is), and write their tables."""
    import argparse

    from course_utils import machine
    from tools.study import engine

    jobs = all_jobs()
    parts = list(dict.fromkeys(job.part for job in jobs))
    parser = argparse.ArgumentParser(prog="python3 -m tools study")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}")
    parser.add_argument("--scheduler", help="address of a Dask cluster to run on")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.parts) - set(parts):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    jobs = [job for job in jobs if job.part in (chosen.parts or parts)]
    engine.run(jobs, workers=machine.cores(), scheduler=chosen.scheduler)
    engine.join(jobs)
    return 0
