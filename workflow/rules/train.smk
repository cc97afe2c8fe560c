"""A method's model, trained once.

The model's id stands for all that decides what is learned. So a file of that name is the model, and
the rule makes only what is not there: whatever becomes of the shards that the model was trained on
(`training/*.parquet` pins their series), it stays.
"""


rule train_method:
    input:
        results=results_to_train_on,
    output:
        provenance="models/{method}/{model_id}/provenance.json",
    log:
        "logs/train/{method}/{model_id}.log",
    wildcard_constraints:
        method=one_of(PLAN.untrained()),
    conda:
        "../envs/mriqa.yaml"
    threads: PLAN.training.threads
    resources:
        **PLAN.training.resources,
    params:
        settings=PLAN.learned.settings_of("learning"),
    message:
        "Train {wildcards.model_id}"
    shell:
        "mriqa train {wildcards.method} . --model-id {wildcards.model_id} --settings"
        ' {params.settings:q} --training "$TRAINING" --rating "$RATING" > {log} 2>&1'
