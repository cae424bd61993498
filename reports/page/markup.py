"""A `Table` as Markdown or LaTeX (booktabs)."""

from __future__ import annotations

from typing import Final

from reports.page.layout import Column, Entry, Table

_MATHS: Final = r"< > - \pm \times \beta \alpha \sigma \gamma \infty \geq \leq ^2 \tfrac12"
_LATEX: Final = str.maketrans(
    {
        "\n": " ",
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        **{sign: rf"\{sign}" for sign in "&%$#_{}"},
        **{sign: f"${maths}$" for sign, maths in zip("<>−±×βασγ∞≥≤²½", _MATHS.split(), strict=True)},
    }
)
_MARKDOWN: Final = str.maketrans(
    {"\\": "\\\\", "|": "\\|", "<": "&lt;", ">": "&gt;", "*": "\\*", "`": "\\`", "[": "\\[", "\n": " ", "\r": " "}
)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, in a table too.

    >>> escaped("a|b <script> *x*")
    'a\\\\|b &lt;script&gt; \\\\*x\\\\*'
    """
    return text.translate(_MARKDOWN)


def latex_escaped(text: str) -> str:
    """Text that LaTeX shows as it is.

    >>> print(latex_escaped("50 % ± 0.1_a"))
    50 \\% $\\pm$ 0.1\\_a
    """
    return text.translate(_LATEX)


def _titled(column: Column) -> str:
    return f"{column.title} ({column.unit})" if column.unit else column.title


def markdown(table: Table) -> str:
    """A pipe table under its caption; a marked entry says its mark in words.

    >>> print(markdown(Table("Two.", (Column("a"), Column("b", "px", True)), ((Entry("x"), Entry("1.0")),))))
    Two.
    <BLANKLINE>
    | a | b (px) |
    | --- | ---: |
    | x | 1.0 |
    """
    rule = " | ".join("---:" if column.numeric else "---" for column in table.columns)
    lines = [" | ".join(escaped(_titled(column)) for column in table.columns), rule]
    lines += [" | ".join(escaped(_marked(entry)) for entry in row) for row in table.rows]
    return "\n".join([escaped(table.caption), "", *(f"| {line} |" for line in lines)])


def _marked(entry: Entry) -> str:
    """A mark that is a phrase, and a note, are written out; a mark that only names a colour is not."""
    beside = "; ".join(words for words in (entry.mark if " " in entry.mark else "", entry.note) if words)
    return f"{entry.text} ({beside})" if beside else entry.text


def latex(table: Table) -> str:
    """A booktabs table environment, ready for \\input; needs only \\usepackage{booktabs}."""
    shape = "".join("r" if column.numeric else "l" for column in table.columns)
    head = " & ".join(latex_escaped(_titled(column)) for column in table.columns)
    body = [" & ".join(latex_escaped(_marked(entry)) for entry in row) + r" \\" for row in table.rows]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_escaped(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{shape}}}",
        r"\toprule",
        head + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
