// Which run of which server answers: to know that two ways lead to the same one. Copies of a cluster share its identifier
// (clones, sandboxes), so the moment at which this server started belongs to it.

import { AppError } from '@varve/base';
import type { PgConnection, RequestOptions } from './connection/connection.ts';
import { psql, type PsqlOptions } from './logical/psql.ts';
import type { DatabaseTarget } from './logical/target.ts';
import type { ToolRunner } from './logical/tool-runner.ts';

/** Compared as text, to be shown to nobody. */
export type ServerIdentity = string & { readonly brand: 'server-identity' };

const identitySql =
  'select (select system_identifier from pg_control_system())::text || $$ $$ || extract(epoch from pg_postmaster_start_time())::text';

/** Over a session (ordinary or replication). Throws as {@link PgConnection.query}. */
export async function readServerIdentity(
  connection: PgConnection,
  options: RequestOptions = {},
): Promise<ServerIdentity> {
  const results = await connection.query(identitySql, options);
  return parseIdentity(results[0]?.rows[0]?.[0] ?? '');
}

/** Through psql, where its tool runner runs it. Throws DATABASE_TOOL_MISSING and the other errors of psql. */
export async function serverIdentityByTool(
  runner: ToolRunner,
  target: DatabaseTarget,
  options: PsqlOptions = {},
): Promise<ServerIdentity> {
  return parseIdentity((await psql(runner, target, [identitySql], options)).trim());
}

function parseIdentity(text: string): ServerIdentity {
  if (/^\d{1,20} \d+(\.\d+)?$/.test(text)) return text as ServerIdentity;
  throw new AppError('DATABASE_PROTOCOL', 'The server’s answer about its identity is not understood.');
}
