"""The HTML report of the tables."""


rule write_report:
    input:
        tables=rules.merge_scores.output,
    output:
        page="report/index.html",
        # small enough for the data URI in which `snakemake --report` embeds it
        compact=report(
            "report/compact.html", caption="../report/page.rst", category="Report"
        ),
    log:
        "logs/report.log",
    conda:
        "../envs/mriqa.yaml"
    resources:
        **PLAN.resources("merge"),
    params:
        settings=lambda wildcards: PLAN.settings("report"),
        format_version=PLAN.format_version("report"),
        labels=lambda wildcards: PLAN.labels_digest(),
    message:
        "Write the HTML report"
    shell:
        "mriqa report . --settings {params.settings:q} > {log} 2>&1"
