"""Text in the cells of Markdown tables."""

from __future__ import annotations


def code_cell(text: str) -> str:
    r"""Return the text as code. Between backticks a pipe would need a backslash, which shows.

    >>> code_cell("^[a-z]+$"), code_cell(r"a|\d")
    ('`^[a-z]+$`', '<code>a&#124;&#92;d</code>')
    """
    if "|" not in text:
        return f"`{text}`"
    return f"<code>{''.join(c if c.isalnum() else f'&#{ord(c)};' for c in text)}</code>"
