"""`zoofuse predict`: what the workflow's rule `predict` writes, for a model in any folder."""

from pathlib import Path

import torch

from zoofuse.core.text import printable
from zoofuse.data.decoding import ImageError
from zoofuse.export import models, predict


def write(model: str, folder: str, output: str, cores: int) -> str:
    """Score the images of a folder, and write a CSV, a CSV of unreadable images, and a gallery.

    Args:
        model: folder of an exported model, such as results/models/blue_dress/distil.
        folder: images.
        output: folder to write into. The files in it are named by the last two names of `model`:
            blue_dress/distil.csv, distil.unreadable.csv and distil.html.
        cores: batches of images that are scored at a time.

    Returns:
        A line that says how many images are predicted yes, and where the files are.

    Raises:
        ValueError: there is no model or no image, or nothing can be written; worded for users.
    """
    torch.set_num_threads(1)  # batches run in parallel threads
    loaded = models.load(model)
    try:
        predictions = predict.predict(loaded, folder, threads=cores)
    except ImageError as error:
        raise ImageError(str(error).removesuffix(predict.ADVICE)) from None
    place = Path(model).expanduser().resolve()
    base = Path(output, *(place.parent if place.is_file() else place).parts[-2:])
    names = {"scores": ".csv", "unreadable": ".unreadable.csv", "gallery": ".html"}
    paths = {what: base.with_name(base.name + suffix) for what, suffix in names.items()}
    predict.write(predictions, loaded, folder, **paths, threads=cores)
    yes, total = int((predictions.scores["prediction"] == "yes").sum()), len(predictions.scores)
    scores, gallery = printable(paths["scores"]), printable(paths["gallery"])
    return f"{yes:,} of {total:,} images are predicted yes. Scores: {scores}; as a page: {gallery}"
