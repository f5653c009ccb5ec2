from __future__ import annotations

import torch
from inkling.checkpoints.tensor_files import encode_tensors
from inkling.images.fingerprints import alike
from inkling.sessions.codec import decode_support, encode

from .sample import Clock, a_session, a_support


def test_a_support_set_comes_back_as_it_was_kept() -> None:
    kept = a_support()
    record = encode(a_session(Clock()), kept)
    assert record.support is not None
    found = decode_support(record.support)
    assert vars(found).keys() == vars(kept).keys()
    assert all(torch.equal(tensor, vars(kept)[name]) for name, tensor in vars(found).items())


def test_a_support_set_of_an_older_version_has_fingerprints_that_tell_nothing() -> None:
    kept = a_support()
    found = decode_support(encode_tensors({"images": kept.images, "labels": kept.labels}))
    assert torch.equal(found.images, kept.images)
    assert found.fingerprints.shape == kept.fingerprints.shape
    assert not alike(found.fingerprints).any()
