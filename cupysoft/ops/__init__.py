"""The public operations, one family a file."""

__all__: list[str] = []
