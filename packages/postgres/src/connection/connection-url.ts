// PostgreSQL URLs as libpq reads them. Manual: "Connection URIs" (libpq-connstring). Unknown parameters are errors, and no
// error repeats the URL, because it may hold a password.

import { AppError, Secret } from '@varve/base';
import type { TlsMode } from './transport.ts';

/** Where and as whom to connect, as written in a URL. */
export interface PostgresLocation {
  readonly host: string;
  readonly port: number;
  /** Folder of the Unix socket when the URL names one. */
  readonly socketPath?: string;
  readonly user: string;
  readonly password?: Secret;
  readonly database: string;
  readonly tls: TlsMode;
  readonly tlsCaFile?: string;
  readonly applicationName?: string;
  readonly connectTimeoutMs?: number;
  readonly passwordFile?: string;
}

const shape = /^postgres(?:ql)?:\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const defaultPort = 5432;

const tlsModes: Readonly<Record<string, TlsMode>> = {
  disable: 'disable',
  allow: 'prefer',
  prefer: 'prefer',
  require: 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
};

const knownParameters = new Set([
  'host',
  'port',
  'user',
  'password',
  'dbname',
  'sslmode',
  'sslrootcert',
  'application_name',
  'connect_timeout',
  'passfile',
]);

/**
 * Reads `postgresql://user:password@host:port/database?sslmode=require`. A host that starts with `/` (as `%2Frun` or
 * `?host=/run`) is the folder of a Unix socket. The database defaults to the user, the user to `defaultUser`. Throws
 * SETTINGS_INVALID for anything that is not understood.
 */
export function parsePostgresUrl(
  url: Secret | string,
  options: { readonly defaultUser?: string } = {},
): PostgresLocation {
  const match = shape.exec(typeof url === 'string' ? url : url.reveal());
  if (!match) throw invalid('it does not have the form postgresql://user:password@host:port/database');
  const parameters = readParameters(match[4] ?? '');
  const [userPart, passwordPart] = splitOnce(match[1] ?? '', ':');
  const authority = readAuthority(match[2] ?? '');
  const host = parameters.get('host') ?? decode(authority.host);
  const user = parameters.get('user') ?? (decode(userPart) || options.defaultUser);
  if (user === undefined || user === '') throw invalid('it names no user');
  const password = parameters.get('password') ?? (passwordPart === undefined ? undefined : decode(passwordPart));
  const tlsCaFile = parameters.get('sslrootcert');
  const applicationName = parameters.get('application_name');
  const passwordFile = parameters.get('passfile');
  const timeout = parameters.get('connect_timeout');
  return {
    host: host.startsWith('/') || host === '' ? 'localhost' : host,
    port: readPort(parameters.get('port') ?? authority.port),
    ...(host.startsWith('/') ? { socketPath: host } : {}),
    user,
    ...(password === undefined || password === '' ? {} : { password: new Secret(password) }),
    database: parameters.get('dbname') ?? (decode(match[3] ?? '') || user),
    tls: readTlsMode(parameters.get('sslmode')),
    ...(tlsCaFile === undefined ? {} : { tlsCaFile }),
    ...(applicationName === undefined ? {} : { applicationName }),
    ...(timeout === undefined ? {} : { connectTimeoutMs: readSeconds(timeout) * 1000 }),
    ...(passwordFile === undefined ? {} : { passwordFile }),
  };
}

function invalid(reason: string): AppError {
  return new AppError('SETTINGS_INVALID', `The PostgreSQL URL cannot be used: ${reason}.`, {
    hint: 'Write it as postgresql://user:password@host:5432/database; special characters as %XX (an @ in a password is %40).',
  });
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('it has a % that is not followed by two hexadecimal digits');
  }
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const index = text.indexOf(separator);
  return index === -1 ? [text, undefined] : [text.slice(0, index), text.slice(index + 1)];
}

function readAuthority(text: string): { readonly host: string; readonly port: string | undefined } {
  if (text.includes(',')) throw invalid('it names several hosts, and one is needed');
  const bracketed = /^\[([0-9A-Fa-f:.%]+)\](?::(\d*))?$/.exec(text);
  if (bracketed) return { host: bracketed[1] ?? '', port: bracketed[2] };
  const [host, port] = splitOnce(text, ':');
  return { host, port };
}

function readParameters(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const pair of query.split('&').filter((text) => text !== '')) {
    const [rawName, rawValue] = splitOnce(pair, '=');
    const name = decode(rawName);
    // libpq takes JDBC's ssl=true for sslmode=require.
    const isJdbcTls = name === 'ssl' && rawValue === 'true';
    if (!isJdbcTls && !knownParameters.has(name)) throw invalid(`the parameter “${name}” is not supported`);
    if (rawValue === undefined) throw invalid(`the parameter “${name}” has no value`);
    if (isJdbcTls) parameters.set('sslmode', 'require');
    else parameters.set(name, decode(rawValue));
  }
  return parameters;
}

function readPort(text: string | undefined): number {
  if (text === undefined || text === '') return defaultPort;
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) throw invalid('its port is not a number from 1 to 65535');
  return port;
}

function readSeconds(text: string): number {
  const seconds = Number(text);
  if (!/^\d{1,6}$/.test(text) || seconds < 1) throw invalid('connect_timeout is not a number of seconds from 1 up');
  return seconds;
}

function readTlsMode(text: string | undefined): TlsMode {
  const mode = tlsModes[text ?? 'prefer'];
  if (!mode) throw invalid(`sslmode is not one of ${Object.keys(tlsModes).join(', ')}`);
  return mode;
}
