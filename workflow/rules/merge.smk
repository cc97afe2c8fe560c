"""From the shards' scores to the published tables.

`merge` replaces the folder of tables as a whole. Only its smallest file is declared: Snakemake
deletes declared outputs before the job, and an analyst shall have the old tables or the new ones.
"""


rule merge_scores:
    input:
        cohort=files_of_shards("cohort.parquet"),
        statuses=files_of_shards("convert/{shard}.parquet"),
        scores=files_of_shards("scores/{shard}.parquet"),
    output:
        counts=report(
            "tables/reconciliation.json",
            caption="../report/counts.rst",
            category="Tables",
        ),
    log:
        "logs/merge.log",
    conda:
        "../envs/mriqa.yaml"
    resources:
        mem_mb=PLAN.mem_mb("merge"),
        runtime=PLAN.runtime("merge"),
    params:
        settings=lambda wildcards: PLAN.settings("rating"),
        format_version=PLAN.format_version("rating"),
    message:
        "Rate the cohort and write its tables"
    shell:
        "mriqa merge . --settings {params.settings:q} --mem-mb {resources.mem_mb} > {log} 2>&1"
