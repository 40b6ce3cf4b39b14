"""The two kinds of errors that a command reports, each with an exit code of its own."""

LONGEST = 4000  # characters of a message: a few hundred offences; what quotes a stranger's file may be endless


class InputError(ValueError):
    """Something the user gave cannot be used. The message names the value and the remedy; exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class CheckError(RuntimeError):
    """Numbers differ or a file is not what it was. The message names the worst case; exit code 1."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(message: str) -> str:
    """Write on one line what is `printable`; of what is longer than `LONGEST`, the beginning and the end."""
    shown = printable(" ".join(message.split()))
    half = LONGEST // 2
    return shown if len(shown) <= LONGEST else f"{shown[:half]} ... {shown[-half:]}"


def printable(text: str) -> str:
    """Write characters that would move the cursor or turn the text round as `\\x1b`, `\\u202e`."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def reason(error: BaseException) -> str:
    """The first line of what an exception of somebody else says, or its name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
