"""HyS-Net learns on the shared loop, goes on after a stop, and says what it says of volumes."""

import os
import signal

import numpy as np
import pytest
import torch
from hysnet_volumes import PARTS, SECTION, SMALL, blobs, learn, task_of
from image_files import convert_files, nifti_bytes, save
from scipy.stats import spearmanr
from training_workers import FORKS, with_workers

from mriqa.config import TrainingSection
from mriqa.errors import SeriesError
from mriqa.methods.hysnet.learning import loop_settings, make_job
from mriqa.methods.hysnet.net import HysNet, make_net
from mriqa.methods.hysnet.patches import Planes
from mriqa.methods.hysnet.predicting import Predictor
from mriqa.methods.hysnet.target import TargetScale
from mriqa.methods.hysnet.volumes import ArrayVolumes, Example
from mriqa.methods.hysnet.weights_plane import weights_plane
from mriqa.training.checkpoints import digest
from mriqa.training.launch import Job, finished, train_plainly
from mriqa.training.loop import learning_rate
from mriqa.training.world import World

N_TRAIN, N_TEST = 40, 24
SHORT = SECTION.model_copy(update={"epochs": 2, "halve_epochs": 0.5})
FEW = 4
TRAINED = pytest.mark.xdist_group("hysnet_trained")  # one process trains what several tests look at


@pytest.fixture(scope="module")
def held_out():
    return blobs(N_TEST, 1)


def predictor(module, scale, parts=PARTS, **changes):
    how = {"device": "cpu", "precision": "float32"} | changes
    return Predictor.of(module, parts, scale, 1.0, **how)


def rank_correlation(module, scale, volumes):
    said = predictor(module, scale)
    values = [said.predict(volumes, number).value for number in range(len(volumes.targets))]
    return float(spearmanr(values, volumes.targets).statistic)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The networks with and without a hyper-network, and the scale of what they learned."""
    volumes, made = blobs(N_TRAIN, 0), {}
    for hyper in (True, False):
        section = SECTION.model_copy(update={"net": SMALL.model_copy(update={"hyper": hyper})})
        folder = tmp_path_factory.mktemp("trained")
        made[hyper] = learn(task_of(volumes, section), N_TRAIN, folder, section).module
    return made, TargetScale.of(volumes.targets, "snr")


@TRAINED
@pytest.mark.parametrize("hyper", [True, False])
def test_it_ranks_volumes_that_it_has_not_seen_and_untrained_it_does_not(trained, hyper, held_out):
    nets, scale = trained
    untrained = make_net(SMALL.model_copy(update={"hyper": hyper}), 0)
    assert abs(rank_correlation(untrained, scale, held_out)) < 0.6
    assert rank_correlation(nets[hyper], scale, held_out) > 0.85
    said = predictor(nets[hyper], scale)
    values = [said.predict(held_out, number).value for number in range(N_TEST)]
    error = np.abs(np.subtract(values, held_out.targets)).mean()
    assert error < 0.8 * np.abs(np.subtract(held_out.targets, scale.mean)).mean()


@TRAINED
def test_generated_weights_lie_by_what_the_images_show(trained, held_out):
    """The paper's Fig. 3: where an image lies in the plane says how noisy it is, once learned."""
    nets, scale = trained
    said = predictor(nets[True], scale)
    plane = weights_plane(np.stack([said.weights(held_out, n) for n in range(N_TEST)]))
    assert plane.explained.sum() > 0.8
    assert told_by(plane.points, held_out.targets) > 0.8


def told_by(points, targets):
    """Multiple correlation of `targets` with the two coordinates."""
    columns = np.column_stack([np.ones(len(points)), points])
    fitted = columns @ np.linalg.lstsq(columns, np.array(targets), rcond=None)[0]
    return float(np.corrcoef(fitted, targets)[0, 1])


