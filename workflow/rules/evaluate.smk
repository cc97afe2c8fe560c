"""How well the ratings find what is known to be bad; only where the configuration has a truth."""


rule evaluate_ratings:
    input:
        tables=rules.merge_scores.output,
        truth=PLAN.truth or [],
    output:
        results="evaluation/artifacts.json",
    log:
        "logs/evaluate.log",
    conda:
        "../envs/mriqa.yaml"
    resources:
        **PLAN.resources("merge"),
    params:
        settings=lambda wildcards: PLAN.settings("evaluation"),
        format_version=PLAN.format_version("evaluation"),
    message:
        "Compare the ratings with the truth table"
    shell:
        "mriqa evaluate . --settings {params.settings:q} > {log} 2>&1"


rule experiment_method:
    input:
        tables=rules.merge_scores.output,
        judge=model_to_rate_by,
        truth=PLAN.truth or [],
    output:
        results="experiments/{method}_small.json",
    log:
        "logs/experiment/{method}.log",
    conda:
        "../envs/mriqa.yaml"
    threads: PLAN.threads("bank")
    resources:
        **PLAN.resources("reference"),
    params:
        settings=lambda wildcards: PLAN.settings("evaluation"),
        format_version=PLAN.format_version("experiment"),
    message:
        "Experiment with {wildcards.method}"
    shell:
        'printf %s "$CONFIG" | mriqa experiment {wildcards.method} /dev/stdin --small'
        " --threads {threads} > {log} 2>&1"


# HyS-Net's Table 1, its Fig. 3, another content, noise: hours, so only when asked for by name
rule ablation:
    input:
        tables=rules.merge_scores.output,
        experiments=PLAN.hysnet_experiments or [],
    output:
        results="experiments/hysnet_ablation.json",
    log:
        "logs/experiment/hysnet_ablation.log",
    conda:
        "../envs/mriqa.yaml"
    threads: PLAN.training.threads
    resources:
        **PLAN.training.resources,
    params:
        learning=PLAN.hysnet_learning,
        part="ablation",
        format_version=PLAN.format_version("hysnet_tables"),
    message:
        "Tables of HyS-Net: {params.part}"
    shell:
        'printf %s "$CONFIG" | mriqa experiment hysnet /dev/stdin --part {params.part}'
        " --threads {threads} > {log} 2>&1"


use rule ablation as comparators with:
    output:
        results="experiments/hysnet_comparators.json",
    log:
        "logs/experiment/hysnet_comparators.log",
    params:
        learning=PLAN.hysnet_learning,
        part="comparators",
        format_version=PLAN.format_version("hysnet_tables"),
