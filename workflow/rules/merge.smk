"""From the shards' scores to the published tables."""


rule merge_scores:
    input:
        cohort=files_of_shards("cohort.parquet"),
        statuses=files_of_shards("convert/{shard}.parquet"),
        scores=files_of_shards("scores/{shard}.parquet"),
    output:
        volumes="tables/volumes.parquet",
        subjects="tables/subjects.parquet",
        subjects_tsv=report(
            "tables/subjects.tsv", caption="../report/subjects.rst", category="Tables"
        ),
        failures="tables/failures.parquet",
        runs="tables/runs.parquet",
        counts="tables/reconciliation.json",
    log:
        "logs/merge.log",
    conda:
        "../envs/mriqa.yaml"
    resources:
        mem_mb=PLAN.mem_mb("merge"),
        runtime=PLAN.runtime("merge"),
    params:
        settings=PLAN.settings("rating"),
        format_version=PLAN.format_version("rating"),
    message:
        "Rate the cohort and write its tables"
    shell:
        "mriqa merge . --settings {params.settings:q} > {log} 2>&1"
