"""The bench where the command line's libraries are missing: one sentence and exit code 2 for a mistake."""

import sys

from ablations.bench.command import main
from vae.errors import UserError

if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"ablate bench: {error}", file=sys.stderr)
        sys.exit(2)
