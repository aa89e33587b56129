// `gs:bucket:/path`, as restic takes it. Credentials: GOOGLE_APPLICATION_CREDENTIALS (a file), GOOGLE_ACCESS_TOKEN, or else
// what Google gives (metadata server, gcloud); GOOGLE_PROJECT_ID is needed only to make a bucket. STORAGE_EMULATOR_HOST is
// Google's own variable for another endpoint.

import { Secret, systemClock } from '@varve/base';
import type { Storage } from '../contract.ts';
import { parseBucketPath } from '../object/bucket-path.ts';
import { ObjectStorage } from '../object/object-storage.ts';
import { connectionsOf, invalidLocation, settingsOf, type OpenStorageOptions } from '../open-options.ts';
import { readTlsFiles } from '../tls-files.ts';
import { LazyStorage } from '../wrappers/lazy-storage.ts';

const defaultConnections = 5;
const defaultRegion = 'us';
const defaultEndpoint = 'https://storage.googleapis.com';

/** Settings: `gs.connections`, `gs.region` (of a bucket that is made). */
export function openGcs(location: string, options: OpenStorageOptions): Storage {
  const settings = settingsOf('gs', ['connections', 'region'], options);
  const connections = connectionsOf(options, settings['connections'], defaultConnections);
  const { bucket, prefix } = parseBucketPath(location, 'Write gs:bucket:/path.');
  const environment = options.environment ?? {};
  return new LazyStorage({ location, connections }, async () => {
    const [{ GcsObjectClient }, { gcsCredentials }] = await Promise.all([
      import('./gcs-client.ts'),
      import('./gcs-credentials.ts'),
    ]);
    const token = environment['GOOGLE_ACCESS_TOKEN'];
    const ownEndpoint = environment['STORAGE_EMULATOR_HOST'] || undefined;
    const credentials = await gcsCredentials({
      token: token ? new Secret(token) : undefined,
      keyFile: environment['GOOGLE_APPLICATION_CREDENTIALS'] || undefined,
      projectId: environment['GOOGLE_PROJECT_ID'] || undefined,
      isOwnEndpoint: ownEndpoint !== undefined,
      clock: systemClock,
    });
    const client = new GcsObjectClient({
      bucket,
      region: settings['region'] ?? defaultRegion,
      endpoint: endpointOf(ownEndpoint ?? defaultEndpoint),
      connections,
      credentials,
      tls: await readTlsFiles(environment),
    });
    return new ObjectStorage({ location, connections, prefix, client });
  });
}

/** With or without its scheme, as Google's libraries take it. */
function endpointOf(text: string): URL {
  const address = /^https?:\/\//.test(text) ? text : `http://${text}`;
  if (!URL.canParse(address)) {
    throw invalidLocation('STORAGE_EMULATOR_HOST is not an address.', 'Write it as https://host:port, or unset it.');
  }
  return new URL(`${address.replace(/\/+$/, '')}/`);
}
