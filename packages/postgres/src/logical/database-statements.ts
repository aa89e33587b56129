// SQL that makes a database with the properties of another, and gives it those properties. Pure.
// Manual: CREATE DATABASE, ALTER DATABASE, "Parameter Names and Values" (config-setting-names-values).

import { quoteIdentifier, quoteLiteral } from '../sql-quoting.ts';
import type { DatabaseProperties } from './database-facts.ts';

const localeProviderVersion = 150_000;

/** CREATE DATABASE from template0, so that encoding and locale are free to differ from the cluster's. */
export function createDatabaseSql(
  name: string,
  properties: DatabaseProperties,
  options: { readonly versionNum: number },
): string {
  const parts = [
    `CREATE DATABASE ${quoteIdentifier(name)} WITH TEMPLATE template0`,
    `OWNER ${quoteIdentifier(properties.owner)}`,
    `ENCODING ${quoteLiteral(properties.encoding)}`,
    `LC_COLLATE ${quoteLiteral(properties.collate)}`,
    `LC_CTYPE ${quoteLiteral(properties.ctype)}`,
  ];
  if (options.versionNum >= localeProviderVersion) parts.push(`LOCALE_PROVIDER ${properties.localeProvider}`);
  if (properties.locale !== null && properties.localeProvider !== 'libc') {
    const keyword = properties.localeProvider === 'icu' ? 'ICU_LOCALE' : 'BUILTIN_LOCALE';
    parts.push(`${keyword} ${quoteLiteral(properties.locale)}`);
  }
  if (properties.icuRules !== null) parts.push(`ICU_RULES ${quoteLiteral(properties.icuRules)}`);
  if (properties.tablespace !== 'pg_default') parts.push(`TABLESPACE ${quoteIdentifier(properties.tablespace)}`);
  return parts.join(' ');
}

/** Statements that give the database its comment, limit, rights and settings; the order matters. */
export function databasePropertyStatements(name: string, properties: DatabaseProperties): string[] {
  const database = quoteIdentifier(name);
  const statements: string[] = [];
  if (properties.comment !== null)
    statements.push(`COMMENT ON DATABASE ${database} IS ${quoteLiteral(properties.comment)}`);
  if (properties.connectionLimit !== -1) {
    statements.push(`ALTER DATABASE ${database} CONNECTION LIMIT ${properties.connectionLimit}`);
  }
  for (const { role, name: setting, value } of properties.settings) {
    const subject = role === null ? `DATABASE ${database}` : `ROLE ${quoteIdentifier(role)} IN DATABASE ${database}`;
    statements.push(`ALTER ${subject} SET ${settingName(setting)} TO ${settingValue(setting, value)}`);
  }
  return [...statements, ...grantStatements(database, properties)];
}

function grantStatements(database: string, properties: DatabaseProperties): string[] {
  if (properties.grants === null) return [];
  const everybody = ['PUBLIC', quoteIdentifier(properties.owner)];
  const revokes = everybody.map((grantee) => `REVOKE ALL ON DATABASE ${database} FROM ${grantee}`);
  const grants = properties.grants.map(({ grantee, privilege, isGrantable }) => {
    const role = grantee === null ? 'PUBLIC' : quoteIdentifier(grantee);
    return `GRANT ${privilege} ON DATABASE ${database} TO ${role}${isGrantable ? ' WITH GRANT OPTION' : ''}`;
  });
  return [...revokes, ...grants];
}

/** Names of extensions' settings have dots: each part is an identifier of its own. */
function settingName(name: string): string {
  return name.split('.').map(quoteIdentifier).join('.');
}

/**
 * Settings whose value is a list of identifiers (GUC_LIST_QUOTE): stored quoted, and given as several literals, because one
 * literal would be one identifier. Source: variable_is_guc_list_quote in pg_dump's dumputils.c.
 */
const listSettings = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

function settingValue(name: string, value: string): string {
  if (!listSettings.has(name.toLowerCase())) return quoteLiteral(value);
  const elements = splitIdentifierList(value);
  return elements.length === 0 ? `''` : elements.map(quoteLiteral).join(', ');
}

/** `"$user", public` → `$user` and `public`. */
export function splitIdentifierList(value: string): string[] {
  const elements: string[] = [];
  for (const match of value.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^",]*[^",\s]))\s*(?:,|$)/gy)) {
    elements.push(match[1] === undefined ? (match[2] ?? '') : match[1].replaceAll('""', '"'));
  }
  return elements;
}
