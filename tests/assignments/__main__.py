"""`python tests/assignments [SET...]`: mark every answer and write the table."""

import sys

if __name__ == "__main__":  # the graders' processes import this file, too
    import answers

    sys.exit(answers.main(*sys.argv[1:]))
