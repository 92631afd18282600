"""Answers: metrics of an API over a window, from memory where it reaches, from the database beyond."""

from collections.abc import Iterable, Mapping, Sequence

from services.monitor import history, model, registry, windows


class Queries:
    """Memory wins over the database: what both have, memory has newer."""

    def __init__(self, memory: registry.Registry, past: history.History) -> None:
        self._memory = memory
        self._past = past

    async def api(self, name: str, window: float, now: float, since: float = 0.0) -> model.ApiSummary:
        return (await self.many([name], window, now, since))[0]

    async def many(
        self, names: Sequence[str], window: float, now: float, since: float = 0.0
    ) -> Sequence[model.ApiSummary]:
        """What happened before `since` is somebody else's. Raises errors.Unavailable when the window reaches beyond
        memory and the database is away."""
        window = max(1.0, min(window, now - since))
        wanted = windows.spans(now - window, now)
        old: Sequence[model.Bucket] = ()
        if window > windows.IN_MEMORY and names:
            old = await self._past.store().load(wanted[:-1], names)
        kept: dict[str, list[model.Bucket]] = {}
        for bucket in old:
            kept.setdefault(bucket.api, []).append(bucket)
        return [self._summary(name, wanted, kept.get(name, ()), now, since) for name in names]

    async def names(self, namespace: str, window: float, now: float) -> Sequence[str]:
        """Names of the APIs that did something in the window, in order. `namespace` "-": of all namespaces."""
        found = set(self._memory.apis())
        if window > windows.IN_MEMORY:
            found.update(await self._past.store().apis(int(now - window)))
        prefix = "namespaces/" if namespace == "-" else f"namespaces/{namespace}/"
        return sorted(name for name in found if name.startswith(prefix))

    def _summary(
        self, name: str, spans: Sequence[model.Span], old: Iterable[model.Bucket], now: float, since: float
    ) -> model.ApiSummary:
        start = max(float(spans[0].begin), since)
        seconds = max(now - start, 1.0)
        known = self._memory.revisions(name)
        tallies = {revision: list(_of_revision(book, spans, since)) for revision, book in known.items()}
        for bucket in old:
            book = known.get(bucket.revision)
            if book is None or book.timeline.find(bucket.resolution, bucket.start) is None:
                tallies.setdefault(bucket.revision, []).append(bucket.tally)
        revisions = {
            revision: _with_gauges(model.add_up(parts), seconds, known.get(revision), now)
            for revision, parts in tallies.items()
            if parts or (revision in known and now - known[revision].arrived <= now - start)
        }
        return model.ApiSummary(
            api=name, start=start, end=now, total=_total(revisions, seconds),
            revisions=revisions, replicas=_replicas(known, spans, start, now),
        )  # fmt: skip


def _from_memory(timeline: windows.Timeline, spans: Sequence[model.Span]) -> Iterable[model.Tally]:
    for span in spans:
        yield from timeline.within(span).values()


def _of_revision(book: registry.Revision, spans: Sequence[model.Span], since: float) -> Iterable[model.Tally]:
    """The bucket in which `since` lies is told apart by replica, as long as those from before are remembered."""
    for span in spans:
        for start, tally in book.timeline.within(span).items():
            mixed = start < since < start + span.resolution
            own = _younger(book, span.resolution, start, since) if mixed else None
            yield from [tally] if own is None else own


def _younger(book: registry.Revision, resolution: int, start: int, since: float) -> Sequence[model.Tally] | None:
    """What replicas that began at `since` or later did in a bucket; None when no other had a part in it."""
    parts = [(replica.began, replica.timeline.find(resolution, start)) for replica in book.replicas.values()]
    if all(began >= since for began, tally in parts if tally is not None):
        return None
    return [tally for began, tally in parts if tally is not None and began >= since]


def _with_gauges(tally: model.Tally, seconds: float, book: registry.Revision | None, now: float) -> model.Summary:
    if book is None:
        return model.Summary(tally, seconds)
    in_flight = sum(replica.in_flight for replica in book.replicas.values() if replica.is_fresh(now))
    return model.Summary(tally, seconds, in_flight, book.arrived or None)


def _total(revisions: Mapping[str, model.Summary], seconds: float) -> model.Summary:
    times = [one.report_time for one in revisions.values() if one.report_time is not None]
    tally = model.add_up([one.tally for one in revisions.values()])
    return model.Summary(tally, seconds, sum(one.in_flight for one in revisions.values()), max(times, default=None))


def _replicas(
    known: Mapping[str, registry.Revision], spans: Sequence[model.Span], start: float, now: float
) -> Mapping[str, model.Summary]:
    """Replicas are kept by second and minute only: of a long window, their part is what memory holds."""
    minutes = [spans[0] if len(spans) == 1 else model.Span(model.MINUTE, spans[0].begin, spans[-1].end)]
    return {
        name: model.Summary(
            model.add_up(list(_from_memory(replica.timeline, minutes))),
            max(now - start, 1.0),
            replica.in_flight if replica.is_fresh(now) else 0,
            replica.arrived,
        )
        for book in known.values()
        for name, replica in book.replicas.items()
        if replica.arrived >= start
    }
