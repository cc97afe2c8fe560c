"""What there is: only for plain `snakemake`, as `mriqa run` has indexed before.

Nothing else names the output of this checkpoint. So indexing again reruns no shard by itself, but
only those whose manifest has changed.
"""


checkpoint index_cohort:
    output:
        mark=PLAN.index_mark,
    log:
        "logs/index.log",
    conda:
        "../envs/mriqa.yaml"
    params:
        root=lambda wildcards: str(ROOT),
        results=lambda wildcards: str(PLAN.results),
        config=lambda wildcards: PLAN.config_json,
    message:
        "Index the cohort"
    shell:
        "cd {params.root:q} && printf %s {params.config:q} | mriqa index /dev/stdin"
        " > {params.results:q}/{log} 2>&1"