def test_bfloat16_learns_nearly_the_same(tmp_path):
    volumes = blobs(FEW, 0)
    losses = [
        learn(task_of(volumes, SHORT), FEW, tmp_path / name, SHORT, precision=name).watched["loss"]
        for name in ("float32", "bfloat16")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[1] != losses[0]


def test_slices_are_learned_as_well(tmp_path, held_out):
    net = SMALL.model_copy(update={"dimensions": 2})
    section = SECTION.model_copy(update={"net": net})
    volumes, parts = blobs(N_TRAIN, 0), Planes(40)
    trained = learn(task_of(volumes, section, parts), N_TRAIN, tmp_path, section).module
    said = predictor(trained, TargetScale.of(volumes.targets, "snr"), parts)
    found = [said.predict(held_out, number) for number in range(N_TEST)]
    assert [one.n_patches for one in found] == [len(one) for one in held_out.volumes]
    assert spearmanr([one.value for one in found], held_out.targets).statistic > 0.85


class Stops(Exception):
    """Stands for a kill that leaves no chance to tidy up."""


class Stopping:
    """The task, which stops in a batch."""

    def __init__(self, task, stop_at):
        self.inner, self.module, self.stop_at = task, task.module, stop_at
        self.rates = task.rates
        self.loss = task.loss

    def batches(self, first, count, world):
        for number, batch in enumerate(self.inner.batches(first, count, world), first):
            if number == self.stop_at:
                raise Stops
            yield batch


def test_a_run_stopped_at_any_step_ends_as_the_undisturbed_one(tmp_path):
    volumes = blobs(FEW, 0)
    whole = learn(task_of(volumes, SHORT), FEW, tmp_path / "whole", SHORT, every=2)
    assert whole.step == 6
    for stop in (1, 3, 5):
        folder = tmp_path / f"stopped-{stop}"
        with pytest.raises(Stops):
            learn(Stopping(task_of(volumes, SHORT), stop), FEW, folder, SHORT, every=2)
        again = learn(task_of(volumes, SHORT), FEW, folder, SHORT, every=2)
        assert again.resumed_from == stop // 2 * 2
        assert digest(again.module.state_dict()) == digest(whole.module.state_dict())
        assert again.watched == whole.watched


def stored_job(folder, **changes):
    """A job that learns the volumes of a store."""
    volumes = blobs(FEW, 0)
    names = [f"d_sub-0{number}_T1w" for number in range(FEW)]
    files = {
        name: save(folder / f"{name}.nii", nifti_bytes(np.ascontiguousarray(one.T)))
        for name, one in zip(names, volumes.volumes, strict=True)
    }
    store = convert_files(files, folder)[0]
    examples = [
        Example(name, 0, store, target) for name, target in zip(names, volumes.targets, strict=True)
    ]
    training = TrainingSection(device="cpu", precision="float32", checkpoint_every=2)
    scale = TargetScale.of(volumes.targets, "snr")
    section = SHORT.model_copy(update=changes)
    return make_job(examples, scale, section, "hysnet-0", training)


def child(job, folder, kill_after):
    """Train in a process that kills itself when it has seen so many losses."""
    torch.set_num_threads(1)
    task = job.make_task(None)
    seen = 0
    real = type(task).loss

    def loss(self, *given):
        nonlocal seen
        seen += 1
        if seen > kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, *given)

    type(task).loss = loss
    train_plainly(job, folder)


def test_a_killed_job_on_a_store_goes_on_and_gives_the_identical_model(tmp_path):
    job = Job.from_json(stored_job(tmp_path / "data").to_json())
    whole = train_plainly(job, tmp_path / "whole")
    process = FORKS.Process(target=child, args=(job, tmp_path / "killed", 3))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = train_plainly(job, tmp_path / "killed")
    assert digest(again.weights) == digest(whole.weights)
    assert digest(again.optimizer) == digest(whole.optimizer)
    assert finished(job.settings, tmp_path / "killed").step == 6
    assert "goes on" not in (tmp_path / "whole" / "log").read_text()
    factors = [group["factor"] for group in whole.optimizer["param_groups"]]
    assert factors == [1.0, SHORT.hyper_rate]
    make_net(SHORT.net, 0).load_state_dict(again.weights)


def test_a_job_says_what_prediction_needs(tmp_path):
    job = stored_job(tmp_path)
    assert job.arguments["parts"] == {"sides": PARTS.sides, "steps": PARTS.steps}
    assert set(job.arguments["scale"]) == {"mean", "sd"}
    assert (job.settings.steps, job.settings.halve_every) == (6, 2)


