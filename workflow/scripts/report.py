"""results/report.html."""

from pathlib import Path
from typing import TYPE_CHECKING

from zoofuse.core import files, logs
from zoofuse.data import images
from zoofuse.methods import registry
from zoofuse.methods.cyclegan import io, measures
from zoofuse.report import report, run_facts

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def named(paths, prefix=""):
    """File name without suffix (and prefix) -> path."""
    return {Path(path).stem.removeprefix(prefix): path for path in paths}


def shown(paths):
    """Figures by kind; those of several CNNs (cosine_selected, cosine_median) in one list."""
    figures: dict[str, list[str]] = {}
    for name, path in named(paths).items():
        kind = name.rsplit("_", 1)[0] if name.endswith(("_selected", "_median")) else name
        figures.setdefault(kind, []).append(path)
    return figures


def counts(attributes):
    """One line of the report's table of images."""
    positive, negative = attributes["images"]
    name = attributes.get("concept") or f"{attributes['fusion']} (test)"
    validation = sum(attributes["validation"]) if "validation" in attributes else None
    return {"images of": name, "positive": positive, "negative": negative, "of them for validation": validation}


with logs.job(snakemake.log[0], snakemake.params.code):
    # Not a param: a setting that changes no table or figure should not write the report anew.
    inputs, settings = snakemake.input, snakemake.config
    registry.use(settings["variants"])
    results = Path(snakemake.output[0]).parent
    attributes = [files.attributes(path, "images") for path in inputs.images]
    attributes += [files.attributes(path, "test_images") for path in inputs.tests]
    fusions = []
    for name, fusion in settings["fusions"].items():
        one = {"name": name, "concepts": fusion["concepts"], "shown": inputs[f"shown_{name}"]}
        one |= {"tables": named(inputs[f"tables_{name}"]), "figures": shown(inputs[f"figures_{name}"])}
        tables = map(Path, inputs[f"tables_{name}"])
        rows, sentence = run_facts.older_code(results.parent, snakemake.params.sources[name], tables)
        one |= {"older_rows": rows, "older": sentence}
        if published := inputs.get(f"published_{name}"):
            one["published"] = named(published, "published_")
        if generators := inputs.get(f"generators_{name}"):
            translated = zip(snakemake.params.translated[name].items(), generators, strict=True)
            one["verdicts"] = {
                of: measures.verdict(io.read_history(path), domains) for (of, domains), path in translated
            }
        fusions.append(one)
    report.build(
        snakemake.output[0],
        title="zoofuse: " + (", ".join(settings["fusions"]) or "zoos"),
        fusions=fusions,
        zoo=inputs.get("zoo"),
        images=[counts(each) for each in attributes],
        image_notes=[images.summary(each) for each in attributes],
        figures=named(inputs.figures),
        settings=settings,
        environment=run_facts.versions(),
        times=run_facts.run_times(results / "benchmarks"),
        sizes=run_facts.folder_sizes(results),
    )
