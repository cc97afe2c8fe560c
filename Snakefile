"""mriqa: from the files of a cohort to quality tables.

    snakemake --configfile config/demo.yaml --profile profiles/local

works; `mriqa run config/demo.yaml` is the same with progress, a lock and an index beforehand.
All paths in the rules are relative to the results folder, where Snakemake keeps its records too.
"""

import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from mriqa.errors import UserError
from mriqa.run.plan import find_root, make_plan, shell_prefix

min_version("9.0")

ROOT = find_root(workflow.is_main_process)
try:
    PLAN = make_plan(config, ROOT)
except UserError as error:
    raise WorkflowError(str(error)) from None

# with conda or a container, under their Python
PYTHON = "python" if workflow.deployment_settings.deployment_method else sys.executable
shell.prefix(shell_prefix(PYTHON, PLAN))


envvars:
    "MRIQA_ROOT",


workdir: str(PLAN.results)


wildcard_constraints:
    shard=r"shard-\d+",
    method=r"[a-z]+",
    model_id=r"[a-z]+-[0-9a-f]{12}",


include: "workflow/rules/inputs.smk"
include: "workflow/rules/index.smk"
include: "workflow/rules/convert.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/reference.smk"
include: "workflow/rules/rate.smk"
include: "workflow/rules/merge.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/evaluate.smk"


report: "workflow/report/workflow.rst"


localrules:
    all,
    index_cohort,


rule all:
    default_target: True
    input:
        # named here too, as Snakemake does not make a lost file that only finished jobs have read
        results_of_shards,
        models_with_banks,
        rules.merge_scores.output,
        rules.write_report.output,
        rules.evaluate_ratings.output if PLAN.has_truth else [],
        expand(rules.experiment_method.output, method=PLAN.experiments),


onstart:
    PLAN.hold_results()
