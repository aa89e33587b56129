// Opens `s3:` locations: credentials from the environment as restic's, else by the SDK's chain (profiles, SSO, web identity,
// ECS, EC2).

import { AppError, Secret, systemClock } from '@varve/base';
import type { Storage } from '../contract.ts';
import { ObjectStorage } from '../object/object-storage.ts';
import { connectionsOf, flagOf, invalidLocation, settingsOf, type OpenStorageOptions } from '../open-options.ts';
import { readTlsFiles } from '../tls-files.ts';
import { LazyStorage } from '../wrappers/lazy-storage.ts';
import type { ObjectLock } from './s3-client.ts';
import { parseS3Location } from './s3-location.ts';

const defaultConnections = 5;
const defaultRegion = 'us-east-1';

const knownSettings = [
  'connections',
  'region',
  'bucket-lookup',
  'storage-class',
  'list-objects-v1',
  'unsafe-anonymous-auth',
  'object-lock-mode',
  'object-lock-days',
];
/** A century: whatever is longer is a slip. */
const maxLockDays = 36_500;

/**
 * Settings: restic's `s3.connections`, `s3.region`, `s3.bucket-lookup` (auto, dns, path), `s3.storage-class`,
 * `s3.list-objects-v1`, `s3.unsafe-anonymous-auth`; and ours, `s3.object-lock-mode` (governance, compliance) with
 * `s3.object-lock-days`.
 */
export function openS3(location: string, options: OpenStorageOptions): Storage {
  const settings = settingsOf('s3', knownSettings, options);
  const connections = connectionsOf(options, settings['connections'], defaultConnections);
  const environment = options.environment ?? {};
  const parsed = parseS3Location(location);
  const lookup = settings['bucket-lookup'] ?? 'auto';
  if (!['auto', 'dns', 'path'].includes(lookup)) {
    throw invalidLocation(`The option s3.bucket-lookup cannot be “${lookup}”.`, 'There are auto, dns and path.');
  }
  const objectLock = objectLockOf(settings);
  const isAnonymous = flagOf('s3.unsafe-anonymous-auth', settings['unsafe-anonymous-auth']);
  const listsV1 = flagOf('s3.list-objects-v1', settings['list-objects-v1']);
  const keyId = environment['AWS_ACCESS_KEY_ID'];
  const key = environment['AWS_SECRET_ACCESS_KEY'];
  const token = environment['AWS_SESSION_TOKEN'];
  return new LazyStorage({ location, connections }, async () => {
    const { S3ObjectClient } = await import('./s3-client.ts');
    const client = new S3ObjectClient({
      bucket: parsed.bucket,
      prefix: parsed.prefix,
      endpoint: parsed.endpoint,
      region:
        settings['region'] ??
        parsed.region ??
        (environment['AWS_DEFAULT_REGION'] || environment['AWS_REGION'] || defaultRegion),
      pathStyle: lookup === 'path' || (lookup === 'auto' && parsed.endpoint !== null),
      connections,
      storageClass: settings['storage-class'],
      objectLock,
      listsV1,
      isAnonymous,
      tls: await readTlsFiles(environment),
      clock: systemClock,
      keys:
        keyId && key ? { id: keyId, secret: new Secret(key), token: token ? new Secret(token) : undefined } : undefined,
      profile: environment['AWS_PROFILE'],
    });
    return new ObjectStorage({ location, connections, prefix: parsed.prefix, client });
  });
}

/** Both settings or neither. */
function objectLockOf(settings: Readonly<Record<string, string>>): ObjectLock | undefined {
  const mode = settings['object-lock-mode'];
  const days = settings['object-lock-days'];
  if (mode === undefined && days === undefined) return undefined;
  const upper = mode?.toUpperCase();
  if (upper !== 'GOVERNANCE' && upper !== 'COMPLIANCE') {
    throw new AppError('USAGE_INVALID', `The option s3.object-lock-mode cannot be “${mode ?? ''}”.`, {
      hint: 'Give governance (privileged users may still delete) or compliance (nobody may), and s3.object-lock-days.',
    });
  }
  const count = Number(days);
  if (!Number.isInteger(count) || count < 1 || count > maxLockDays) {
    throw new AppError('USAGE_INVALID', `The option s3.object-lock-days cannot be “${days ?? ''}”.`, {
      hint: `Give a whole number of days from 1 to ${maxLockDays}.`,
    });
  }
  return { mode: upper, days: count };
}
