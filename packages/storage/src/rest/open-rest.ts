// `rest:http(s)://[user[:password]@]host[:port]/[path/]`, as restic takes it.

import { Secret } from '@varve/base';
import type { Storage } from '../contract.ts';
import { connectionsOf, invalidLocation, settingsOf, type OpenStorageOptions } from '../open-options.ts';
import { readTlsFiles } from '../tls-files.ts';
import { LazyStorage } from '../wrappers/lazy-storage.ts';

const defaultConnections = 5;
const hint = 'Write rest:https://user@host:8000/path/, and the password into RESTIC_REST_PASSWORD.';

export function openRest(location: string, options: OpenStorageOptions): Storage {
  const settings = settingsOf('rest', ['connections'], options);
  const connections = connectionsOf(options, settings['connections'], defaultConnections);
  const environment = options.environment ?? {};
  const { baseUrl, user, password } = parseRestLocation(location);
  const shown = new URL(baseUrl);
  if (user !== undefined) shown.username = user;
  const safeLocation = `rest:${shown.href}`;
  return new LazyStorage({ location: safeLocation, connections }, async () => {
    const { HttpTransport } = await import('./http-transport.ts');
    const { RestStorage } = await import('./rest-storage.ts');
    const transport = new HttpTransport({
      baseUrl,
      connections,
      user: user ?? environment['RESTIC_REST_USERNAME'],
      password: password ?? secretOf(environment['RESTIC_REST_PASSWORD']),
      tls: await readTlsFiles(environment),
    });
    return new RestStorage({ location: safeLocation, connections, transport });
  });
}

function secretOf(text: string | undefined): Secret | undefined {
  return text === undefined ? undefined : new Secret(text);
}

interface RestLocation {
  readonly baseUrl: URL;
  readonly user: string | undefined;
  readonly password: Secret | undefined;
}

function parseRestLocation(location: string): RestLocation {
  const text = location.slice('rest:'.length);
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw invalidLocation('The location after “rest:” is not an http or https address.', hint);
  }
  if (url.search !== '' || url.hash !== '') {
    throw invalidLocation('The address of a REST server has neither a query nor a fragment.', hint);
  }
  const user = url.username === '' ? undefined : decodeURIComponent(url.username);
  const password = url.password === '' ? undefined : new Secret(decodeURIComponent(url.password));
  url.username = '';
  url.password = '';
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return { baseUrl: url, user, password };
}
