"""Fine-tuning of the backbone's last block, as it is usually done, beside Inkling at 20 shots.

python -m tests.benchmarks.photographs.fine_tuning photos --data FOLDER --split validation

The last block and the convolution behind it learn by Adam, a head of class means that follows the
network, one view of each image. The rate is chosen on the validation domains.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import Checkpoint, load_checkpoint
from inkling.data.domains import read
from inkling.data.episodes import ClassImages, EpisodeShape, realize, seeded
from inkling.engine.compiled_trunk import CompiledTrunk
from inkling.engine.head_loop import adapt_head
from inkling.errors import BadData
from inkling.images.decode import decode
from inkling.meta.episode import Episode, Support
from inkling.meta.head import class_means, unit
from inkling.meta.inner_loop import logits_over_views, rounded
from inkling.meta.params import Params
from inkling.networks.backbone import Backbone, Layer
from inkling.training.evaluation import Interval
from torch.nn import functional

STEPS, SCALE, N_WAY, N_SHOT, N_QUERY = 20, 20.0, 5, 20, 15
RATES = (3e-5, 1e-4, 3e-4)


class LastBlock:
    """The part of a backbone that is tuned, and what comes of it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Raise BadData for a checkpoint that is not of a backbone."""
        if not isinstance(checkpoint.network, Backbone):
            raise BadData(f"expected a backbone, got {checkpoint.config.network.name}")
        *self._frozen, block, last = checkpoint.network.trunk()
        self._tuned = (block, last)
        self._params = checkpoint.initialization.params
        self._names = sorted(
            name
            for layer in self._tuned
            for convolution in layer.convolutions()
            for name in convolution.names() - convolution.fixed()
        )

    @torch.no_grad()
    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """What the tuned layers get of images."""
        return self._through(self._frozen, self._params, images)

    def _through(
        self, layers: Sequence[Layer], params: Params, hidden: torch.Tensor
    ) -> torch.Tensor:
        for layer in layers:
            hidden = layer(lambda convolution, maps: convolution(params, maps), hidden)
        return hidden

    def units(self, params: Params, maps: torch.Tensor) -> torch.Tensor:
        """`(image, feature)`: unit means of the last maps."""
        return unit(self._through(self._tuned, params, maps).mean((2, 3)))

    def tuned(self, support: Support, rate: float) -> tuple[Params, torch.Tensor]:
        """The parameters after all steps, and the class means by them."""
        leaves = {name: self._params[name].clone().requires_grad_() for name in self._names}
        params = {**self._params, **leaves}
        optimizer = torch.optim.Adam(leaves.values(), rate)
        for _ in range(STEPS):
            units = self.units(params, support.images)
            logits = SCALE * units @ unit(class_means(units, support)).T
            optimizer.zero_grad()
            functional.cross_entropy(logits, support.labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            return params, unit(class_means(self.units(params, support.images), support))

    @torch.no_grad()
    def right(self, params: Params, means: torch.Tensor, episode: Episode) -> float:
        """The share of queries that are right."""
        found = (self.units(params, episode.query_images) @ means.T).argmax(1)
        return float((found == episode.query_labels).to(torch.float64).mean())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Compare with fine-tuning.")
    parser.add_argument("checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=["validation", "test"], default="validation")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--episodes", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(find_checkpoint(given.checkpoint))
    block = LastBlock(checkpoint)
    print("| domain | Inkling | " + " | ".join(f"Adam {rate:g}" for rate in given.rates) + " |")
    print("| --- | --- |" + " --- |" * len(given.rates))
    for domain, of_maps, of_features in _domains(checkpoint, block, given.data, given.split):
        shares: list[list[float]] = [[] for _ in range(1 + len(given.rates))]
        seconds = [0.0] * len(shares)
        for number in range(given.episodes):
            shape = EpisodeShape.fixed(N_WAY, N_SHOT, N_QUERY)
            try:
                plan = of_maps.plan(shape, seeded(0, number))
            except BadData:
                break
            episode = realize(of_maps, plan)
            right, took = _adapted(checkpoint, block, episode, realize(of_features, plan))
            shares[0].append(right)
            seconds[0] += took
            for place, rate in enumerate(given.rates, 1):
                began = time.perf_counter()
                params, means = block.tuned(episode.support, rate)
                seconds[place] += time.perf_counter() - began
                shares[place].append(block.right(params, means, episode))
        if shares[0]:
            cells = [
                f"{100 * Interval.of(values).mean:.2f} ({took / len(values):.2f} s)"
                for values, took in zip(shares, seconds, strict=True)
            ]
            print(f"| {domain} | " + " | ".join(cells) + " |", flush=True)


@torch.no_grad()
def _adapted(
    checkpoint: Checkpoint, block: LastBlock, of_maps: Episode, of_features: Episode
) -> tuple[float, float]:
    """The share of queries that Inkling has right, and the seconds that its adaptation took.

    One pass of the support set through the layers that the others tune counts among these.
    """
    initialization = checkpoint.initialization
    began = time.perf_counter()
    block.units(initialization.params, of_maps.support.images)
    own = adapt_head(initialization, of_features.support, initialization.inner_loop.steps)
    took = time.perf_counter() - began
    params = {**initialization.params, **own.adapted}
    found = logits_over_views(params, of_features.query_images).argmax(1)
    return float((found == of_features.query_labels).to(torch.float64).mean()), took


def _domains(
    checkpoint: Checkpoint, block: LastBlock, data: Path, split: str
) -> Iterator[tuple[str, ClassImages, ClassImages]]:
    """Each domain with the maps before the last block in place of images, and with features."""
    initialization = checkpoint.initialization
    stop = len(checkpoint.network.parts)
    trunk = CompiledTrunk(checkpoint.network, initialization.params, stop)
    groups: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for encoded in read(data, split):  # type: ignore[arg-type]
        maps, features = [], []
        for _, content in encoded.files:
            rgba = decode(content, checkpoint.preprocessing.useful_side)
            image = checkpoint.preprocessing.prepare([rgba]).images
            maps.append(block.maps(image))
            features.append(rounded(initialization.inner_loop, trunk(image)))
        of_class = torch.cat(maps), torch.cat(features).unsqueeze(1)
        groups.setdefault(encoded.group, []).append(of_class)
    for domain, classes in groups.items():
        maps_of, features_of = zip(*classes, strict=True)
        yield domain, _classes(domain, maps_of), _classes(domain, features_of)


def _classes(domain: str, images: tuple[torch.Tensor, ...]) -> ClassImages:
    names = tuple(str(place) for place in range(len(images)))
    return ClassImages(names, (domain,) * len(images), images, in_groups=True)


if __name__ == "__main__":
    main()
