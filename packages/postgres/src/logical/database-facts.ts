// Facts about a cluster and its databases where only a tool runner reaches: what is there to save, and the properties of
// each database that a dump in custom format restores only under its own name.

import { AppError } from '@varve/base';
import { parseServerFacts, readObject, recordOf, serverFactsSql, type ServerFacts } from '../server-facts.ts';
import { psql } from './psql.ts';
import type { DatabaseTarget } from './target.ts';
import type { ToolRunner } from './tool-runner.ts';

/** A right on a database. */
export interface DatabaseGrant {
  /** Role, or null for PUBLIC. */
  readonly grantee: string | null;
  readonly privilege: 'CREATE' | 'CONNECT' | 'TEMPORARY';
  readonly isGrantable: boolean;
}

/** A setting that sessions in the database start with. */
export interface DatabaseSetting {
  /** Role that it is limited to (ALTER ROLE … IN DATABASE), or null for all. */
  readonly role: string | null;
  readonly name: string;
  readonly value: string;
}

/**
 * What belongs to a database itself and not to its contents: plain data for a manifest, given to
 * {@link restoreDatabase} as `properties`.
 */
export interface DatabaseProperties {
  readonly owner: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  readonly localeProvider: 'libc' | 'icu' | 'builtin';
  /** Locale of the icu and builtin providers. */
  readonly locale: string | null;
  readonly icuRules: string | null;
  readonly tablespace: string;
  /** -1: no limit. */
  readonly connectionLimit: number;
  readonly comment: string | null;
  /** Null: the rights that every new database has. */
  readonly grants: readonly DatabaseGrant[] | null;
  readonly settings: readonly DatabaseSetting[];
}

/** One database with everything that a dump should be accompanied by. */
export interface ListedDatabase {
  readonly name: string;
  readonly sizeBytes: number | undefined;
  readonly allowsConnections: boolean;
  /**
   * Whether somebody keeps something in it. Looked at for the maintenance database `postgres` only; true for all others.
   */
  readonly hasUserObjects: boolean;
  readonly properties: DatabaseProperties;
}

/**
 * Catalog columns that came or went between versions 13 and 18 are read through to_jsonb: daticulocale (15, 16) became
 * datlocale (17); datlocprovider came with 15, daticurules with 16.
 */
const databasesSql = `select coalesce(json_agg(entry order by entry->>'name'), '[]') from (
  select json_build_object(
    'name', d.datname,
    'sizeBytes', case when has_database_privilege(d.oid, 'CONNECT') then pg_database_size(d.oid) end,
    'allowsConnections', d.datallowconn,
    'properties', json_build_object(
      'owner', pg_get_userbyid(d.datdba),
      'encoding', pg_encoding_to_char(d.encoding),
      'collate', to_jsonb(d)->>'datcollate',
      'ctype', to_jsonb(d)->>'datctype',
      'localeProvider', case to_jsonb(d)->>'datlocprovider' when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end,
      'locale', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'),
      'icuRules', to_jsonb(d)->>'daticurules',
      'tablespace', t.spcname,
      'connectionLimit', d.datconnlimit,
      'comment', shobj_description(d.oid, 'pg_database'),
      'grants', case when d.datacl is not null then (
        select coalesce(json_agg(json_build_object(
          'grantee', case when a.grantee <> 0 then pg_get_userbyid(a.grantee) end,
          'privilege', a.privilege_type,
          'isGrantable', a.is_grantable)), '[]') from aclexplode(d.datacl) a) end,
      'settings', (
        select coalesce(json_agg(json_build_object(
          'role', case when s.setrole <> 0 then pg_get_userbyid(s.setrole) end,
          'name', split_part(c.config, '=', 1),
          'value', substr(c.config, strpos(c.config, '=') + 1))), '[]')
        from pg_db_role_setting s cross join unnest(s.setconfig) c(config) where s.setdatabase = d.oid)
    )) as entry
  from pg_database d join pg_tablespace t on t.oid = d.dattablespace
  where not d.datistemplate or d.datname = 'template1') entries`;

