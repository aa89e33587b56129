// The address that the server listens on: `host:port`, `:port` or `port`.

import { isIP } from 'node:net';
import { AppError } from '@varve/base';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export const defaultListenAddress = '127.0.0.1:8470';

/** Parses `127.0.0.1:8470`, `[::1]:8470`, `localhost:8470`, `8470`. USAGE_INVALID for anything else. Port 0 means any. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:(?<host>\[[0-9a-fA-F:.]+\]|[^:[\]\s]*):)?(?<port>\d{1,5})$/.exec(text.trim());
  const port = Number(match?.groups?.['port']);
  const given = match?.groups?.['host'] ?? '';
  const host = given === '' ? '127.0.0.1' : given.replace(/^\[(.*)\]$/, '$1');
  if (!match || port > 65_535 || (given.startsWith('[') && isIP(host) !== 6)) {
    throw new AppError('USAGE_INVALID', `"${text}" is not an address to listen on.`, {
      hint: 'Give it as host:port, for example 127.0.0.1:8470 or [::1]:8470.',
    });
  }
  return { host, port };
}

/** Whether only programs on this machine can reach an address. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host.endsWith('.localhost')) return true;
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || host.toLowerCase().startsWith('::ffff:127.');
}

/** URL of an address as people type it. */
export function urlOf(address: ListenAddress): string {
  const host = isIP(address.host) === 6 ? `[${address.host}]` : address.host;
  return `http://${host}:${address.port}`;
}
