from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from inkling.checkpoints.card import card
from inkling.checkpoints.checkpoint import Checkpoint
from inkling.checkpoints.config import Result
from inkling.data.episodes import ClassImages, EpisodePlan, EpisodeShape, realize
from inkling.meta.network import Network
from inkling.meta.params import Params
from inkling.networks.conv4 import Conv4
from inkling.networks.lstm import Lstm
from inkling.networks.resnet12 import ResNet12
from inkling.training.candidate import Candidate, Inductive
from inkling.training.evaluation import Setting, evaluate
from inkling.training.transductive import TransductiveCandidate, normalised_by_batch
from torch.nn import functional

RESULT = Result(
    split="omniglot test",
    n_way=5,
    n_shot=1,
    n_query=15,
    episodes=600,
    seed=0,
    accuracy=0.9,
    interval=0.01,
    nearest_centroid=0.8,
    nearest_centroid_interval=0.01,
)


def answers(candidate: Candidate) -> torch.Tensor:
    """`(query, n_way)` log-probabilities of one episode."""
    log_probabilities: list[torch.Tensor] = []

    def note(_plan: EpisodePlan, _fast_weights: Params, rows: torch.Tensor) -> None:
        log_probabilities.append(rows.log_softmax(1))

    setting = Setting(EpisodeShape.fixed(5, 1, 2), 1, 0)
    evaluate(candidate, setting, on_logits=note)
    return log_probabilities[0]


def with_other_last_query(classes: ClassImages) -> ClassImages:
    """The same classes, but for the episode's last query, which is drawn upside down."""
    plans: list[EpisodePlan] = list(Setting(EpisodeShape.fixed(5, 1, 2), 1, 0).plans(classes))
    index, position = plans[0].classes[-1], plans[0].query[-1][-1]
    images = [members[:].clone() for members in classes.images]
    images[index][position] = images[index][position].rot90(2, (-2, -1))
    return replace(classes, images=tuple(images))


def test_other_queries_have_a_say_in_transductive_answers_alone(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    other = with_other_last_query(classes)
    network, initialization = checkpoint.network, checkpoint.initialization
    inductive = [answers(Inductive(network, initialization, these)) for these in (classes, other)]
    assert not torch.allclose(inductive[0][-1], inductive[1][-1], atol=1e-3)
    torch.testing.assert_close(inductive[0][:-1], inductive[1][:-1], rtol=0, atol=1e-4)
    together = [
        answers(TransductiveCandidate(normalised_by_batch(network), initialization, these))
        for these in (classes, other)
    ]
    moved = (together[0][:-1] - together[1][:-1]).abs().max(1).values
    assert (moved > 1e-2).all()


def test_a_batch_normalises_itself_as_batch_normalization_does(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    """Recomputed with torch's own layers, block by block."""
    params = checkpoint.initialization.params
    hidden = images = torch.cat([members[:2] for members in classes.images[:5]])
    for block in range(1, 5):
        name = f"block{block}"
        hidden = functional.conv2d(hidden, params[f"{name}.weight"], padding=1)
        mean = hidden.mean((0, 2, 3), keepdim=True)
        variance = hidden.var((0, 2, 3), keepdim=True, correction=0)
        gain, bias = (params[f"{name}.{kind}"].reshape(1, -1, 1, 1) for kind in ("gain", "bias"))
        hidden = (hidden - mean) / (variance + 1e-5).sqrt() * gain + bias
        hidden = functional.max_pool2d(hidden.relu(), 2)
    features = normalised_by_batch(checkpoint.network).features(params, images)
    torch.testing.assert_close(features, hidden.flatten(1), rtol=1e-4, atol=1e-4)


def test_with_no_steps_it_is_nearest_centroid_of_the_two_batches(
    checkpoint: Checkpoint, classes: ClassImages
) -> None:
    network, initialization = normalised_by_batch(checkpoint.network), checkpoint.initialization
    setting = Setting(EpisodeShape.fixed(5, 2, 3), 4, 0)
    candidate = TransductiveCandidate(network, initialization, classes)
    evaluation = evaluate(candidate, setting, steps=0)
    assert evaluation.accuracy == evaluation.zero_steps == evaluation.nearest_centroid
    assert evaluation.accuracy.mean > 0.8
    plan = next(setting.plans(classes))
    episode = realize(classes, plan)
    embedded = candidate.embedded(plan)
    alone = network.features(initialization.params, episode.support.images)
    torch.testing.assert_close(embedded.support.images, functional.normalize(alone, dim=1))
    assert embedded.query_images.shape == (15, network.feature_size)


def test_nothing_is_dropped_from_resnet12(classes: ClassImages) -> None:
    network = ResNet12(image_channels=1, image_size=28, drop_rate=0.5)
    params = network.initialize(torch.Generator().manual_seed(0))
    images = classes.images[0][:3]
    undropped_twice = [normalised_by_batch(network).features(params, images) for _ in range(2)]
    assert torch.equal(*undropped_twice)
    undropped = replace(network, drop_rate=0.0)
    expected, _ = undropped.features_in_pretraining(params, images, torch.Generator())
    assert torch.equal(undropped_twice[0], expected)


@pytest.mark.parametrize("network", [Conv4(norm="group"), Conv4(norm="layer"), Lstm()])
def test_networks_without_stored_statistics_are_refused(network: Network) -> None:
    with pytest.raises(ValueError, match="nothing would change"):
        normalised_by_batch(network)


def test_a_recorded_result_tells_that_it_is_transductive(checkpoint: Checkpoint) -> None:
    together = RESULT.model_copy(update={"transductive": True})
    assert not RESULT.same_setting(together)
    assert Result.model_validate(RESULT.model_dump(exclude={"transductive"})) == RESULT
    texts = []
    for results in ([RESULT], [RESULT, together]):
        config = checkpoint.config.model_copy(update={"results": results})
        texts.append(card(config, checkpoint.identity))
    assert "transductive" not in texts[0]
    assert "| omniglot test, transductive | 5 |" in texts[1]
    assert "No call is answered so" in texts[1]
