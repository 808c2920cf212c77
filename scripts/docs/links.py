"""Links that hold on a code host and on the site: relative to the repository, then rewritten.

Pages stand in `docs/` and may link any file of the repository (`../results/.../frontier.png`). On
the site `docs/` is the root, and every other file that a page links stands under its path in the
repository.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_LINK = re.compile(r"(\]\()([^()\s]+)(\))")
_CODE = re.compile(r"(`+)[^`]+?\1")
_FENCE = re.compile(r"^\s*(```|~~~)")
_ELSEWHERE = re.compile(r"^([a-z]+:|#|/)")


def site_path(repository_path: str) -> str:
    """Return where a file of the repository stands on the site.

    >>> site_path("docs/limits.md"), site_path("results/a/frontier.png"), site_path("README.md")
    ('limits.md', 'results/a/frontier.png', 'index.md')
    """
    if repository_path == "README.md":  # the site's first page says what the README says
        return "index.md"
    return repository_path.removeprefix("docs/")


def rewritten(markdown: str, repository_path: str) -> str:
    """Return the page of that path with its relative links as the site needs them.

    >>> rewritten("![f](../results/a/f.png), [l](limits.md#line), `[x](../y)`", "docs/log.md")
    '![f](results/a/f.png), [l](limits.md#line), `[x](../y)`'
    """
    here = posixpath.dirname(site_path(repository_path))

    def link(target: str) -> str:
        path, anchor = _split(target)
        goal = site_path(_resolved(path, repository_path))
        return posixpath.relpath(goal, here or ".") + anchor

    return _each_link(markdown, link)


def linked(markdown: str, repository_path: str) -> list[str]:
    """Return the repository's files that a page links, by their paths in it."""
    found: list[str] = []

    def link(target: str) -> str:
        found.append(_resolved(_split(target)[0], repository_path))
        return target

    _each_link(markdown, link)
    return found


def files_outside(root: Path, pages: Iterable[str]) -> Iterator[str]:
    """Yield the files outside `docs/` that the pages link, and those that linked pages link."""
    waiting, seen = list(pages), set(pages) | {"README.md"}
    while waiting:
        page = waiting.pop()
        for path in linked((root / page).read_text(encoding="utf-8"), page):
            if path in seen or path.startswith("docs/") or not (root / path).is_file():
                continue
            seen.add(path)
            yield path
            if path.endswith(".md"):
                waiting.append(path)


def _each_link(markdown: str, change: Callable[[str], str]) -> str:
    """Return the text with every relative link's target changed; code is left alone."""
    lines, fenced = [], False
    for line in markdown.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        lines.append(line if fenced else _in_line(line, change))
    return "\n".join(lines)


def _in_line(line: str, change: Callable[[str], str]) -> str:
    code = [found.span() for found in _CODE.finditer(line)]

    def one(found: re.Match[str]) -> str:
        inside = any(start <= found.start() and found.end() <= end for start, end in code)
        if inside or _ELSEWHERE.match(found[2]):
            return found[0]
        return found[1] + change(found[2]) + found[3]

    return _LINK.sub(one, line)


def _split(target: str) -> tuple[str, str]:
    path, sign, anchor = target.partition("#")
    return path, sign + anchor


def _resolved(path: str, repository_path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(repository_path), path))
