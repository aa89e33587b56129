// Opens `sftp:` locations: what ssh would use by itself, or what the options and the environment name.

import { Secret } from '@varve/base';
import type { Storage } from '../contract.ts';
import { connectionsOf, settingsOf, type OpenStorageOptions } from '../open-options.ts';
import { LazyStorage } from '../wrappers/lazy-storage.ts';
import { parseSftpLocation } from './sftp-location.ts';

const defaultConnections = 5;

/**
 * Settings: `sftp.key`, `sftp.known-hosts` (files), `sftp.connections`. Environment: VARVE_SFTP_PASSWORD,
 * VARVE_SFTP_KEY_PASSPHRASE, SSH_AUTH_SOCK, HOME.
 */
export function openSftp(location: string, options: OpenStorageOptions): Storage {
  const settings = settingsOf('sftp', ['key', 'known-hosts', 'connections'], options);
  const connections = connectionsOf(options, settings['connections'], defaultConnections);
  const environment = options.environment ?? {};
  const parsed = parseSftpLocation(location);
  return new LazyStorage({ location, connections }, async () => {
    const [{ SftpStorage }, { defaultFiles }] = await Promise.all([
      import('./sftp-storage.ts'),
      import('./sftp-connection.ts'),
    ]);
    const files = defaultFiles(environment['HOME']);
    return new SftpStorage({
      ...parsed,
      location,
      connections,
      keyFiles: files.keyFiles,
      namedKeyFile: settings['key'],
      knownHostsFiles: settings['known-hosts'] === undefined ? files.knownHostsFiles : [settings['known-hosts']],
      agent: environment['SSH_AUTH_SOCK'] || undefined,
      password: secretOf(environment['VARVE_SFTP_PASSWORD']),
      keyPassphrase: secretOf(environment['VARVE_SFTP_KEY_PASSPHRASE']),
    });
  });
}

function secretOf(text: string | undefined): Secret | undefined {
  return text === undefined ? undefined : new Secret(text);
}
