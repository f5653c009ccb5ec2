"""Photographs: the inner loop beside a linear probe and nearest centroid, domain by domain.

python -m tests.benchmarks.photographs photos --data FOLDER --split validation --out FILE.json

All get the same backbone, images, views and episodes. Without --probe every strength of the probe
is measured, on the validation domains; the best is named with --probe on the test domains.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from inkling.checkpoints.catalogue import find_checkpoint
from inkling.checkpoints.checkpoint import load_checkpoint

from .classifiers import Inkling, opponents
from .episodes import (
    OWN,
    Setting,
    Shares,
    calibration,
    differences,
    mean_over_domains,
    measure,
)
from .features import features_of


def main() -> None:
    """Measure the settings that are asked for, and print their tables."""
    parser = argparse.ArgumentParser(description="Compare on photographs of unseen domains.")
    parser.add_argument("checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=["train", "validation", "test"], default="validation")
    parser.add_argument("--out", type=Path, required=True, help="JSON of every episode")
    parser.add_argument("--n-way", type=int, nargs="+", default=[5])
    parser.add_argument("--n-shot", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2, 6])
    parser.add_argument("--episodes", type=int, default=600)
    parser.add_argument("--uneven", action="store_true", help="1 to N shots, drawn a class")
    parser.add_argument("--probe", help="the one probe, such as 'probe C=10'")
    parser.add_argument("--calibration", action="store_true", help="what it is worth, instead")
    given = parser.parse_args()
    torch.set_num_threads(1)
    own = Inkling(load_checkpoint(find_checkpoint(given.checkpoint)))
    domains = list(features_of(own.checkpoint, given.data, given.split))
    others = opponents()
    if given.probe is not None:
        others = {name: others[name] for name in ("nearest centroid", given.probe)}
    kept: dict[str, Shares] = {}
    for n_way in given.n_way:
        for n_shot in given.n_shot:
            for n_views in given.views:
                setting = Setting(n_way, n_shot, n_views, given.episodes, given.uneven)
                if given.calibration:
                    print(calibration_table(setting, calibration(domains, setting, own)))
                    continue
                kept[setting.told()] = measure(domains, setting, own, others)
                print(accuracy_table(setting, kept[setting.told()]), flush=True)
    given.out.write_text(json.dumps(kept) + "\n")


def accuracy_table(setting: Setting, shares: Shares) -> str:
    """Markdown: a column a domain, the mean over domains, and the paired difference of its mean."""
    domains = list(shares[OWN])
    lines = [
        f"### {setting.told()}, {setting.episodes} episodes a domain",
        "",
        "| | " + " | ".join(domains) + " | mean | Inkling's above it |",
        "| --- |" + " --- |" * (len(domains) + 2),
    ]
    for name, of_domains in shares.items():
        means = [100 * sum(values) / len(values) for values in of_domains.values()]
        above = mean_over_domains(differences(shares[OWN], of_domains))
        told = "" if name == OWN else f"{100 * above.mean:+.2f} ± {100 * above.half_width:.2f}"
        cells = [f"{mean:.2f}" for mean in [*means, sum(means) / len(means)]]
        lines.append(f"| {name} | " + " | ".join([*cells, told]) + " |")
    return "\n".join([*lines, ""])


def calibration_table(setting: Setting, found: dict[str, tuple[float, float | None]]) -> str:
    """Markdown: calibration error and none-of-these AUROC of each domain, and their means."""
    aurocs = [auroc for _, auroc in found.values() if auroc is not None]
    errors = [error for error, _ in found.values()]
    lines = [
        f"### {setting.told()}, {setting.episodes} episodes a domain",
        "",
        "| domain | calibration error | none-of-these AUROC |",
        "| --- | --- | --- |",
    ]
    for domain, (error, auroc) in found.items():
        lines.append(f"| {domain} | {error:.4f} | {'-' if auroc is None else f'{auroc:.4f}'} |")
    mean_auroc = f"{sum(aurocs) / len(aurocs):.4f}" if aurocs else "-"
    lines.append(f"| mean | {sum(errors) / len(errors):.4f} | {mean_auroc} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
