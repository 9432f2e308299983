"""Fixtures of `small_project`, under the name pytest looks for."""

from small_project import made, project  # noqa: F401
