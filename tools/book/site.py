"""What a finished site must have: its pages, links, figures, alt texts and claims."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

OUTSIDE = r"""(?:https?:)?//[^'"`)\s]+"""
IN_SOURCE = rf"""(?i)(?:url\(\s*['"]?|\b(?:import|from|src\s*=)\s*\(?['"`])({OUTSIDE})"""
NO_ALT = re.compile(r"(?:\S+\s*){0,2}|.*\.png|No description has been provided.*")  # nbconvert's
LOADED = "script, img, iframe, source, link:not([rel=canonical])"


def problems(
    site: Path, *, pages: list[str], figures: dict[str, int], claims: dict[str, str]
) -> list[str]:
    """One line for each thing that is missing from the folder `site`, or that comes from outside.

    Args:
        pages: what must be there, as paths below `site`.
        figures: how many figures with caption each of these pages must have.
        claims: the page on which each claim must stand.
    """
    found = [f"{name} is missing" for name in pages if not (site / name).is_file()]
    soups = {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_bytes(), "html.parser")
        for path in sorted(site.rglob("*.html"))
        if path.relative_to(site).parts[0] not in ("_static", "_sources", "_downloads")
    }
    ids = {
        name: {tag.get("id") or tag.get("name") for tag in soup.find_all(True)}
        for name, soup in soups.items()
    }
    for name, soup in soups.items():
        if not (soup.title and soup.title.get_text(strip=True)):
            found.append(f"{name}: the page has no title")
        found += [f"{name}: {problem}" for problem in broken_links(site, name, soup, ids)]
        found += [f"{name}: {problem}" for problem in from_outside(soup)]
        found += [f"{name}: {problem}" for problem in without_alt(soup)]
    for name, count in figures.items():
        captions = soups[name].select("figure figcaption") if name in soups else []
        shown = sum(bool(caption.find_parent("figure").find("img")) for caption in captions)
        if {shown, len(captions)} != {count} or not all(c.get_text(strip=True) for c in captions):
            found.append(f"{name}: {shown} figures with {len(captions)} captions, not {count}")
    for claim, name in claims.items():
        for place, wanted in ((name, f"claim-{claim}"), ("claims.html", f"{name}#claim-{claim}")):
            soup = soups.get(place)
            if soup is None or not (soup.find(id=wanted) or soup.find("a", href=wanted)):
                found.append(f"{place}: the claim {claim} is missing")
    for style in sorted(site.rglob("*.css")):
        for address in re.findall(IN_SOURCE, style.read_text(encoding="utf-8", errors="replace")):
            found.append(f"{style.relative_to(site).as_posix()}: loads {address}")
    return found


def broken_links(site: Path, name: str, soup: BeautifulSoup, ids: dict[str, set]) -> list[str]:
    """The links and files of a page that lead nowhere within the site."""
    broken = []
    for tag in soup.find_all(True):
        for address in filter(None, (tag.get("href"), tag.get("src"))):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or tag.name == "use":
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                broken.append(f"the link {address} leads nowhere")
                continue
            page = target.resolve().relative_to(site.resolve()).as_posix()
            if parts.fragment and page in ids and unquote(parts.fragment) not in ids[page]:
                # reveal.js makes the places on slides, and scripts those that begin with "/"
                if not parts.fragment.startswith("/"):
                    broken.append(f"the link {address} leads to a page without that place")
    return list(dict.fromkeys(broken))


def from_outside(soup: BeautifulSoup) -> list[str]:
    """What a page loads from another host; links that a reader may follow are not loaded."""
    found = [tag.get("src") or tag.get("href") or "" for tag in soup.select(LOADED)]
    found = [address for address in found if re.match(OUTSIDE, address, re.I)]
    for tag in soup.select("style, script"):
        found += re.findall(IN_SOURCE, tag.string or "")
    return [f"loads {address}" for address in found]


def without_alt(soup: BeautifulSoup) -> list[str]:
    """The pictures of a page that nobody describes; none is decoration, so alt="" won't do."""
    return [
        f"a picture without alt text: {str(tag.get('src'))[:60]}"
        for tag in soup.find_all("img")
        if NO_ALT.fullmatch((tag.get("alt") or "").strip())
    ]
