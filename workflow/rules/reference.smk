"""What a method compares with: a list of good scans, and their embeddings, the reference bank.

The list is proposed once. Then it is the user's: the rule makes only what is not there, and never
overwrites an edited one. A bank knows what it was made from; its rule makes what was made from
something else than is asked for now.
"""


checkpoint propose_references:
    input:
        scores=files_of_shards("scores/{shard}.parquet"),
    output:
        listed="references/{method}.tsv",
    log:
        "logs/propose/{method}.log",
    wildcard_constraints:
        method=one_of(PLAN.learned.unlisted()),
    conda:
        "../envs/mriqa.yaml"
    resources:
        **PLAN.resources("merge"),
    params:
        settings=PLAN.learned.settings_of("trusted"),
    message:
        "Propose references for {wildcards.method}"
    shell:
        "mriqa propose {wildcards.method} . --settings {params.settings:q}"
        ' --rating "$RATING" --mem-mb {resources.mem_mb} > {log} 2>&1'


rule build_bank:
    input:
        model="models/{method}/{model_id}/provenance.json",
        references=references_with_results,
    output:
        made_from="models/{method}/{model_id}/bank/made_from.json",
    log:
        "logs/reference/{method}/{model_id}.log",
    wildcard_constraints:
        method=one_of(PLAN.unbanked()),
    conda:
        "../envs/mriqa.yaml"
    threads: PLAN.threads("bank")
    resources:
        **PLAN.resources("reference"),
    params:
        digest=lambda wildcards: PLAN.learned.bank_digest(wildcards.method),
        settings=PLAN.learned.settings_of("trusted"),
    message:
        "Build the reference bank of {wildcards.model_id}"
    shell:
        "mriqa reference {wildcards.method} . --model-id {wildcards.model_id} --digest"
        ' {params.digest:q} --settings {params.settings:q} --rating "$RATING"'
        ' --training "$TRAINING" --threads {threads}'
        " --mem-mb {resources.mem_mb} > {log} 2>&1"
