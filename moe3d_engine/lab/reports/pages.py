"""Parts of pages that a program writes: `<!-- NAME begin -->`, Markdown, `<!-- NAME end -->`."""

from __future__ import annotations

from collections.abc import Mapping
import re

from moe3d_engine.errors import InputError

BLOCK = re.compile(
    r'<!-- (?P<name>\S+) begin -->\n(?P<content>.*?)<!-- (?P<end>\S+) end -->', re.S
)


def blocks_of(page: str) -> dict[str, str]:
    """
    Return the generated parts of a page by name.

    Raises
    ------
    InputError
        If a part has no end of its own, or stands twice.
    """
    found: dict[str, str] = {}
    for match in BLOCK.finditer(page):
        name = match['name']
        if match['end'] != name:
            raise InputError(
                f'The part {name} ends as {match["end"]}. Give it an end of its name.'
            )
        if name in found:
            raise InputError(f'The part {name} stands twice on one page. Keep one.')
        found[name] = match['content']
    if page.count(' begin -->\n') != len(found):
        raise InputError(f'Of {page.count(" begin -->")} parts {len(found)} have an end.')
    return found


def fill_blocks(page: str, contents: Mapping[str, str]) -> str:
    """
    Return a page with its generated parts made anew.

    Parameters
    ----------
    page : Markdown.
    contents : by name, each ends with a line break; those that the page lacks are not used.

    Raises
    ------
    InputError
        If the page has a part that nothing generates, or see `blocks_of`.
    """
    unknown = sorted(blocks_of(page).keys() - contents.keys())
    if unknown:
        raise InputError(
            f'Nothing generates the parts {", ".join(unknown)}; there are '
            f'{", ".join(contents)}. Mend the name, or add the record.'
        )
    return BLOCK.sub(
        lambda m: f'<!-- {m["name"]} begin -->\n{contents[m["name"]]}<!-- {m["name"]} end -->',
        page,
    )


def without_blocks(page: str) -> str:
    """Return what people have written of a page."""
    return BLOCK.sub('', page)
