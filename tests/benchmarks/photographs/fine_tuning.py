"""Fine-tuning of the backbone's last block, as it is usually done, beside Inkling at 20 shots.

python -m tests.benchmarks.photographs.fine_tuning photos --data FOLDER --split validation

The last block and the convolution behind it learn by Adam, a head of class means that follows the
network, one view of each image. The rate is chosen on the validation domains.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
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
from inkling.training.evaluation import Interval
from inkling.training.metric import network_with_metric
from torch.nn import functional

STEPS, SCALE, N_WAY, N_SHOT, N_QUERY = 20, 20.0, 5, 20, 15
RATES = (3e-5, 1e-4, 3e-4)


class LastBlock:
    """The part of a backbone that is tuned, and what comes of it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._network = network_with_metric(checkpoint)
        self._params = checkpoint.initialization.params
        self._part = len(self._network.parts) - 2
        self._last = next(iter(self._network.metric.groups.values()))
        self.trunk = CompiledTrunk(self._network, self._params, self._part)
        self._tuned = sorted(self._network.parts[self._part] - self._network.fixed())

    def _units(self, params: Params, maps: torch.Tensor) -> torch.Tensor:
        pooled = self._network.through(params, maps, self._part, self._part + 1)
        return unit(pooled[:, : self._last])

    def tuned(self, support: Support, rate: float) -> tuple[Params, torch.Tensor]:
        """The parameters after all steps, and the class means by them."""
        leaves = {name: self._params[name].clone().requires_grad_() for name in self._tuned}
        params = {**self._params, **leaves}
        optimizer = torch.optim.Adam(leaves.values(), rate)
        for _ in range(STEPS):
            units = self._units(params, support.images)
            logits = SCALE * units @ unit(class_means(units, support)).T
            optimizer.zero_grad()
            functional.cross_entropy(logits, support.labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            return params, unit(class_means(self._units(params, support.images), support))

    @torch.no_grad()
    def right(self, params: Params, means: torch.Tensor, episode: Episode) -> float:
        """The share of queries that are right."""
        found = (self._units(params, episode.query_images) @ means.T).argmax(1)
        return float((found == episode.query_labels).to(torch.float64).mean())

    @torch.no_grad()
    def features(self, maps: torch.Tensor) -> torch.Tensor:
        """`(image, 1, feature)`: what Inkling's loop gets of the same view."""
        stop = len(self._network.parts)
        return self._network.through(self._params, maps, self._part, stop).unsqueeze(1)


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
    block, initialization = LastBlock(checkpoint), checkpoint.initialization
    print("| domain | Inkling | " + " | ".join(f"Adam {rate:g}" for rate in given.rates) + " |")
    print("| --- | --- |" + " --- |" * len(given.rates))
    for domain, classes in _domains(checkpoint, block, given.data, given.split):
        shares: list[list[float]] = [[] for _ in range(1 + len(given.rates))]
        seconds = [0.0] * len(shares)
        for number in range(given.episodes):
            shape = EpisodeShape.fixed(N_WAY, N_SHOT, N_QUERY)
            try:
                episode = realize(classes, classes.plan(shape, seeded(0, number)))
            except BadData:
                break
            began = time.perf_counter()
            kept = rounded(initialization.inner_loop, block.features(episode.support.images))
            own = adapt_head(
                initialization,
                Support(kept, episode.support.labels, episode.support.n_way),
                initialization.inner_loop.steps,
            )
            seconds[0] += time.perf_counter() - began
            queries = rounded(initialization.inner_loop, block.features(episode.query_images))
            found = logits_over_views({**initialization.params, **own.adapted}, queries).argmax(1)
            shares[0].append(float((found == episode.query_labels).to(torch.float64).mean()))
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


def _domains(
    checkpoint: Checkpoint, block: LastBlock, data: Path, split: str
) -> Iterator[tuple[str, ClassImages]]:
    """Each domain with the maps before the last block in place of images."""
    groups: dict[str, list[torch.Tensor]] = {}
    for encoded in read(data, split):  # type: ignore[arg-type]
        maps = []
        for _, content in encoded.files:
            rgba = decode(content, checkpoint.preprocessing.useful_side)
            maps.append(block.trunk(checkpoint.preprocessing.prepare([rgba]).images))
        groups.setdefault(encoded.group, []).append(torch.cat(maps))
    for domain, images in groups.items():
        names = tuple(str(place) for place in range(len(images)))
        yield domain, ClassImages(names, (domain,) * len(images), tuple(images), in_groups=True)


if __name__ == "__main__":
    main()
