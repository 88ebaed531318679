"""Looks for links that lead nowhere: `python tests/tools/links.py [FOLDER]`; `make check` runs it.

In all Markdown files and notebooks of git's: a file that is not there, and an address of which a
server says that nothing is there. Addresses that are not reached, or that ask for a person, are
told, and are no failure: `make check` works without network.
"""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote
from urllib.request import Request, urlopen

LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)|<(https?://[^>\s]+)>")
CODE = re.compile(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$", re.DOTALL)
SECONDS = 10


def links(path: Path) -> set[str]:
    """What a Markdown file, or a notebook's prose, links to."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    return {one or other for one, other in LINK.findall(CODE.sub("", text))}


def answer(address: str) -> str:
    """Of an address: "there", "not there", or why that cannot be said."""
    try:
        with urlopen(Request(address, headers={"User-Agent": "Mozilla/5.0"}), timeout=SECONDS):
            return "there"
    except HTTPError as error:
        return "not there" if error.code in (404, 410) else str(error)
    except OSError as error:
        return str(error)


def look(folder: Path) -> list[str]:
    """The links that lead nowhere, a line each; prints what could not be looked at."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.md", "*.ipynb"], cwd=folder, capture_output=True, check=True
    ).stdout
    places = {}
    for path in (folder / name for name in listed.decode().split("\0") if name):
        for link in links(path) if path.exists() else ():
            places.setdefault(link if "://" in link else (path.parent, link), []).append(path)
    lost = [
        f"{path.relative_to(folder)}: {link}"
        for (parent, link), paths in ((p, w) for p, w in places.items() if isinstance(p, tuple))
        for path in paths
        if not (parent / unquote(link.partition("#")[0])).exists()
    ]
    addresses = [place for place in places if isinstance(place, str)]
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(addresses, pool.map(answer, addresses)))
    unknown = {a: said for a, said in answers.items() if said not in ("there", "not there")}
    if unknown:
        print(f"{len(unknown)} of {len(addresses)} addresses could not be looked at, as", end=" ")
        print(*next(iter(unknown.items())), sep=": ")
    return lost + [
        f"{path.relative_to(folder)}: {address}"
        for address, said in answers.items()
        if said == "not there"
        for path in places[address]
    ]


if __name__ == "__main__":
    found = look(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
    print("\n".join(["These lead nowhere:", *found] if found else ["Links: fine"]))
    sys.exit(bool(found))
