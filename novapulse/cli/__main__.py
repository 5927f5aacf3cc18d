"""`python -m novapulse.cli` is the command `novapulse`."""

import sys

from novapulse.cli import main

if __name__ == "__main__":
    sys.exit(main())
