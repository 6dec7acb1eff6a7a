"""Entry point of ``python -m cupysoft``."""

import sys

from cupysoft.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
