#!/bin/bash
# Entry point of the test image: as much of the contract of the official PostgreSQL image as the tests need.
# POSTGRES_USER, POSTGRES_PASSWORD[_FILE], POSTGRES_DB, PGDATA; an empty PGDATA is initialised; the server runs as
# "postgres", listens everywhere and asks for SCRAM passwords over TCP; like there, no rule lets physical replication in from
# elsewhere (`all` does not match it). Any other command is run as it is.
set -euo pipefail

as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }

initialise() {
  local user="${POSTGRES_USER:-postgres}" password="${POSTGRES_PASSWORD:-}"
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then password="$(< "$POSTGRES_PASSWORD_FILE")"; fi
  if [ -z "$password" ]; then
    echo 'Error: POSTGRES_PASSWORD is not set and the data folder is empty.' >&2
    exit 1
  fi
  local pwfile
  pwfile="$(mktemp)"
  printf '%s\n' "$password" > "$pwfile"
  chown postgres: "$pwfile"
  as_postgres initdb --username="$user" --pwfile="$pwfile" \
    --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 -D "$PGDATA"
  rm "$pwfile"
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  local database="${POSTGRES_DB:-$user}"
  if [ "$database" != postgres ]; then
    # Single-user mode: no server that others could reach before it is ready.
    echo "CREATE DATABASE \"$database\";" | as_postgres postgres --single -D "$PGDATA" postgres > /dev/null
  fi
}

if [ "${1:-postgres}" = postgres ] && [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chown postgres:postgres "$PGDATA" /var/run/postgresql
  chmod 0700 "$PGDATA"
  if [ ! -s "$PGDATA/PG_VERSION" ]; then initialise; fi
  shift || true
  exec setpriv --reuid=postgres --regid=postgres --init-groups \
    postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql "$@"
fi
exec "$@"
