// known_hosts (sshd(8), “SSH_KNOWN_HOSTS FILE FORMAT”): which keys a host may show. Lines of certificate authorities are not
// understood and are passed over.

import { createHash, createHmac } from 'node:crypto';

export interface KnownKey {
  readonly type: string;
  readonly key: Buffer;
  readonly isRevoked: boolean;
}

/** The keys that the file has for a host, named as {@link knownHostName} does. */
export function knownKeys(text: string, host: string): KnownKey[] {
  return text.split('\n').flatMap((line) => {
    const words = line.trim().split(/\s+/);
    const marker = words[0]?.startsWith('@') ? words.shift() : undefined;
    const [names = '', type = '', key = ''] = words;
    if (names === '' || names.startsWith('#') || key === '' || marker === '@cert-authority') return [];
    if (!matches(names, host)) return [];
    return [{ type, key: Buffer.from(key, 'base64'), isRevoked: marker === '@revoked' }];
  });
}

function matches(names: string, host: string): boolean {
  if (names.startsWith('|1|')) {
    const [, , salt = '', hash = ''] = names.split('|');
    return createHmac('sha1', Buffer.from(salt, 'base64')).update(host).digest('base64') === hash;
  }
  const patterns = names.toLowerCase().split(',');
  const matchesOne = (pattern: string): boolean => wildcard(pattern).test(host.toLowerCase());
  if (patterns.some((pattern) => pattern.startsWith('!') && matchesOne(pattern.slice(1)))) return false;
  return patterns.some((pattern) => !pattern.startsWith('!') && matchesOne(pattern));
}

function wildcard(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`);
}

/** `SHA256:…`, as ssh prints it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** The type that an SSH public key says it has (RFC 4253, section 6.6). */
export function keyTypeOf(key: Buffer): string {
  const length = key.length >= 4 ? key.readUInt32BE(0) : 0;
  return key.subarray(4, 4 + length).toString('latin1');
}
