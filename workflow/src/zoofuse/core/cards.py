"""Model and data cards: Markdown, with the front matter (YAML) that model hubs read. Imports no torch."""

import re
from collections.abc import Mapping, Sequence

from zoofuse.core import text

KIND = {"library_name": "zoofuse", "pipeline_tag": "image-classification"}  # of models and of zoos
_HUB_NAMES = {"cifar10": "uoft-cs/cifar10", "oxford_iiit_pet": "timm/oxford-iiit-pet"}


def render(package: str, template: str, front: Mapping, **context) -> str:
    """A card from a template of the package.

    Args:
        package: that holds the template, such as "zoofuse.export".
        template: its file's name.
        front: the front matter; see `origin` and `model_index`.
        context: the template's variables.

    Returns:
        The card. Names from outside are YAML strings in the front matter; in the text, the filter `code` shows them
        literally.
    """
    import jinja2
    import yaml

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"score": score, "code": _code}
    matter = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True)
    return f"---\n{matter}---\n{environment.get_template(template).render(**context)}"


def origin(sources: Sequence[Mapping | None]) -> dict:
    """Licence and data sets of what was trained on images.

    Args:
        sources: `source` and `dataset` of each set of images; None for images that are not known here.

    Returns:
        license: mit for synthetic images, which zoofuse draws itself, else unknown; datasets, where a hub has them.
    """
    synthetic = bool(sources) and all(source is not None and source["source"] == "synthetic" for source in sources)
    datasets = sorted({_HUB_NAMES[source["dataset"]] for source in sources if source and source.get("dataset")})
    return {"license": "mit" if synthetic else "unknown"} | ({"datasets": datasets} if datasets else {})


def model_index(name: str, dataset: tuple[str, str], metrics: Mapping[str, tuple]) -> dict:
    """Scores as front matter.

    Args:
        name: of the model.
        dataset: what was measured on: its type, such as "folder", and its name in words.
        metrics: identifier -> name in words, value, low and high. A metric without a value is left out.

    Returns:
        metrics and model-index, or nothing if no metric has a value. Hubs show a metric's name and value, so the
        interval is part of the name, and in `args` for programs.
    """
    measured = [
        {
            "type": metric,
            "name": f"{words} ({score(low)} to {score(high)})",
            "value": value,
            "args": {"low": low, "high": high},
        }
        for metric, (words, value, low, high) in metrics.items()
        if value is not None
    ]
    if not measured:
        return {}
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"type": dataset[0], "name": dataset[1]},
        "metrics": measured,
    }
    return {
        "metrics": [metric["type"] for metric in measured],
        "model-index": [{"name": name, "results": [result]}],
    }


def score(value: float | None) -> str:
    """A measure with three decimals, or a dash if it is undefined."""
    return "-" if value is None or value != value else f"{value:.3f}"


def _code(name: str) -> str:
    """A name from outside as Markdown code, so that it is shown literally."""
    shown = text.printable(name)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{fence} {shown} {fence}" if "`" in shown else f"`{shown}`"
