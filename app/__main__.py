"""`python -m inkling` is the command line."""

from .cli.app import main

main()
