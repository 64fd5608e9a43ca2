"""Prepares a docker-compose deployment; the service ``init`` runs it once per ``up``, again without harm.

Migrates the database, writes the admin's password where the API server reads it, creates the pools that the
export definitions name, the connections whose credentials are in the environment, and the lake's bucket.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from logferry.connection import Connection, connection_for, variable_name
from logferry.errors import LogferryError
from logferry.spec import ExportSpec, load_exports

# Requests at the same time per pool until someone sets another number in the UI; it is kept from then on.
_POOL_SLOTS = 4
_OBJECT_STORE = "object_store"


def pools_wanted(exports: Iterable[ExportSpec]) -> set[str]:
    """Pools the definitions name. A task in a missing pool waits for ever, so each must exist."""
    return {spec.pool for spec in exports} - {"default_pool"}


def connections_wanted(exports: Iterable[ExportSpec], environ: Mapping[str, str]) -> list[Connection]:
    """The object store's connection, and each definition's source that the vendor's variables can serve.

    A connection in ``AIRFLOW_CONN_<ID>`` is left out: Airflow reads it there, before the database.
    """
    wanted = {
        _OBJECT_STORE: Connection(
            _OBJECT_STORE,
            "aws",
            login=environ["OBJECT_STORE_ACCESS_KEY"],
            password=environ["OBJECT_STORE_SECRET_KEY"],
            extra={"endpoint_url": environ["OBJECT_STORE_URL"], "region_name": "us-east-1"},
        )
    }
    for spec in exports:
        conn_id = spec.source.connection
        if conn_id in wanted or environ.get(variable_name(conn_id), "").strip():
            continue
        try:
            wanted[conn_id] = connection_for(conn_id, spec.source.kind, environ)
        except LogferryError as error:
            print(f"init: {error}", file=sys.stderr)
    return list(wanted.values())


def write_passwords(file: Path, password: str) -> None:
    """The simple auth manager's file: user to password, readable by its owner only."""
    file.touch(mode=0o600)
    file.write_text(json.dumps({"admin": password}))


def create_bucket(environ: Mapping[str, str]) -> None:
    """Creates the bucket; one that exists already is fine."""
    # s3={"addressing_style": "path"}: a bucket is no host name inside the compose network.
    client: Any = boto3.client(
        "s3",
        endpoint_url=environ["OBJECT_STORE_URL"],
        region_name="us-east-1",
        aws_access_key_id=environ["OBJECT_STORE_ACCESS_KEY"],
        aws_secret_access_key=environ["OBJECT_STORE_SECRET_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    )
    try:
        client.create_bucket(Bucket=environ["OBJECT_STORE_BUCKET"])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise


def store_in_airflow(pools: Iterable[str], connections: Iterable[Connection]) -> None:
    """Adds the pools that are missing; writes the connections, so that a key changed in .env counts."""
    from airflow.models import Connection as Row  # costs seconds and opens the database: only where needed
    from airflow.models import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        for name in sorted(pools):
            if Pool.get_pool(name, session=session) is None:
                session.add(Pool(pool=name, slots=_POOL_SLOTS, description="", include_deferred=False))
        for conn in connections:
            session.execute(delete(Row).where(Row.conn_id == conn.conn_id))
            session.add(
                Row(
                    conn_id=conn.conn_id,
                    conn_type=conn.conn_type,
                    host=conn.host,
                    login=conn.login,
                    password=conn.password,
                    extra=dict(conn.extra),
                )
            )


def main(environ: Mapping[str, str] = os.environ) -> int:
    """0 when everything is there; else one sentence and the exit code of its error."""
    try:
        _prepare(environ)
    except LogferryError as error:
        print(f"init: {error}", file=sys.stderr)
        return error.exit_code
    print("init: the database, pools, connections and the bucket are ready.", file=sys.stderr)
    return 0


def _prepare(environ: Mapping[str, str]) -> None:
    subprocess.run(["airflow", "db", "migrate"], check=True)
    passwords_file = Path(environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    write_passwords(passwords_file, environ["AIRFLOW_ADMIN_PASSWORD"])
    loaded = load_exports()
    for sentence in loaded.broken.values():
        print(f"init: left out: {sentence}", file=sys.stderr)
    exports = loaded.exports.values()
    store_in_airflow(pools_wanted(exports), connections_wanted(exports, environ))
    create_bucket(environ)


if __name__ == "__main__":
    sys.exit(main())
