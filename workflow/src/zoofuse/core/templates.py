"""Text and HTML from templates that lie in the package."""

from collections.abc import Callable, Mapping

import jinja2


def template(
    package: str, name: str, *, folder: str = ".", filters: Mapping[str, Callable] | None = None, **options
) -> jinja2.Template:
    """A template. A variable that it names and is not given raises an error when it is rendered.

    Args:
        package: the package in which it lies, such as "zoofuse.zoo".
        name: its file.
        folder: its folder in the package.
        filters: further filters by name.
        options: further arguments of `jinja2.Environment`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, folder),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        **options,
    )
    environment.filters |= filters or {}
    return environment.get_template(name)
