"""Reload: load a new bundle version beside the served one, on SIGHUP or when the folder changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from grpc_server.core.registry import ModelRegistry, smoke_test
from qtr_runtime.daemon_thread import on_daemon_thread
from qtr_runtime.resources import release_free_memory
from relevance_model import Bundle, ModelError, Scorer
from relevance_model.bundle import MANIFEST

log = logging.getLogger(__name__)


class BundleReloader:
    """Replaces the served model by the bundle that is now in the folder; a bad bundle changes nothing.

    Parameters
    ----------
    path
        The bundle's folder, or a link to it that is switched from version to version.
    models
        Receives the new scorer.
    make_scorer
        Builds a scorer with the server's settings.

    Attributes
    ----------
    error
        Why the bundle that is in the folder now is not served; empty if it is served.
    """

    def __init__(self, path: Path, models: ModelRegistry, make_scorer: Callable[[Bundle], Scorer]) -> None:
        self._path = path
        self._models = models
        self._make_scorer = make_scorer
        self._seen_version = self._version()
        self.error = ""
        self._lock = asyncio.Lock()

    async def reload(self) -> None:
        """Load, test and swap; what goes wrong is logged, and the old model goes on serving."""
        async with self._lock:
            self._seen_version = self._version()
            old = self._models.current.bundle
            try:
                scorer = await on_daemon_thread("load-bundle", partial(self._load, old.sha256))
                if scorer is None:
                    self.error = ""
                    log.info("bundle unchanged", extra={"bundle": str(self._path), "version": old.manifest.version})
                    return
                self._models.add(scorer)
                # What the dropped version used: the next load needs as much.
                await on_daemon_thread("release-memory", release_free_memory)
            except Exception as error:
                # The cause may pass (a copy in progress, no memory): retry at the next check, but log a reason once.
                self._seen_version = None
                expected = isinstance(error, ModelError)
                reason = str(error) if expected else f"{type(error).__name__}: {error}"
                if reason != self.error:
                    trace = None if expected else error
                    log.error("bundle refused, the old one goes on serving", exc_info=trace, extra={"reason": reason})
                self.error = reason
            else:
                self.error = ""
                manifest = scorer.bundle.manifest
                log.info(
                    "bundle swapped",
                    extra={"model": manifest.name, "version": manifest.version, "before": old.manifest.version},
                )

    async def watch(self, seconds: float) -> None:
        """Check every `seconds` whether the manifest was replaced, and reload if so; runs until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            if self._version() not in {None, self._seen_version}:
                await self.reload()

    def _load(self, served: str) -> Scorer | None:
        bundle = Bundle.load(self._path)
        if bundle.sha256 == served:
            return None
        scorer = self._make_scorer(bundle)
        smoke_test(scorer)
        return scorer

    def _version(self) -> tuple[int, int, int] | None:
        try:
            stat = (self._path / MANIFEST).stat()
        except OSError:
            return None  # while versions are switched the file may be absent; the next look sees the new one
        return stat.st_dev, stat.st_ino, stat.st_mtime_ns
