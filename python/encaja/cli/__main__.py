"""`python -m encaja.cli`: the program without its installed script."""

from encaja.cli import main

main()
