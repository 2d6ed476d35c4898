"""Docstrings as the library writes them, read as reStructuredText, which Sphinx expects.

The library's docstrings are plain text: formulas stand as they are, alone on indented lines or
within a sentence, longer examples between fences, and `|`, `*` and `_` mean themselves.
"""

import re


def restructured(lines: list[str]) -> list[str]:
    """Formulas and fences become literal blocks; in sentences nothing but backticks is markup."""
    result: list[str] = []
    literal = None  # the indentation of the formula that is being copied as it stands
    fenced = example = False  # whether we are between fences, or between `>>>` and a blank line
    indent = before = 0  # of this line, and of the last sentence
    blank = False
    for line in lines:
        text = line.lstrip()
        after_blank, blank = blank, not text
        if not text:
            example = False
            result.append("")
            continue
        indent = len(line) - len(text)
        if text.startswith("```"):
            fenced, literal = not fenced, None
            if fenced:
                result += ["", f"{' ' * indent}.. code-block:: {text[3:] or 'text'}", ""]
            continue
        example = example or text.startswith(">>>")
        if fenced:
            line = "    " + line
        elif example:
            literal = None
        elif literal is None or indent < literal:
            literal = None
            if after_blank and indent >= before + 4:
                result += [" " * before + ".. code-block:: text", ""]
                literal = indent
            else:
                before = indent
                line = " " * indent + _escaped(text)
        result.append(line)
    return result


def _escaped(text: str) -> str:
    parts = re.split(r"(``.*?``|`[^`]*`)", text)
    parts[::2] = [re.sub(r"[\\|*]|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)
