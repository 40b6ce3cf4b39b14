"""The two ways in which a command ends badly, each with an exit code of its own."""


class InputError(ValueError):
    """Something the user gave cannot be used. The message names the value and the remedy; exit code 2."""


class CheckError(RuntimeError):
    """Numbers differ or a file is not what it was. The message names the worst case; exit code 1."""
