"""Run the command line as `python -m loopclinic`."""

import sys

from loopclinic.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
