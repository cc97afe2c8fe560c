"""Input functions: which files of which shards, methods and references a job reads."""


def files_of_shards(pattern, methods=("",)):
    """An input function: `pattern` for every shard, after indexing where that is due."""

    def listed(wildcards):
        if not PLAN.is_indexed():
            checkpoints.index_cohort.get()
        names = [(shard, method) for method in methods for shard in PLAN.shards()]
        return sorted({pattern.format(shard=one, method=of) for one, of in names})

    return listed


def brain_maps_of_shard(wildcards):
    """The list of the user's masks and tissue maps, where `index` has found any."""
    return PLAN.brain_maps(wildcards.shard)


def results_of_shards(wildcards):
    """What was found in all shards, by all learned methods too, and the cohort's table."""
    names = ["cohort.parquet", "convert/{shard}.parquet", "scores/{shard}.parquet"]
    rated = files_of_shards("scores/{method}/{shard}.parquet", PLAN.methods)
    return sum((files_of_shards(name)(wildcards) for name in names), rated(wildcards))


def results_to_train_on(wildcards):
    """What was found in the shards that hold pinned series and labels; trusted volumes, too."""
    method, learned = wildcards.method, PLAN.learned
    stages = ("convert", "scores") if learned.needs_scores(method) else ("convert",)
    shards = [one for one in learned.training_shards(method) if one in PLAN.loads]
    results = [f"{stage}/{one}.parquet" for stage in stages for one in shards]
    if learned.needs_scores(method) and learned.trusts(method):
        results += references_with_results(wildcards)
    return sorted(set(results))


def references_with_results(wildcards):
    """The list, proposed first where that is due, and what was found in the shards it names."""
    if wildcards.method in PLAN.learned.unlisted():
        checkpoints.propose_references.get(method=wildcards.method)
    shards = PLAN.learned.reference_shards(wildcards.method)
    results = [
        f"{stage}/{one}.parquet" for stage in ("convert", "scores") for one in shards
    ]
    return [str(PLAN.learned.reference_list(wildcards.method)), *results]


def model_to_rate_by(wildcards):
    """The last that is made of the model that is asked for: its reference bank, if it has one."""
    return str(PLAN.learned.judge(wildcards.method))


def models_with_banks(wildcards):
    """The model of every learned method that is switched on, and its bank, if it has one."""
    if not PLAN.is_indexed():
        checkpoints.index_cohort.get()
    models = [PLAN.learned.model(method) / "provenance.json" for method in PLAN.methods]
    judges = [PLAN.learned.judge(method) for method in PLAN.methods]
    return sorted({str(path) for path in (*models, *judges)})


def one_of(methods):
    """A pattern that matches these methods; none: nothing, and a rule with it makes nothing."""
    return "|".join(methods) or "(?!)"
