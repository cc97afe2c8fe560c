"""A shard's volumes compared with the references of a learned method."""


rule rate_shard:
    input:
        manifest="shards/{shard}.parquet",
        status="convert/{shard}.parquet",
        scores="scores/{shard}.parquet",
        judge=model_to_rate_by,
    output:
        scores="scores/{method}/{shard}.parquet",
    log:
        "logs/rate/{method}/{shard}.log",
    conda:
        "../envs/mriqa.yaml"
    threads: PLAN.threads("rate")
    resources:
        **PLAN.resources("rate"),
    params:
        model_id=lambda wildcards: PLAN.learned.model_id(wildcards.method),
        persons=lambda wildcards: PLAN.learned.persons(wildcards.shard),
        format_version=lambda wildcards: PLAN.method_version(wildcards.method, "score"),
    message:
        "Rate {wildcards.shard} by {wildcards.method}"
    shell:
        "mriqa rate {wildcards.method} . {wildcards.shard} --model-id {params.model_id}"
        ' --training "$TRAINING" --threads {threads} --mem-mb {resources.mem_mb}'
        " > {log} 2>&1"
