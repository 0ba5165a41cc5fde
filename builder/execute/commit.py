"""A step's changes as a layer: written in one pass, remembered, and put on the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cache.cache import Record
from builder.cache.key import cache_key
from builder.execute.state import with_layer
from builder.execute.times import rfc3339
from layers.changeset.write import write_layer
from layers.mediatype import layer_type
from layers.model import Descriptor
from layers.store.recompress import recompressed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from builder.cache.key import CacheKey
    from builder.execute.site import Site
    from builder.execute.state import BuildState
    from layers.changeset.entry import Change
    from layers.changeset.known import KnownBlocks
    from layers.changeset.packing import Told

    Keyed = Callable[[], CacheKey | None]
    """Gives the key of a layer that has been written; None where it shall not be remembered."""


def commit(
    site: Site,
    state: BuildState,
    changes: Iterable[Change],
    created_by: str,
    key: CacheKey | Keyed | None,
    *,
    action: CacheKey | None = None,
    form: CacheKey | None = None,
    known: KnownBlocks | None = None,
    told: Told | None = None,
) -> BuildState:
    """Write changes as a layer, in the order in which they come, and give the state with it.

    Args:
        site: where the layer is stored.
        state: what the layer lies on.
        changes: what the step did.
        created_by: the step in the history's words.
        key: under which the layer is remembered, or what finds it out; None for a step that no other build can have.
        action: the step whatever the content of its files; see :meth:`Cache.may_have`.
        form: the step whatever it lies on as well; see :meth:`Cache.of_form`.
        known: blocks of earlier layers that may be copied.
        told: given the entries as they are written, before the key is asked for.
    """
    settings, search = site.settings, site.guard.search()
    site.guard.check_history(created_by)
    created = rfc3339(site.now())
    with site.costs.phase("layer", created_by), site.layout.blobs.write(hashing=False) as blob:
        written = write_layer(
            changes,
            blob,
            settings.compression,
            level=settings.level,
            clamp_mtime=settings.epoch if settings.rewrite_timestamp else None,
            known=known,
            search=search,
            told=told,
        )
        blob.commit(written.digest, written.size)
        site.costs.add("compress", created_by, written.seconds.compressing)
        site.costs.add("hash", created_by, written.seconds.hashing)
    site.trees.keep(written.digest, written.diff_id, written.index)
    descriptor = Descriptor(layer_type(settings.compression), written.digest, written.size)
    found = key() if callable(key) else key
    if found is not None and not (search and search.found):  # a warning comes again until it is heard
        record = Record(written.diff_id, created, {settings.compression: descriptor})
        site.cache.put(_kept_under(site, found), record, action, form)
    return with_layer(state, site.layout.layer(descriptor, written.diff_id), created_by, created)


def recall(site: Site, state: BuildState, created_by: str, key: CacheKey | None) -> BuildState | None:
    """Give the state with the layer that is remembered under a key, None where none is or its blob is gone.

    A layer kept in another compression than this build's is compressed anew; its diff_id is the same.
    """
    site.guard.check_history(created_by)
    if key is None:
        return None
    key = _kept_under(site, key)
    record = site.cache.get(key)
    if record is None:
        return None
    blobs = site.layout.blobs
    here = {each: blob for each, blob in record.blobs.items() if blobs.has(blob.digest, blob.size)}
    if not here:
        return None
    wanted = site.settings.compression
    if wanted in here:
        return with_layer(state, site.layout.layer(here[wanted], record.diff_id), created_by, record.created)
    layer = recompressed(site.layout, site.layout.layer(next(iter(here.values())), record.diff_id), wanted, None)
    site.cache.put(key, Record(record.diff_id, record.created, {**here, wanted: layer.descriptor}))
    return with_layer(state, layer, created_by, record.created)


def _kept_under(site: Site, key: CacheKey) -> CacheKey:
    """Give the key of a step's layer: one whose files' times are lowered is another than the one as it came."""
    settings = site.settings
    if settings.epoch is None or not settings.rewrite_timestamp:
        return key
    return cache_key("rewrite-timestamp", key.digest, {"epoch": settings.epoch})
