# zoofuse: trains zoos of tiny CNNs and CycleGANs on their kernels, generates new CNNs, evaluates all of
# them, and writes tables and a report.
#   snakemake -n                                 show what would run, and why
#   snakemake --cores 2 check                    check the images before any training
#   snakemake --cores 2                          run everything, up to results/report.html
#   snakemake --cores 2 --configfile FILE ...    run on your own concepts (config/README.md)
#   snakemake --cores 2 results/tables/black_cat/kmeans.csv     make one file and what it needs
from snakemake.utils import min_version

min_version("9.19")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


# A configuration that names images replaces the default one; any other is laid over it.
if is_overlay(config):
    default = str(HOME / "config" / ("photos.yaml" if "images_root" in config else "config.yaml"))

    configfile: default

    if workflow.modifier.skip_configfile:  # a module that is given its configuration
        config = laid_over(default, config)


run = planned(config)
config = run.config

if workflow.is_main_process and workflow.output_settings.dryrun:
    check_interpreter()
    # The size of an existing zoo is unknown once its file is gone; without it no cost can be estimated.
    if all(concept["models"] for concept in config["concepts"].values()):
        logger.info(estimate.text(config, Path(placed("results/bench"))))


pathvars:
    # All outputs lie under results/, including logs and benchmarks.
    logs="results/logs",
    benchmarks="results/benchmarks",


wildcard_constraints:
    concept=NAME,
    fusion=NAME,
    method=NAME,
    layer=f"{BANK}|joint",
    pair=r"|-[a-e]{2}",
    shard=r"\d+",
    grid=NAME,
    tasks=NAME,
    zoo=NAME,
    group=NAME,
    conjunction=NAME,


include: "workflow/rules/call.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/zoo.smk"
include: "workflow/rules/factory.smk"
include: "workflow/rules/zoo_report.smk"
include: "workflow/rules/kernels.smk"
include: "workflow/rules/cyclegan.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/netspace.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/zero_shot.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/grid.smk"
include: "workflow/rules/tasks.smk"
include: "workflow/rules/board.smk"
include: "workflow/rules/across.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/bench.smk"


onstart:
    check_interpreter()
    if not os.access(run.results if os.path.exists(run.results) else ".", os.W_OK):
        raise user_error(
            f"{run.results}: the folder can't be written. Make it writable, or call snakemake in another folder."
        )


localrules:
    all,
    zoos,
    predictions,
    tables,
    test_images,
    models,
    to_pytorch,
    trials,


rule all:
    default_target: True
    input:
        run.goals.default(),


rule zoos:
    input:
        # A function, so that the sizes of existing zoos are read only when they are needed.
        of(run.zoos, concepts=run.concepts),


rule predictions:
    input:
        # A function, as it reads the sizes of existing zoos.
        [of(run.leaderboard, fusion=fusion) for fusion in config["fusions"]],


rule tables:
    input:
        [table for fusion in config["fusions"] for table in run.tables(fusion)],


rule test_images:
    input:
        [f"results/test_images/{fusion}.csv" for fusion in config["fusions"]],


rule models:
    input:
        run.exported(),


rule to_pytorch:
    input:
        [f"results/{layout}/{name}" for layout in ("pytorch", "trials") for name in run.factories.reported()],


rule trials:
    input:
        [f"results/trials/{name}" for name in run.factories.reported()],
