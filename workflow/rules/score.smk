"""A shard's metrics, from its Zarr store."""


rule score_shard:
    input:
        manifest="shards/{shard}.parquet",
        status="convert/{shard}.parquet",
        maps=brain_maps_of_shard,
    output:
        scores="scores/{shard}.parquet",
    log:
        "logs/score/{shard}.log",
    conda:
        "../envs/mriqa.yaml"
    threads: PLAN.threads("score")
    resources:
        **PLAN.resources("score"),
    params:
        store="zarr/{shard}.zarr",
        settings=lambda wildcards: PLAN.settings("score"),
        format_version=PLAN.format_version("score"),
    message:
        "Score {wildcards.shard}"
    shell:
        "mriqa score {input.manifest} --store {params.store} --convert-status {input.status}"
        " --output {output.scores} --brain-maps {input.maps}"
        " --settings {params.settings:q} --threads {threads}"
        " --mem-mb {resources.mem_mb} > {log} 2>&1"
