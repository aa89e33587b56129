// `sftp:[user@]host:path` and `sftp://[user@]host[:port]//path`, as restic takes them: a path after one colon or slash is
// relative to the home folder, one that begins with a slash of its own is absolute.

import { invalidLocation } from '../open-options.ts';

export interface SftpLocation {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly path: string;
}

const hint =
  'Write sftp:user@host:/path or sftp://user@host:22//path. A password is not part of it: use a key, an agent, or VARVE_SFTP_PASSWORD.';

export function parseSftpLocation(location: string): SftpLocation {
  const rest = location.slice('sftp:'.length);
  const found = rest.startsWith('//') ? parseUrl(`sftp:${rest}`) : parseShort(rest);
  if (found.host === '' || found.host.startsWith('-')) throw invalidLocation('The location has no host.', hint);
  if (found.path === '') throw invalidLocation('The location has no path.', hint);
  return found;
}

function parseUrl(text: string): SftpLocation {
  if (!URL.canParse(text)) throw invalidLocation('The location is not an sftp address.', hint);
  const url = new URL(text);
  if (url.password !== '') throw invalidLocation('The location has a password in it.', hint);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 22 : Number(url.port),
    user: url.username === '' ? undefined : decodeURIComponent(url.username),
    path: decodeURIComponent(url.pathname).slice(1),
  };
}

function parseShort(text: string): SftpLocation {
  const match = /^(?:([^@]*)@)?(\[[^\]]+\]|[^:]+):(.*)$/s.exec(text);
  if (!match) throw invalidLocation('The location has no host and path.', hint);
  const [, user, host = '', path = ''] = match;
  if (user?.includes(':')) throw invalidLocation('The location has a password in it.', hint);
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: 22, user: user === '' ? undefined : user, path };
}

/** As ssh names a host in known_hosts. */
export function knownHostName({ host, port }: Pick<SftpLocation, 'host' | 'port'>): string {
  return port === 22 ? host : `[${host}]:${port}`;
}
