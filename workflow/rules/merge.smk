"""From the shards' scores to the published tables.

`merge` replaces the folder of tables as a whole. Only its smallest file is declared: Snakemake
deletes declared outputs before the job, and an analyst shall have the old tables or the new ones.
"""


rule merge_scores:
    input:
        results=results_of_shards,
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
        **PLAN.resources("merge"),
    params:
        settings=lambda wildcards: PLAN.settings("rating"),
        methods=" ".join(PLAN.methods),
        format_version=PLAN.format_version("rating"),
    message:
        "Merge the scores into the tables"
    shell:
        "mriqa merge . --settings {params.settings:q} --methods {params.methods}"
        " --mem-mb {resources.mem_mb} > {log} 2>&1"