def test_epochs_and_halving_are_the_papers():
    """Of 1629 volumes an epoch is nine patches of each."""
    section = type(SECTION)(batch=9)
    settings = loop_settings(section, 1629, "m", 100, "float32")
    assert settings.steps == 50 * 1629
    assert settings.halve_every == 10 * 1629
    rates = [learning_rate(epoch * 1629, settings) for epoch in (0, 9, 10, 20, 30, 40, 49)]
    assert rates == [1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6, 6.25e-6]
    assert loop_settings(SECTION.model_copy(update={"epochs": 0.01}), 2, "m", 1, "x").steps == 1


def test_the_loss_is_the_mean_absolute_error():
    task = task_of(blobs(FEW, 0))
    batch = next(task.batches(0, 1, World()))
    task.module.eval()
    loss, seen = task.loss(task.module, batch, World())
    errors = [abs(float(task.module(one[None]).detach()) - float(target))
              for one, target in zip(*batch, strict=True)]  # fmt: skip
    assert float(loss.detach()) == pytest.approx(np.mean(errors), rel=1e-4)
    assert seen == {}


def gradient_of(world):
    """Of the batch that all workers share."""
    task = task_of(blobs(FEW, 0))
    task.module.train()
    loss, _ = task.loss(task.module, next(task.batches(0, 1, world)), world)
    loss.backward()
    for p in task.module.parameters():
        world.reduce_gradient(p.grad)
    return {name: p.grad for name, p in task.module.named_parameters()}


def test_two_workers_have_the_gradient_of_one(tmp_path):
    alone = gradient_of(World())
    first, second = with_workers(2, tmp_path / "two", gradient_of)
    for name, value in alone.items():
        size = float(value.abs().max())
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=2e-5 + 1e-3 * size)


def test_a_volume_is_judged_by_all_its_parts(held_out):
    net = make_net(SMALL, 0).eval()
    scale = TargetScale(3.0, 2.0)
    said = predictor(net, scale)
    volume = np.clip(held_out.volumes[0] / held_out.uppers[0], 0, 1)
    outputs = []
    with torch.no_grad():
        for place in PARTS.grid(volume.shape):
            z, y, x = (slice(start, start + 24) for start in place)
            outputs.append(float(net(torch.from_numpy(volume[z, y, x])[None, None])))
    found = said.predict(held_out, 0)
    assert found.value == pytest.approx(3 + 2 * np.mean(outputs), rel=1e-4)
    assert found.spread == pytest.approx(2 * np.std(outputs, ddof=1), rel=1e-2)
    assert found.n_patches == len(outputs)
    assert said.predict(held_out, 0) == found
    assert said.predict(held_out, 1) != found


def test_generated_weights_of_volumes_differ_and_plain_networks_have_none(held_out):
    net = make_net(SMALL, 0)
    assert isinstance(net, HysNet)
    said = predictor(net, TargetScale(0.0, 1.0))
    one, other = said.weights(held_out, 0), said.weights(held_out, 1)
    assert one.shape == (64 * 16 + 16 + 16 * 8 + 8 + 8 + 1,)
    assert np.abs(one - other).max() > 0
    plain = make_net(SMALL.model_copy(update={"hyper": False}), 0)
    with pytest.raises(TypeError, match="generates no weights"):
        predictor(plain, TargetScale(0.0, 1.0)).weights(held_out, 0)


def test_bfloat16_predicts_nearly_the_same(held_out):
    scale = TargetScale(0.0, 1.0)
    one, other = (
        predictor(make_net(SMALL, 0), scale, precision=name).predict(held_out, 0)
        for name in ("float32", "bfloat16")
    )
    assert other.value == pytest.approx(one.value, abs=0.02)


def test_a_network_that_gives_no_number_is_told(held_out):
    net = make_net(SMALL, 0)
    torch.nn.init.constant_(net.branches[2].fc.bias, float("nan"))
    with pytest.raises(SeriesError, match="volume 3: HyS-Net gives no finite number"):
        predictor(net, TargetScale(0.0, 1.0)).predict(held_out, 3)


def test_a_volume_smaller_than_a_cube_is_judged(held_out):
    tiny = ArrayVolumes([held_out.volumes[0][:9, :30, :17]], held_out.uppers)
    found = predictor(make_net(SMALL, 0), TargetScale(0.0, 1.0)).predict(tiny, 0)
    assert found.n_patches == 2  # along y alone there is more than one place
    assert found.spread > 0
