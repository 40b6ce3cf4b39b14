"""Sessions: a signature as a function, in each runtime."""

from export.sessions.session import (
    LookedUp,
    OnnxSession,
    Session,
    TorchSession,
    eager_session,
    one_at_a_time,
    rebuild_eager,
)

__all__ = ["LookedUp", "OnnxSession", "Session", "TorchSession", "eager_session", "one_at_a_time", "rebuild_eager"]
