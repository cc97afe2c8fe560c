"""A shard's series to Zarr. The store is no declared output: Snakemake would delete it first."""


rule convert_shard:
    input:
        manifest="shards/{shard}.parquet",
    output:
        status="convert/{shard}.parquet",
    log:
        "logs/convert/{shard}.log",
    conda:
        "../envs/mriqa.yaml"
    threads: PLAN.threads("convert")
    resources:
        **PLAN.resources("convert"),
    params:
        store="zarr/{shard}.zarr",
        settings=lambda wildcards: PLAN.settings("convert"),
        format_version=PLAN.format_version("convert"),
    message:
        "Convert {wildcards.shard} to Zarr"
    shell:
        "mriqa convert {input.manifest} --store {params.store} --status {output.status}"
        " --settings {params.settings:q} --threads {threads} --mem-mb {resources.mem_mb}"
        " > {log} 2>&1"