/** Objects made after initdb have OIDs from 16384 on (FirstNormalObjectId). */
const userObjectsSql = `select exists (select from pg_class where oid >= 16384)
  or exists (select from pg_proc where oid >= 16384) or exists (select from pg_type where oid >= 16384)
  or exists (select from pg_extension where oid >= 16384) or exists (select from pg_namespace where oid >= 16384)
  or exists (select from pg_largeobject_metadata)`;

/** All databases but templates, by name. Throws as psql does: DATABASE_UNREACHABLE, DATABASE_AUTH_FAILED … */
export async function listDatabases(
  runner: ToolRunner,
  target: DatabaseTarget,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ListedDatabase[]> {
  const { signal } = options;
  const databases = (await readDatabases(runner, target, options)).filter(({ name }) => name !== 'template1');
  const maintenance = databases.find(({ name, allowsConnections }) => name === 'postgres' && allowsConnections);
  const found = maintenance && (await psql(runner, target, [userObjectsSql], { database: maintenance.name, signal }));
  return databases.map((entry) =>
    Object.assign(entry, { hasUserObjects: entry !== maintenance || found?.trim() === 't' }),
  );
}

/** The same without the look into `postgres`, and with `template1`, whose properties new databases have. */
export async function readDatabases(
  runner: ToolRunner,
  target: DatabaseTarget,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Omit<ListedDatabase, 'hasUserObjects'>[]> {
  const json = await psql(runner, target, [databasesSql], options);
  const { databases } = readObject(`{"databases":${json}}`, 'its databases');
  return (Array.isArray(databases) ? databases : []).map((entry: unknown) => {
    const fields = recordOf(entry, 'a database');
    return {
      name: String(fields['name']),
      sizeBytes: typeof fields['sizeBytes'] === 'number' ? fields['sizeBytes'] : undefined,
      allowsConnections: fields['allowsConnections'] === true,
      properties: parseDatabaseProperties(fields['properties']),
    };
  });
}

/** The facts of {@link readServerFacts}, asked through psql. */
export async function databaseFacts(
  runner: ToolRunner,
  target: DatabaseTarget,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ServerFacts> {
  return parseServerFacts(await psql(runner, target, [serverFactsSql], options));
}

/** Types properties read from JSON (the server's answer, or a manifest). Throws DATABASE_PROTOCOL when they are not that. */
export function parseDatabaseProperties(value: unknown): DatabaseProperties {
  const fields = recordOf(value, 'the properties of a database');
  const provider = fields['localeProvider'];
  if (provider !== 'libc' && provider !== 'icu' && provider !== 'builtin') throw malformed('localeProvider');
  const grants = fields['grants'] ?? null;
  return {
    owner: text(fields, 'owner'),
    encoding: text(fields, 'encoding'),
    collate: text(fields, 'collate'),
    ctype: text(fields, 'ctype'),
    localeProvider: provider,
    locale: textOrNull(fields, 'locale'),
    icuRules: textOrNull(fields, 'icuRules'),
    tablespace: text(fields, 'tablespace'),
    connectionLimit: Number(fields['connectionLimit'] ?? -1),
    comment: textOrNull(fields, 'comment'),
    grants: grants === null ? null : list(grants, 'grants').map((entry) => parseGrant(entry)),
    settings: list(fields['settings'] ?? [], 'settings').map((entry) => ({
      role: textOrNull(entry, 'role'),
      name: text(entry, 'name'),
      value: text(entry, 'value'),
    })),
  };
}

function parseGrant(entry: Readonly<Record<string, unknown>>): DatabaseGrant {
  const privilege = entry['privilege'];
  if (privilege !== 'CREATE' && privilege !== 'CONNECT' && privilege !== 'TEMPORARY') throw malformed('privilege');
  return { grantee: textOrNull(entry, 'grantee'), privilege, isGrantable: entry['isGrantable'] === true };
}

function list(value: unknown, name: string): Readonly<Record<string, unknown>>[] {
  if (!Array.isArray(value)) throw malformed(name);
  return value.map((entry) => recordOf(entry, name));
}

function text(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string') throw malformed(name);
  return value;
}

function textOrNull(fields: Readonly<Record<string, unknown>>, name: string): string | null {
  return fields[name] === null || fields[name] === undefined ? null : text(fields, name);
}

function malformed(name: string): AppError {
  return new AppError('DATABASE_PROTOCOL', `The properties of a database are malformed: “${name}”.`);
}
