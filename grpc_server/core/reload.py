"""Loading a new bundle version beside the one that serves, on SIGHUP or when its folder changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from grpc_server.core.registry import ModelRegistry, smoke_test
from qtr_runtime.daemon_thread import on_daemon_thread
from relevance_model import Bundle, ModelError, Scorer
from relevance_model.bundle import MANIFEST

log = logging.getLogger(__name__)


class BundleReloader:
    """Swaps the served model for what now lies in the bundle's folder; a bad bundle changes nothing.

    Parameters
    ----------
    path
        The bundle's folder, or a link to it that is moved from version to version.
    models
        Where the new scorer goes.
    make_scorer
        Builds a scorer with the server's settings.

    Attributes
    ----------
    fault
        Why the bundle that lies there now is not served; empty if it is.
    """

    def __init__(self, path: Path, models: ModelRegistry, make_scorer: Callable[[Bundle], Scorer]) -> None:
        self._path = path
        self._models = models
        self._make_scorer = make_scorer
        self._seen = self._mark()
        self.fault = ""
        self._lock = asyncio.Lock()

    async def reload(self) -> None:
        """Load, test and swap; what goes wrong is logged, and the old model goes on serving."""
        async with self._lock:
            self._seen = self._mark()
            old = self._models.current.bundle
            try:
                scorer = await on_daemon_thread("load-bundle", partial(self._load, old.sha256))
                if scorer is None:
                    self.fault = ""
                    log.info("bundle unchanged", extra={"bundle": str(self._path), "version": old.manifest.version})
                    return
                self._models.add(scorer)
            except Exception as error:
                # It may be a copy under way, or short of files or memory: look again, but say the same thing once.
                self._seen = None
                expected = isinstance(error, ModelError)
                fault = str(error) if expected else f"{type(error).__name__}: {error}"
                if fault != self.fault:
                    trace = None if expected else error
                    log.error("bundle refused, the old one goes on serving", exc_info=trace, extra={"reason": fault})
                self.fault = fault
            else:
                self.fault = ""
                manifest = scorer.bundle.manifest
                log.info(
                    "bundle swapped",
                    extra={"model": manifest.name, "version": manifest.version, "before": old.manifest.version},
                )

    async def watch(self, seconds: float) -> None:
        """Look every `seconds` whether the manifest is another one, and reload if so; runs until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            if self._mark() not in {None, self._seen}:
                await self.reload()

    def _load(self, served: str) -> Scorer | None:
        bundle = Bundle.load(self._path)
        if bundle.sha256 == served:
            return None
        scorer = self._make_scorer(bundle)
        smoke_test(scorer)
        return scorer

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            stat = (self._path / MANIFEST).stat()
        except OSError:
            return None  # between two versions there may be none; the next look sees the new one
        return stat.st_dev, stat.st_ino, stat.st_mtime_ns
