// `s3:[http[s]://]host[:port]/bucket[/prefix]` as restic takes it, and `s3:bucket[/prefix]` for Amazon's own. A first word
// with a dot or a port is a host.

import { invalidLocation } from '../open-options.ts';

export interface S3Location {
  /** Null for Amazon's own. */
  readonly endpoint: string | null;
  /** When the host names one. */
  readonly region: string | undefined;
  readonly bucket: string;
  readonly prefix: string;
}

const hint = 'Write s3:https://host/bucket/prefix, s3:s3.eu-west-1.amazonaws.com/bucket/prefix or s3:bucket/prefix.';
const amazonHost = /^s3(?:[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com$/;

export function parseS3Location(location: string): S3Location {
  const text = location.slice('s3:'.length).replace(/^\/\//, '');
  const match = /^(?:(https?):\/\/)?([^/]*)\/?(.*)$/s.exec(text);
  const [, scheme, first = '', rest = ''] = match ?? [];
  if (first.includes('@'))
    throw invalidLocation(
      'The location has credentials in it.',
      `${hint} Keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`,
    );
  const hasHost = scheme !== undefined || /[.:]/.test(first) || first === 'localhost';
  const path = (hasHost ? rest : text).split('/').filter((part) => part !== '');
  const [bucket = '', ...prefix] = path;
  if (bucket === '') throw invalidLocation('The location has no bucket.', hint);
  const endpoint = `${scheme ?? 'https'}://${first}`;
  if (hasHost && !URL.canParse(endpoint)) throw invalidLocation('The location has no valid host.', hint);
  const amazon = hasHost ? amazonHost.exec(first) : null;
  return {
    endpoint: hasHost && !amazon ? endpoint : null,
    region: amazon?.[1],
    bucket,
    prefix: prefix.join('/'),
  };
}
