"""Set up the kit's environment, then run a command in it: `set_up.py [kit|test] [-- ARGUMENTS]`.

Written so that Python 3.6 still parses it: an old interpreter gets a sentence, not a SyntaxError.
"""

import os
import platform
import sys

OLDEST = (3, 11)


def main():
    if sys.version_info < OLDEST:
        print(
            "loopclinic needs Python {}.{} or newer, and {} is Python {}: install a newer one "
            "(python.org, your package manager, or conda), then run make again, "
            "or name it as in: make lab PYTHON=/path/to/python3.13".format(
                OLDEST[0],
                OLDEST[1],
                os.environ.get("PYTHON") or sys.executable,
                platform.python_version(),
            ),
            file=sys.stderr,
        )
        return 2
    import installation

    return installation.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
