"""The report's words beside its figures and tables."""

# What the first figure of each protocol shows.
CAPTIONS = {
    "held_out": "Score: the median over a method's CNNs, with a 95 % interval over CNNs and images. Shapes and dots: "
    "all its CNNs. All are scored on the test half, which nothing was selected on or fitted to.",
    "zero_shot": "Score: the median over a method's CNNs, with a 95 % interval over CNNs and images. Only the oracle "
    "was trained on the conjunction.",
    "published": "Score: the median over a method's CNNs. Shapes and dots: all its CNNs. This protocol is "
    "transductive. The published CNNs were scored by their authors, on 89 images of their own.",
}

# What a reader who cannot see a figure should hear, by kind; {name} is filled in.
ALT = {
    "examples": "Contact sheet: example images of every concept and test set, positive above negative ones.",
    "suspects": "{name}: contact sheet of the positives of each concept that another concept's zoo is surest of.",
    "zoo_histogram": "Histogram of the final validation balanced accuracy, a panel for each concept; the table has "
    "the numbers.",
    "zoo_curves": "Training loss and validation balanced accuracy per epoch, median and quartiles for each concept.",
    "kernels": "{name}: {layer} kernels as {look}, trained and translated side by side.",
    "few_shot": "{name}: AUROC by the number of labelled images, for each method; also a table.",
    "replicates": "{name}: for each method a dot for every run from another seed, with intervals; also a table.",
    "cyclegan": "{name}: losses and measures of the CycleGANs per epoch.",
    "cosine": "{name}: heat map of the cosine similarity between the features of every two test images, by group.",
}

# The tables a fusion may have, in the order shown: heading and what its columns are.
TABLES = {
    "leaderboard": (
        "Leaderboard",
        "median, q25, q75: over the CNNs of a method. selected: the CNN (domain/model) with the best validation score. "
        "test: its score on the test half, with a 95 % bootstrap interval. bias: validation minus test. dead share: "
        "CNNs that give every image the same features.",
    ),
    "comparisons": (
        "Generated CNNs against baselines",
        "what: medians over CNNs, or the two selected CNNs on the same images. low, high: an interval corrected for "
        "the number of comparisons. The verdict is better or worse where the interval excludes zero, and otherwise "
        "inconclusive. Foreign classifiers, whose predictions were read from files, are compared with generated CNNs "
        "and baselines; their intervals are corrected for the number of these comparisons.",
    ),
    "zero_shot": (
        "Zero-shot conjunction",
        "Predictions are the product of one head for each concept, none of which saw the conjunction. median and test "
        "are the area under the ROC curve. The CNN is selected on the concepts' own validation images.",
    ),
    "replicates": (
        "Several seeds",
        "Each run has its own seed for its zoos, its CNNs and the split of the test images. median: the mean of the "
        "runs' medians over CNNs, with a 95 % interval over runs and images. least, greatest: single runs. against: "
        "all negative images, or one group of them.",
    ),
    "replicate_comparisons": (
        "Generated CNNs against baselines, several seeds",
        "Differences of medians, paired by run. low, high: an interval over runs and images, corrected for the number "
        "of comparisons. The verdict is better or worse where it excludes zero, and otherwise inconclusive.",
    ),
    "selection": (
        "Ways to select a CNN",
        "The CNN that each rule selects, and its score on the test half. All rules except validation need no labels. "
        "chance: the median over the method's CNNs, the expected score of a random choice.",
    ),
    "few_shot": (
        "Few labelled images",
        "AUROC on the test half of linear probes fitted to the given number of images of each class from the "
        "validation half, averaged over draws. median, q25, q75: over CNNs. 0: the CNNs' own classification heads, "
        "another estimator. Supervision: few-shot.",
    ),
    "nearest_parent": (
        "Distance to the nearest parent",
        "Over all conv weights, up to the order of channels: 0 is a copy, 1 or more unrelated. Parents are compared "
        "with the other parents. n = 0: not applicable, as no parent has the architecture of these CNNs.",
    ),
    "groups": (
        "Accuracy by group of images",
        "Accuracy on a group's images of the selected CNN, and the median over CNNs.",
    ),
}
PER_CNN = "one row per CNN"

# NetSpace's settings, in the order shown: what original, decoded and control are in each.
NETSPACE = {
    "one_architecture": (
        "Held-out CNNs of both zoos, in the original and decoded. Control: noise as large as the change by decoding, "
        "the average of all CNNs, or another held-out CNN. nearest: distance to the nearest training CNN, 0 for a copy."
    ),
    "interpolation": (
        "The midpoints of interpolation paths between held-out CNNs. Original: the ends. Control: the same path "
        "through raw weights."
    ),
    "latent_optimisation": (
        "Latent codes optimised for behaviour. Original: the best CNN of the zoo. Control: training from scratch for "
        "as many steps. best_of: the best of the optimised codes, selected as the zoo's CNN is, on images that it is "
        "not measured on."
    ),
    "several_architectures": (
        "Held-out networks of several architectures in one space. Control: the average of all weights, another "
        "held-out network, or a blind guess of the architecture."
    ),
    "unseen_architectures": (
        "Architectures of which the space saw no trained network, decoded between two architectures that it saw. "
        "Original: trained networks. Control: untrained ones."
    ),
    "shapes": (
        "Small networks (SIRENs) that predict the signed distance to a chair, a table or a lamp. Accuracy: share of "
        "points within 0.01 of the true distance. Original: each held-out shape's own network. Control: the training "
        "network with the most similar predictions, or what is named. nearest: distance to the nearest training "
        "network. accuracy_trained_on: of the training shapes."
    ),
}
ALT |= {
    f"netspace_{name}": f"NetSpace, {name.replace('_', ' ')}: the table above the figure has its numbers."
    for name in NETSPACE
}
# In the CSV, but not in the table on the page.
HIDDEN = ["noise", "cosine_within", "cosine_between", "measure", "selected_on", "median_low", "median_high"]
