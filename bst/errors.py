"""The two kinds of errors that a command reports, each with an exit code of its own."""

LONGEST = 4000  # characters of a message: a few hundred offences; text quoted from an untrusted file may be endless


class InputError(ValueError):
    """An input that cannot be used. The message names the value and the remedy; exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class CheckError(RuntimeError):
    """A failed check: numbers differ, or a file was changed. The message names the worst case; exit code 1."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(message: str) -> str:
    """Write a text on one line, escaped by `printable`; if it is longer than `LONGEST`, its beginning and end."""
    shown = printable(" ".join(message.split()))
    half = LONGEST // 2
    return shown if len(shown) <= LONGEST else f"{shown[:half]} ... {shown[-half:]}"


def printable(text: str) -> str:
    """Escape characters that would move the cursor or reverse the text, such as `\x1b` and `\u202e`."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def reason(error: BaseException) -> str:
    """Return the first line of another library's exception, or its class name where it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
