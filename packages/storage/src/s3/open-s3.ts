// Opens `s3:` locations: credentials from the environment as restic's, else by the SDK's chain (profiles, SSO, web identity,
// ECS, EC2).

import { Secret } from '@varve/base';
import type { Storage } from '../contract.ts';
import { ObjectStorage } from '../object/object-storage.ts';
import { connectionsOf, invalidLocation, settingsOf, type OpenStorageOptions } from '../open-options.ts';
import { LazyStorage } from '../wrappers/lazy-storage.ts';
import { parseS3Location } from './s3-location.ts';

const defaultConnections = 5;
const defaultRegion = 'us-east-1';

/** Settings: `s3.connections`, `s3.region`, `s3.bucket-lookup` (auto, dns, path), `s3.storage-class`, `s3.unsafe-anonymous-auth`. */
export function openS3(location: string, options: OpenStorageOptions): Storage {
  const known = ['connections', 'region', 'bucket-lookup', 'storage-class', 'unsafe-anonymous-auth'];
  const settings = settingsOf('s3', known, options);
  const connections = connectionsOf(options, settings['connections'], defaultConnections);
  const environment = options.environment ?? {};
  const parsed = parseS3Location(location);
  const lookup = settings['bucket-lookup'] ?? 'auto';
  if (!['auto', 'dns', 'path'].includes(lookup)) {
    throw invalidLocation(`The option s3.bucket-lookup cannot be “${lookup}”.`, 'There are auto, dns and path.');
  }
  const keyId = environment['AWS_ACCESS_KEY_ID'];
  const key = environment['AWS_SECRET_ACCESS_KEY'];
  const token = environment['AWS_SESSION_TOKEN'];
  return new LazyStorage({ location, connections }, async () => {
    const { S3ObjectClient } = await import('./s3-client.ts');
    const client = new S3ObjectClient({
      bucket: parsed.bucket,
      endpoint: parsed.endpoint,
      region:
        settings['region'] ??
        parsed.region ??
        (environment['AWS_DEFAULT_REGION'] || environment['AWS_REGION'] || defaultRegion),
      pathStyle: lookup === 'path' || (lookup === 'auto' && parsed.endpoint !== null),
      connections,
      storageClass: settings['storage-class'],
      isAnonymous: settings['unsafe-anonymous-auth'] === 'true',
      keys:
        keyId && key ? { id: keyId, secret: new Secret(key), token: token ? new Secret(token) : undefined } : undefined,
      profile: environment['AWS_PROFILE'],
    });
    return new ObjectStorage({ location, connections, prefix: parsed.prefix, client });
  });
}
