from __future__ import annotations

import pytest
import torch
from inkling.engine.scoring import scored
from inkling.meta.scores import Scoring


@pytest.mark.parametrize("scoring", [Scoring(20.0), Scoring(20.0, temperature=1.3, limit=0.7)])
def test_many_queries_are_scored_as_defined(scoring: Scoring) -> None:
    logits = 9 * torch.randn((6, 4), generator=torch.Generator().manual_seed(0))
    logits[2] = 0.0
    counts = torch.randint(1, 9, (6, 4), generator=torch.Generator().manual_seed(1))
    rows = scored(scoring, logits, counts.tolist())
    probabilities = torch.tensor([row for row, _ in rows])
    torch.testing.assert_close(probabilities, scoring.probabilities(logits))
    expected = scoring.none_of_these(logits, counts)
    if expected is None:
        assert [apart for _, apart in rows] == [None] * 6
    else:
        torch.testing.assert_close(torch.tensor([apart for _, apart in rows]), expected)
