"""What MkDocs does beside building `docs/`: references, files from outside, and no network.

- `<!-- generated: scenario -->` and `<!-- generated: cli -->` become the references.
- Files outside `docs/` that a page links come along, and links are rewritten (`links`).
- A page that would load something from elsewhere ends the build.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cli_reference import cli_reference
from links import files_outside, rewritten
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from scenario_reference import scenario_reference

from paretobench.cli import app
from paretobench.cli.exit_codes import EXIT_CODES
from paretobench.scenario import Scenario

ROOT = Path(__file__).parents[2]
GENERATED = {
    "<!-- generated: scenario -->": lambda: scenario_reference(Scenario.model_json_schema()),
    "<!-- generated: cli -->": lambda: cli_reference(app, EXIT_CODES),
}
_LOADED = re.compile(
    r"""<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=["']?(?:https?:)?//"""
)
_outside: set[str] = set()


def on_files(files: Files, config: Any) -> Files:
    """Add what the pages link outside `docs/`, under its path in the repository."""
    _outside.clear()
    pages = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    for path in files_outside(ROOT, pages):
        _outside.add(path)
        source = str(ROOT / path)
        level = InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, path, abs_src_path=source, inclusion=level))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Return the page with its references filled in and its links as the site needs them."""
    source = page.file.src_uri
    markdown = rewritten(markdown, source if source in _outside else f"docs/{source}")
    for mark, text in GENERATED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, text())
    return markdown


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Refuse a page that a browser could not show without a network."""
    found = _LOADED.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    return output
