"""What a user can get wrong. The programs print such an error as one sentence, without a traceback."""

__all__ = ["UserError"]


class UserError(ValueError):
    """A mistake in what the user gave: the message names the offending value and says what was expected."""
