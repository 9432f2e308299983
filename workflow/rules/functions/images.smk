# Functions: what images are made from, and what is wrong with their folders.


def picture_source(place):
    """What an images file is made from: the keys of a concept or of a fusion's test that name images."""
    source = {key: place.get(key) for key in ("source", "dataset", "positive", "negative")}
    if place["source"] == "folder":
        source["folders"] = folders_digest(config["images_root"], place["positive"] + place["negative"])
    if place["source"] == "synthetic":
        source["images"] = config["synthetic"]["images" if "models" in place else "test_images"]  # per class
    return source


def concept_source(wildcards):
    keys = ("validation_share", "validation_max", "unreadable", "duplicates")
    settings = {key: config["images"][key] for key in keys}
    return looked_at(known(config["concepts"], wildcards.concept, "concept")) | settings


def test_source(wildcards):
    settings = {key: config["images"][key] for key in ("unreadable", "duplicates", "leaks")}
    test = known(config["fusions"], wildcards.fusion, "fusion")["test"]
    if test["order"] != "positives_first":  # left out else, so that no finished run is done again
        settings["order"] = test["order"]
    return looked_at(test) | settings


def looked_at(place):
    """As `picture_source`, with its faults in words."""
    try:
        return picture_source(place)
    except ValueError as error:
        raise told(error) from None


def picture_inputs(place):
    """What a place's images come from: folders, whose content `picture_source` tells, or an archive."""
    if place["source"] == "torchvision":
        return {"archive": f"resources/downloads/{place['dataset']}.tar.gz"}
    if place["source"] == "folder":
        root = Path(config["images_root"])
        folders = [str(spelled(root / folder)) for folder in place["positive"] + place["negative"]]
        return {
            "folders": [local(ancient(folder)) for folder in folders]
        }  # read where they lie, also with remote storage
    return {}


@functools.cache
def place_faults():
    """Where in the configuration -> what is wrong with its folders; looked for once, by the first rule that reads any.

    Nothing in a job on another node: the run that submitted it has looked.
    """
    return folder_faults(config) if workflow.is_main_process else {}


def checked_folders(where, place, output):
    """A place's inputs; where its folders can't be used, they are missing for Snakemake too.

    Then Snakemake goes on with `output` where it exists, and it was made from these folders, and stops otherwise.
    """
    inputs, faults = picture_inputs(place), place_faults()
    if where in faults:
        every = "\n".join(dict.fromkeys(fault.words for fault in faults.values()))
        if not faults[where].gone or (os.path.exists(output) and not made_from(Path(output), place)):
            refuse(every)
        warn(f"{every}\nWhat was made of these images before is kept; nothing new is made of them.")
        inputs["folders"] = [local(str(Path(config["images_root"]) / f"(images of {where})"))]
    return inputs


def concept_pictures(wildcards):
    place = known(config["concepts"], wildcards.concept, "concept")
    return checked_folders(f"concepts.{wildcards.concept}", place, f"results/images/{wildcards.concept}.h5")


def test_pictures(wildcards):
    place = known(config["fusions"], wildcards.fusion, "fusion")["test"]
    return checked_folders(f"fusions.{wildcards.fusion}.test", place, f"results/test_images/{wildcards.fusion}.h5")


def fusion_images(wildcards):
    """The images of a fusion's concepts; an existing zoo brings none."""
    fusion = known(config["fusions"], wildcards.fusion, "fusion")
    return [f"results/images/{concept}.h5" for concept in fusion["concepts"] if concept in trained_concepts()]


def checked_places():
    """Where in the configuration -> concept or test that names images; an existing zoo has none."""
    concepts = {f"concepts.{name}": config["concepts"][name] for name in trained_concepts()}
    return concepts | {f"fusions.{name}.test": fusion["test"] for name, fusion in config["fusions"].items()}


def checked_pictures(wildcards):
    """The folders, and the archives by the names of their data sets."""
    inputs = {"folders": []}
    for where, place in checked_places().items():
        found = checked_folders(where, place, "")  # what was found out before stays as it is
        inputs["folders"] += found.get("folders", [])
        inputs |= {place["dataset"]: found["archive"]} if "archive" in found else {}
    return inputs


def checked_sources(wildcards):
    """Where in the configuration -> what its images are made from. A function, so that no other job looks at them."""
    return {where: looked_at(place) for where, place in checked_places().items()}
