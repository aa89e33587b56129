// `gs:bucket:/path`, as restic takes it. Credentials: GOOGLE_APPLICATION_CREDENTIALS (a file), GOOGLE_ACCESS_TOKEN, or else
// what Google gives (metadata server, gcloud); GOOGLE_PROJECT_ID is needed only to make a bucket.

import { Secret } from '@varve/base';
import type { Storage } from '../contract.ts';
import { parseBucketPath } from '../object/bucket-path.ts';
import { ObjectStorage } from '../object/object-storage.ts';
import { connectionsOf, settingsOf, type OpenStorageOptions } from '../open-options.ts';
import { LazyStorage } from '../wrappers/lazy-storage.ts';

const defaultConnections = 5;
const defaultRegion = 'us';

/** Settings: `gs.connections`, `gs.region` (of a bucket that is made). */
export function openGcs(location: string, options: OpenStorageOptions): Storage {
  const settings = settingsOf('gs', ['connections', 'region'], options);
  const connections = connectionsOf(options, settings['connections'], defaultConnections);
  const { bucket, prefix } = parseBucketPath(location, 'Write gs:bucket:/path.');
  const environment = options.environment ?? {};
  return new LazyStorage({ location, connections }, async () => {
    const { GcsObjectClient } = await import('./gcs-client.ts');
    const token = environment['GOOGLE_ACCESS_TOKEN'];
    const client = new GcsObjectClient({
      bucket,
      region: settings['region'] ?? defaultRegion,
      projectId: environment['GOOGLE_PROJECT_ID'] || undefined,
      keyFile: environment['GOOGLE_APPLICATION_CREDENTIALS'] || undefined,
      token: token ? new Secret(token) : undefined,
    });
    return new ObjectStorage({ location, connections, prefix, client });
  });
}
