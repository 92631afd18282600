"""Rows of `apis`, read and written on a connection that the caller holds."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.apiserver import encoding, errors, model, resource_names
from services.apiserver import spec as specs
from services.apiserver.store import session, tables

_T = tables.apis


async def get(connection: AsyncConnection, name: str) -> model.Api | None:
    row = (await connection.execute(sa.select(_T).where(_T.c.name == name))).mappings().one_or_none()
    return None if row is None else _from_row(session.plain(row))


async def page(connection: AsyncConnection, namespace: str | None, after: str, limit: int) -> Sequence[model.Api]:
    query = sa.select(_T).where(_T.c.name > after).order_by(_T.c.name).limit(limit)
    if namespace is not None:
        query = query.where(_T.c.namespace == namespace)
    return [_from_row(session.plain(row)) for row in (await connection.execute(query)).mappings()]


async def names(connection: AsyncConnection) -> Sequence[str]:
    return list((await connection.execute(sa.select(_T.c.name).order_by(_T.c.name))).scalars())


async def insert(connection: AsyncConnection, api: model.Api) -> None:
    if await get(connection, api.name) is not None:
        raise already_exists(api.name)
    await check_endpoint(connection, api)
    await connection.execute(sa.insert(_T).values(**_to_row(api)))


async def update(connection: AsyncConnection, api: model.Api, expected_version: int) -> None:
    """Writes the row where uid and version are as expected."""
    await check_endpoint(connection, api)
    same = (_T.c.name == api.name) & (_T.c.uid == api.uid) & (_T.c.version == expected_version)
    done = await connection.execute(sa.update(_T).where(same).values(**_to_row(api)))
    if done.rowcount == 1:
        return
    if await get(connection, api.name) is None:
        raise not_found(api.name)
    raise changed_meanwhile(api.name)


async def delete(connection: AsyncConnection, name: str, uid: str) -> None:
    done = await connection.execute(sa.delete(_T).where((_T.c.name == name) & (_T.c.uid == uid)))
    if done.rowcount == 0:
        raise not_found(name)


async def check_endpoint(connection: AsyncConnection, api: model.Api) -> None:
    endpoint = api.spec.networking.endpoint
    query = sa.select(_T.c.name).where((_T.c.endpoint == endpoint) & (_T.c.name != api.name))
    holder = (await connection.execute(query)).scalar_one_or_none()
    if holder is not None:
        raise endpoint_taken(endpoint, holder)


def endpoint_taken(endpoint: str, holder: str) -> errors.EndpointTaken:
    return errors.EndpointTaken(
        f"the endpoint {endpoint!r} belongs to {holder}; choose another `networking.endpoint` or delete that API",
        metadata={"endpoint": endpoint, "api": holder},
        violations=[errors.Violation("networking.endpoint", f"belongs to {holder}")],
    )


def already_exists(name: str) -> errors.AlreadyExists:
    return errors.AlreadyExists(f"{name} exists already; update it instead", metadata={"name": name})


def changed_meanwhile(name: str) -> errors.EtagMismatch:
    return errors.EtagMismatch(
        f"{name} was changed by somebody else meanwhile; read it again and repeat", metadata={"name": name}
    )


def not_found(name: str) -> errors.NotFound:
    return errors.NotFound(f"{name} does not exist", metadata={"name": name})


def _to_row(api: model.Api) -> dict[str, Any]:
    return {
        "name": api.name,
        "namespace": resource_names.namespace_of(api.name),
        "uid": api.uid,
        "generation": api.generation,
        "version": api.version,
        "endpoint": api.spec.networking.endpoint,
        "labels": dict(api.labels),
        "spec": encoding.to_json(api.spec),
        "create_time": api.create_time,
        "update_time": api.update_time,
        "delete_time": api.delete_time,
        "target_revision": api.target_revision,
        "serving_revision": api.serving_revision,
        "desired_replicas": api.desired_replicas,
        "rollout": None if api.rollout is None else encoding.to_json(api.rollout),
    }


def _from_row(row: dict[str, Any]) -> model.Api:
    del row["namespace"], row["endpoint"]
    rollout = row.pop("rollout")
    return model.Api(
        **{**row, "spec": encoding.from_json(row["spec"], specs.ApiSpec)},
        rollout=None if rollout is None else encoding.from_json(rollout, model.Rollout),
    )
