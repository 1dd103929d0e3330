"""The command `loopclinic`: one module a command, imported only when it is the one asked for.

A command's module has `configure(parser)`, which adds its arguments, and `run(args) -> int`, which
returns the exit status. One with `PASSES_ON = True` finds arguments it does not know in `args.rest`.
"""
