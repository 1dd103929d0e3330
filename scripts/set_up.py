"""Set up the kit's environment, then run a command in it: `set_up.py [kit|test] [-- ARGUMENTS]`.

Written so that Python 2.7 still runs it: an old interpreter gets a sentence, not a SyntaxError.
"""

import os
import platform
import sys

OLDEST = (3, 11)


def main():  # type: ignore[no-untyped-def] # noqa: ANN201 - see above
    """Say why this Python will not do, or hand over to the set-up proper."""
    implementation = platform.python_implementation()
    usual = implementation == "CPython"
    if sys.version_info < OLDEST or not usual:
        sys.stderr.write(
            "loopclinic needs {} {}.{} or newer, and {} is {} {}: install one "
            "(python.org, your package manager, or conda), then run make again, "
            "or name it as in: make lab PYTHON=/path/to/python3.13\n".format(
                "Python" if usual else "CPython",
                OLDEST[0],
                OLDEST[1],
                os.environ.get("PYTHON") or sys.executable,
                "Python" if usual else implementation,
                platform.python_version(),
            )
        )
        return 2
    import installation  # older Pythons do not parse it

    return installation.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[no-untyped-call]
