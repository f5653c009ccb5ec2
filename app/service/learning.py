"""Learning a support set: the inner loop, the report, and what a caller should know of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..engine.engine import Adaptation, Engine
from ..errors import DeadlineExceeded, InnerLoopDiverged, Unavailable
from ..meta.episode import Support
from ..sessions.session import Session
from . import cautions
from .advice import Advice
from .reading import Read
from .report import check_support
from .values import Adapted, AdaptOptions, LabelledImage, Limits, Report, Timing, Warned


@dataclass(frozen=True)
class Learned:
    """A support set, what adapting to it made, and all that is told of it."""

    support: Support
    names: tuple[str, ...]
    adaptation: Adaptation
    report: Report | None
    warnings: tuple[Warned, ...]

    def image_counts(self) -> tuple[int, ...]:
        """The images of each class."""
        counts: list[int] = self.support.labels.bincount(minlength=len(self.names)).tolist()
        return tuple(counts)

    def told(self, session: Session, checkpoint: Checkpoint, read: Read) -> Adapted:
        """What is told of it as a session."""
        adaptation = self.adaptation
        return Adapted(
            session=session,
            checkpoint=checkpoint,
            losses=adaptation.losses,
            support_accuracy=adaptation.support_accuracy,
            warnings=self.warnings,
            report=self.report,
            timing=Timing(
                decode=read.decoding,
                queue=read.waited + adaptation.queue_seconds,
                compute=adaptation.compute_seconds,
            ),
        )


@dataclass(frozen=True)
class Union:
    """All preprocessed images of a support set with their labels; the last ones were just sent."""

    images: torch.Tensor
    just_sent: Sequence[LabelledImage]
    labels: Sequence[str]

    def sent(self, position: int) -> LabelledImage | None:
        """The image of this call at a position of the support set, if it is one."""
        place = position - (len(self.labels) - len(self.just_sent))
        return self.just_sent[place] if place >= 0 else None

    def support(self) -> tuple[Support, tuple[str, ...]]:
        """The support set, and the labels by the places of its classes.

        Their order decides nothing but ties, and is the same for any sending order.
        """
        names = tuple(sorted(set(self.labels)))
        places = {name: place for place, name in enumerate(names)}
        labels = torch.tensor([places[label] for label in self.labels])
        return Support(self.images, labels, len(names)), names


class Learner:
    """Adapts to support sets on the engine."""

    def __init__(self, engine: Engine, advice: Advice, limits: Limits) -> None:
        self._engine, self._advice, self._limits = engine, advice, limits
        # As many at once as the engine computes: reports leave its queue to other calls.
        self._folds = ThreadPoolExecutor(limits.concurrent_decodes, "inkling-report")

    def close(self) -> None:
        """Let go of the threads that check support sets."""
        self._folds.shutdown(wait=True, cancel_futures=True)

    def learn(
        self,
        checkpoint: Checkpoint,
        union: Union,
        read: Read,
        options: AdaptOptions,
        deadline: float,
    ) -> Learned:
        """Adapt to all images of a support set, and look at what came of it.

        Raises InnerLoopDiverged, Unavailable and DeadlineExceeded.
        """
        support, names = union.support()
        adaptation = self._engine.adapt(
            checkpoint.identity,
            support,
            steps=options.steps,
            deadline_seconds=deadline - time.monotonic(),
        )
        report: Report | None = None
        unfinished: tuple[Warned, ...] = ()
        if options.report:
            report, unfinished = self._report(checkpoint, union, support, names, options.steps)
        warnings = self._warnings(checkpoint, union, read, names, adaptation, deadline)
        return Learned(support, names, adaptation, report, (*warnings, *unfinished))

    def learn_here(
        self,
        checkpoint: Checkpoint,
        sets: Sequence[tuple[Union, Read]],
        steps: int | None,
        deadline: float,
    ) -> list[Learned | BaseException]:
        """`learn` for several support sets without reports, on a thread of the engine."""
        supports = [union.support() for union, _ in sets]
        adaptations = self._engine.adapt_here(
            checkpoint.identity, [support for support, _ in supports], steps=steps
        )
        found: list[Learned | BaseException] = []
        for (union, read), (support, names), adaptation in zip(
            sets, supports, adaptations, strict=True
        ):
            if isinstance(adaptation, BaseException):
                found.append(adaptation)
            else:
                warnings = self._warnings(checkpoint, union, read, names, adaptation, deadline)
                found.append(Learned(support, names, adaptation, None, warnings))
        return found

    def _warnings(
        self,
        checkpoint: Checkpoint,
        union: Union,
        read: Read,
        names: tuple[str, ...],
        adaptation: Adaptation,
        deadline: float,
    ) -> tuple[Warned, ...]:
        return (
            *cautions.few_images(union.labels),
            *cautions.same_images(union.images, union.labels),
            *cautions.blank_images(union.just_sent, [False] * len(read.images)),
            *cautions.one_class_wins(names, adaptation.support_predictions),
            *self._advice.on(union.just_sent, read.images, checkpoint, deadline),
        )

    def _report(
        self,
        checkpoint: Checkpoint,
        union: Union,
        support: Support,
        names: tuple[str, ...],
        steps: int | None,
    ) -> tuple[Report | None, tuple[Warned, ...]]:
        """The report, or a warning that there was no time or no room for it."""
        identity, seconds = checkpoint.identity, self._limits.report_deadline_seconds
        deadline = time.monotonic() + seconds

        def held_out(rest: Support, images: torch.Tensor) -> torch.Tensor:
            left = deadline - time.monotonic()
            return self._engine.classify_others(
                identity, rest, images, steps=steps, deadline_seconds=left
            )

        try:
            # What does not adapt is computed once for all folds.
            frozen = self._engine.frozen_features(
                identity, support.images, deadline_seconds=seconds
            )
            report = check_support(
                replace(support, images=frozen),
                names,
                held_out,
                checkpoint.scoring.probabilities,
                self._folds,
                deadline,
            )
        except DeadlineExceeded:
            message = f"the support set could not be checked within {seconds:g} s"
            return None, (Warned("report_unfinished", message),)
        except (Unavailable, InnerLoopDiverged) as failed:
            message = f"the support set could not be checked: {failed}"
            return None, (Warned("report_unfinished", message),)
        placed = tuple(replace(s, image=union.sent(s.position)) for s in report.suspects)
        return replace(report, suspects=placed), ()
