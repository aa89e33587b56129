// `kind:bucket:/path`, the form of azure: and gs: locations.

import { invalidLocation } from '../open-options.ts';

export function parseBucketPath(location: string, hint: string): { bucket: string; prefix: string } {
  const [, bucket = '', path] = /^[^:]*:([^:/]*):(.*)$/s.exec(location) ?? [];
  if (bucket === '' || path === undefined) throw invalidLocation('The location has no bucket and path.', hint);
  const prefix = path.split('/').filter((part) => part !== '');
  return { bucket, prefix: prefix.join('/') };
}
