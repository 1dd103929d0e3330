"""The command `loopclinic`: one module for each subcommand, imported when it is called.

A command's module has `configure(parser)`, which adds its arguments, and `run(args) -> int`, which
returns the exit status. One with `PASSES_ON = True` finds arguments it does not know in `args.rest`.
"""
