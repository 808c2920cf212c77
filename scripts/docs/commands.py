"""Every command that the documentation gives, so that a test can run each word for word."""

from __future__ import annotations

import re
from collections.abc import Iterator

PROGRAM = re.compile(  # of this folder or of another: ../base/.venv/bin/pip
    r"(\S*/)?(paretobench|pip|pytest|python3?|mkdocs|git|bash|nvidia-\S+)(\s|$)|scripts/"
)
_FENCE = re.compile(r"^\s*(```|~~~)")
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_JOINED = re.compile(r"""\s(?:&&|\|\||;)\s(?=(?:[^"']|"[^"]*"|'[^']*')*$)""")  # not in quotes
_BEFORE = re.compile(r"^(\$ |(- )?run: )")  # a prompt, or a step of a workflow file
_AFTER = re.compile(r"\s+(#\s.*|(>|\d>|\|)\s.*|\d?>>?\s?\S+)$")  # a comment, a pipe, a redirection
_PART = re.compile(r"^python3? -m$")  # of what?


def commands(markdown: str) -> list[str]:
    """Return the commands of a page: those of its code blocks, and inline ones that are whole.

    A name in a sentence (`paretobench sweep`) is none, nor is another program's output.

    >>> commands("Try `paretobench emit results/a --point chat`; see `paretobench sweep`.")
    ['paretobench emit results/a --point chat']
    >>> commands("So:\\n\\n    pip install . && paretobench schema > s.json  # for an editor\\n")
    ['pip install .', 'paretobench schema']
    >>> commands("    paretobench compare --baseline-cmd 'cd b && run' && git push")
    ["paretobench compare --baseline-cmd 'cd b && run'", 'git push']
    >>> commands("    ../base/.venv/bin/pip install ../base\\n\\nby `python -m` and `pipe a`")
    ['../base/.venv/bin/pip install ../base']
    """
    found: dict[str, None] = {}
    text: list[str] = []
    for line, is_code in _lines(markdown):
        if is_code:
            found |= dict.fromkeys(_split(line))
        else:
            text.append(line)
    for span in _INLINE.findall("\n".join(text)):
        for command in _split(" ".join(span.split())):
            if not command.startswith("paretobench") or len(command.split()) > 2:
                found[command] = None
    return list(found)


def named(markdown: str) -> set[str]:
    """Return the subcommands that a page names in code, whole commands or not.

    >>> sorted(named("`paretobench sweep` and then `paretobench emit RUN`"))
    ['emit', 'sweep']
    """
    return set(re.findall(r"(?:`|^ {4}|&& )paretobench ([a-z][a-z-]*)", markdown, re.MULTILINE))


def _lines(markdown: str) -> Iterator[tuple[str, bool]]:
    """Yield each line and whether it is of a code block; continued lines as one."""
    fenced, continued = False, ""
    for line in markdown.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            if line.endswith("\\"):
                continued += line[:-1].strip() + " "
                continue
            yield continued + line.strip(), True
            continued = ""
        else:
            yield line, False


def _split(line: str) -> Iterator[str]:
    for part in _JOINED.sub("\n", _BEFORE.sub("", line.strip())).split("\n"):
        if PROGRAM.match(part.strip()):
            command = _AFTER.sub("", part).strip()
            if (" " in command or command == "pytest") and not _PART.match(command):
                yield command
