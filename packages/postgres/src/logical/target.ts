// How PostgreSQL's programs are told where to connect: by environment variables alone. Names never become arguments,
// where `=` or `postgres://` in a database's name would be read as connection settings, and passwords never show up in a
// process list. Manual: "Environment Variables" (libpq-envars).

import type { Secret } from '@varve/base';
import type { TlsMode } from '../connection/transport.ts';

/** Where PostgreSQL's programs connect, seen from where they run. */
export interface DatabaseTarget {
  readonly user: string;
  /** The database that sessions about the whole cluster use. */
  readonly database: string;
  /** Host, or folder of a Unix socket; absent: the program's default socket. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** Absent: trust, peer, or the password file of the user that runs the programs. */
  readonly password?: Secret | undefined;
  readonly tls?: TlsMode | undefined;
  readonly tlsCaFile?: string | undefined;
  /** How the sessions are called in pg_stat_activity. Default `varve`. */
  readonly applicationName?: string | undefined;
}

const connectTimeoutSeconds = 15;

/**
 * The environment for a program that connects to `database` (by default the target's own). Messages come in English,
 * text in UTF-8, and settings of the role or database that would break a backup (read-only, time-outs) are overruled.
 */
export function targetEnvironment(
  target: DatabaseTarget,
  options: { readonly database?: string | undefined; readonly settings?: Readonly<Record<string, string>> } = {},
): Record<string, string | Secret> {
  const settings = { statement_timeout: '0', default_transaction_read_only: 'off', ...options.settings };
  return {
    LC_ALL: 'C',
    PGUSER: target.user,
    PGDATABASE: options.database ?? target.database,
    PGCLIENTENCODING: 'UTF8',
    PGAPPNAME: target.applicationName ?? 'varve',
    PGCONNECT_TIMEOUT: String(connectTimeoutSeconds),
    PGOPTIONS: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
    ...(target.host === undefined ? {} : { PGHOST: target.host }),
    ...(target.port === undefined ? {} : { PGPORT: String(target.port) }),
    ...(target.password === undefined ? {} : { PGPASSWORD: target.password }),
    ...(target.tls === undefined ? {} : { PGSSLMODE: target.tls }),
    ...(target.tlsCaFile === undefined ? {} : { PGSSLROOTCERT: target.tlsCaFile }),
  };
}
