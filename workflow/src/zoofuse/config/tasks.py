"""The sets of tasks of a configuration: what is wrong with them beside what a schema can say. Imports no torch."""

from collections.abc import Iterator

from zoofuse.config import factories
from zoofuse.data import tasks as task_sets


def faults(config: dict) -> Iterator[str]:
    """One line for each fault, with what to write instead.

    Args:
        config: with its defaults, and without what a schema refuses.
    """
    for name, settings in config["tasks"].items():
        where = f"tasks.{name}"
        classes = {title: [title] for title in settings["classes"]}
        yield from factories.class_faults(where, settings | {"classes": classes})
        try:
            task_sets.draw(settings["classes"], *(settings[key] for key in ("seen", "unseen", "small")), 0, where)
        except ValueError as error:
            yield str(error)
