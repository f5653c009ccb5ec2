"""Connections to a Redis that may be away: every call is bounded, and one thread looks for it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import queue
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from ..errors import BadSetting
from .faults import NoRoom, StoreAway
from .redis_client import TOO_SLOW, is_cut, is_full, is_state, options, told

CALL_SECONDS = 5.0
"""How long a call may take in all, and how long one waits for a connection."""
CONNECTIONS = 16
WATCH_SECONDS, LIMIT_SECONDS = 1.0, 0.5
MOST_BACKOFF_SECONDS = 4.0
FULL = "Redis has no memory left for more"
LOSS_TOLD_SECONDS = 30.0
"""How long the store counts as away after a loss, so that whoever watches it hears of it."""
OLDEST_VERSION = (7, 0)
Argument = str | bytes | int | float
Client = Any
"""A client of the package `redis`, which is imported only where it is used."""

log = logging.getLogger("inkling")


class RedisLink:
    """Calls of a Redis, from any thread.

    A call that fails because Redis does not answer makes the link *away*: from then on every call
    is refused at once, and nothing waits, until the one thread that looks for Redis, at intervals
    that grow and are random, has found it in order. So nobody crowds a Redis that comes back.
    """

    def __init__(self, url: str, prefix: str, password_file: Path | None = None) -> None:
        """Connect, if Redis can be reached; else that is tried again.

        Raises BadSetting for a URL of another kind, a package that is missing, a password that is
        wrong, and a Redis that is too old or evicts what it holds.
        """
        self._options = options(url, password_file)
        self.prefix = f"{{{prefix}}}:"
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self._spare = threading.Semaphore(CONNECTIONS)
        self._lock = threading.Lock()
        self._running: dict[Client, float] = {}
        self._away: str | None = "Redis has not been reached yet"
        self._full: str | None = None
        self._generation = 0
        self.epoch = ""
        self._lost_at = float("-inf")
        self._offset = time.time() - time.monotonic()
        self._shas: dict[str, str] = {}
        self._ending, self._look_now = threading.Event(), threading.Event()
        try:
            self._find()
        except StoreAway as away:
            self._away = away.why
            log.warning("%s", away)
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="inkling-redis")
        self._watcher.start()
        threading.Thread(target=self._limit, daemon=True, name="inkling-redis-limit").start()

    def now(self) -> float:
        """The time of day as Redis has it, which all its users share; steady while it is away."""
        return time.monotonic() + self._offset

    def script(self, source: str, *arguments: Argument) -> Any:
        """Run a script once or, where a connection was lost, twice. Raises StoreAway."""
        sha = self._shas.get(source)
        if sha is None:
            sha = self._shas[source] = hashlib.sha1(source.encode()).hexdigest()  # noqa: S324

        def run(client: Client) -> Any:
            from redis.exceptions import NoScriptError

            try:
                return client.execute_command("EVALSHA", sha, 1, self.prefix, *arguments)
            except NoScriptError:
                return client.execute_command("EVAL", source, 1, self.prefix, *arguments)

        return self._call(run)

    def command(self, *words: Argument) -> Any:
        """Run a command once or twice. Raises StoreAway."""
        return self._call(lambda client: client.execute_command(*words))

    def check(self) -> None:
        """Raise StoreAway with the reason why sessions cannot be kept now; ask nothing."""
        if self._away is not None:
            raise StoreAway(self._away)
        if self._full is not None:
            raise NoRoom(self._full)
        if time.monotonic() - self._lost_at < LOSS_TOLD_SECONDS:
            raise StoreAway("Redis was emptied, and the sessions in it are lost")

    def close(self) -> None:
        """Close all connections."""
        self._ending.set()
        self._look_now.set()
        self._watcher.join(timeout=CALL_SECONDS)
        self._drop_idle()

    def _call(self, run: Callable[[Client], Any]) -> Any:
        from redis.exceptions import RedisError

        if self._away is not None:
            raise StoreAway(self._away)
        began, again = time.monotonic(), True
        while True:
            try:
                with self._connection() as client:
                    return run(client)
            except (RedisError, OSError) as failed:
                in_time = time.monotonic() - began < CALL_SECONDS
                if not (again and in_time and is_cut(failed)):
                    self._refuse(failed, in_time=in_time)
                # One that was idle may have ended long ago, which says nothing of Redis.
                again = False
                self._drop_idle()

    def _refuse(self, failed: Exception, *, in_time: bool) -> NoReturn:
        """Raise what a call is refused with. Raises ``failed`` where that says nothing of Redis."""
        from redis.exceptions import ResponseError

        if isinstance(failed, ResponseError):
            if is_full(failed):
                self._full = FULL
                raise NoRoom(FULL) from None
            if not is_state(failed):
                raise failed
        self._lose(told(failed) if in_time else TOO_SLOW)

    def _lose(self, why: str) -> NoReturn:
        with self._lock:
            if self._away is None:
                log.warning("the session store is away: %s", why)
                self._away = why
        self._drop_idle()
        self._look_now.set()
        raise StoreAway(why) from None

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Client]:
        from redis.exceptions import ResponseError

        if not self._spare.acquire(timeout=CALL_SECONDS):
            raise StoreAway("all connections to Redis are in use")
        client = None
        try:
            generation = self._generation
            try:
                client = self._idle.get_nowait()
            except queue.Empty:
                client = self._connected()
            with self._lock:
                self._running[client] = time.monotonic()
            try:
                yield client
            except BaseException as failed:
                # What it still has to answer would be taken for the answer to the next call.
                if not isinstance(failed, ResponseError):
                    generation = -1
                raise
            finally:
                with self._lock:
                    self._running.pop(client, None)
                if generation == self._generation and not self._ending.is_set():
                    self._idle.put(client)
                else:
                    client.close()
        finally:
            self._spare.release()

    def _connected(self) -> Client:
        from redis import Redis

        try:
            client: Client = Redis(single_connection_client=True, **self._options)
        except TypeError:
            raise BadSetting(
                "INKLING_REDIS_URL: expected options that the package redis knows"
            ) from None
        client.connection.connect()
        return client

    def _drop_idle(self) -> None:
        self._generation += 1
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def _watch(self) -> None:
        backoff = 0.25
        while not self._ending.is_set():
            away = self._away is not None
            pause = random.uniform(0.5, 1.5) * (backoff if away else WATCH_SECONDS)
            if away:
                self._ending.wait(pause)
                backoff = min(2 * backoff, MOST_BACKOFF_SECONDS)
            else:
                backoff = 0.25
                self._look_now.wait(pause)
            self._look_now.clear()
            if self._ending.is_set():
                return
            try:
                self._find()
            except StoreAway as still:
                if self._away is None:
                    log.warning("%s", still)
                self._away = still.why
            except BadSetting as wrong:
                self._away = str(wrong)
            except Exception:
                log.exception("looking for Redis")

    def _limit(self) -> None:
        """End calls that are never silent for long, and never done."""
        while not self._ending.wait(LIMIT_SECONDS):
            now = time.monotonic()
            with self._lock:
                long = [c for c, began in self._running.items() if now - began > CALL_SECONDS]
            for client in long:
                if client.connection is not None:
                    client.connection.disconnect()

    def _find(self) -> None:
        """See whether Redis can be used: reached, and ready to write; and what it holds."""
        from redis.exceptions import AuthenticationError, RedisError, ResponseError

        try:
            with self._connection() as client:
                if self._away is not None:
                    self._check_settings(client)
                began = time.monotonic()
                seconds, micros = client.execute_command("TIME")
                offset = int(seconds) + int(micros) / 1e6 - (began + time.monotonic()) / 2
                if abs(offset - self._offset) > 0.1 or not self.epoch:
                    self._offset = offset
                # A plain write, so that whatever refuses writes is heard of.
                self._full = None
                client.execute_command("SET", f"{self.prefix}probe", "1", "PX", 10_000)
                fresh = secrets.token_hex(8)
                name = f"{self.prefix}epoch"
                found = client.execute_command("SET", name, fresh, "NX", "GET", get=True)
                self._notice(found.decode() if found else fresh)
        except AuthenticationError:
            raise BadSetting("INKLING_REDIS_URL: Redis refuses the user or password") from None
        except ResponseError as refused:
            if is_full(refused):
                self._full = FULL
            elif str(refused).startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
                raise BadSetting("INKLING_REDIS_URL: Redis refuses the user or password") from None
            else:
                raise StoreAway(told(refused)) from None
        except (RedisError, OSError) as failed:
            raise StoreAway(told(failed)) from None
        if self._away is not None:
            log.info("the session store can be reached")
        self._away = None

    def _notice(self, epoch: str) -> None:
        if self.epoch and epoch != self.epoch:
            log.error("Redis was emptied: the sessions in it are lost")
            self._lost_at = time.monotonic()
        self.epoch = epoch

    def _check_settings(self, client: Client) -> None:
        about = client.execute_command("INFO", "server")
        version = str(about.get("redis_version", "0.0"))
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
            raise BadSetting(f"session store: expected Redis 7.0 or newer, got {version}")
        policy = client.execute_command("INFO", "memory").get("maxmemory_policy")
        if policy != "noeviction":
            raise BadSetting(
                f"session store: expected a Redis with maxmemory-policy noeviction, got {policy}, "
                "with which it would drop sessions that have not ended"
            )
