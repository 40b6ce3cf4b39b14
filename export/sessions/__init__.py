"""Sessions: a signature as a function, in each runtime."""

from export.sessions.session import OnnxSession, Session, TorchSession, eager_session

__all__ = ["OnnxSession", "Session", "TorchSession", "eager_session"]
