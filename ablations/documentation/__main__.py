"""``python -m ablations.documentation [FOLDER]`` writes the pages made from the code, into docs if not told else."""

from __future__ import annotations

import sys
from pathlib import Path

from ablations.documentation.pages import PAGES


def write(folder: Path) -> None:
    """Write the pages that differ from what lies there."""
    for name, page in PAGES.items():
        path, text = folder / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"written: {path}")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
