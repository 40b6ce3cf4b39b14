"""`python -m bst`, the same as the command `bst`."""

from bst.cli import main

if __name__ == "__main__":
    main()
