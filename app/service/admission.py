"""How many calls are worked on at once, of all tenants and of each."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from ..errors import TenantLimit, Unavailable

RETRY_AFTER_SECONDS = 1.0


class Admission:
    """Counts calls whose bodies are whole, and their images, until they are answered."""

    def __init__(
        self,
        max_calls: int,
        tenant_max_calls: int | None = None,
        tenant_max_images: int | None = None,
    ) -> None:
        """None bounds nothing."""
        self._max_calls, self._tenant_max_calls = max_calls, tenant_max_calls
        self._tenant_max_images = tenant_max_images
        self._calls: Counter[str] = Counter()
        self._images: Counter[str] = Counter()
        self.n_calls = 0

    def is_full(self, n_coming: int = 0) -> bool:
        """Whether a further call, behind others that come, would be too many, whoever makes it."""
        return self.n_calls + n_coming >= self._max_calls

    def check(self, tenant: str) -> None:
        """Raise TenantLimit or Unavailable where a further call of a tenant is too many."""
        if self._tenant_max_calls is not None and self._calls[tenant] >= self._tenant_max_calls:
            raise TenantLimit("calls", self._tenant_max_calls, RETRY_AFTER_SECONDS)
        if self.is_full():
            raise Unavailable(f"{self._max_calls} calls are being worked on", RETRY_AFTER_SECONDS)

    def enter(self, tenant: str) -> None:
        """Count a call in. Raises what `check` does."""
        self.check(tenant)
        self._calls[tenant] += 1
        self.n_calls += 1

    def leave(self, tenant: str) -> None:
        """Count a call out."""
        _less(self._calls, tenant, 1)
        self.n_calls -= 1

    @contextlib.contextmanager
    def images(self, tenant: str, n_images: int) -> Iterator[None]:
        """Count the images of a call for as long as it runs. Raises TenantLimit."""
        most = self._tenant_max_images
        if most is not None and self._images[tenant] + n_images > most:
            raise TenantLimit("images under way", most, RETRY_AFTER_SECONDS)
        self._images[tenant] += n_images
        try:
            yield
        finally:
            _less(self._images, tenant, n_images)


def _less(counter: Counter[str], tenant: str, n: int) -> None:
    counter[tenant] -= n
    if not counter[tenant]:
        del counter[tenant]
