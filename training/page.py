"""Lay tables, a picture and notes out as one HTML page that needs nothing beside it. Knows HTML; measures nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Final

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1f24; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: right; border-bottom: 1px solid #e2e5e9; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.marked { font-weight: 600; color: #0072B2; }
"""

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]


def build_page(
    heading: str, paragraphs: Sequence[str], png: bytes, tables: Sequence[Table], notes: Sequence[str], *, marked: str
) -> str:
    """The page. tables: title, header and rows of each; a row whose first cell is ``marked`` stands out.

    All text is escaped. The picture, of ``png`` and shown below the paragraphs, is inside the page.
    """
    picture = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    body = [f"<h1>{escape(heading)}</h1>"]
    body += [f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs]
    body += [
        f'<p><img src="{picture}" width="760" alt="{escape(heading)}: the figures of the first table as curves"></p>'
    ]
    body += [_table(table, marked) for table in tables]
    if notes:
        body += ["<h2>What to know</h2>", "<ul>", *(f"<li>{escape(note)}</li>" for note in notes), "</ul>"]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(heading)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


def _table(table: Table, marked: str) -> str:
    title, header, rows = table
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    lines = [f"<h2>{escape(title)}</h2>", '<div class="wide"><table>', f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for row in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        lines.append(f'<tr class="marked">{cells}</tr>' if row[0] == marked else f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</tbody>", "</table></div>"])
