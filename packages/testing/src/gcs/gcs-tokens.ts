// OAuth as Google does it for service accounts (RFC 7523): a signed assertion is exchanged for a token.

import { randomUUID, verify, type KeyObject } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { GcsError } from './gcs-answers.ts';

const lifetimeSeconds = 3600;

export class GcsTokens {
  readonly #tokens = new Set<string>();
  readonly #accounts = new Map<string, KeyObject>();

  trust(account: string, key: KeyObject): void {
    this.#accounts.set(account, key);
  }

  issue(): string {
    const token = `ya29.${randomUUID()}`;
    this.#tokens.add(token);
    return token;
  }

  accepts(authorization: string | undefined): boolean {
    const [, token = ''] = /^Bearer (.+)$/.exec(authorization ?? '') ?? [];
    return this.#tokens.has(token);
  }

  async exchange(incoming: IncomingMessage): Promise<unknown> {
    const body = Buffer.concat(await Array.fromAsync(incoming as AsyncIterable<Buffer>)).toString('utf8');
    const assertion = new URLSearchParams(body).get('assertion') ?? '';
    const [head = '', claims = '', signature = ''] = assertion.split('.');
    const { iss = '' } = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8') || '{}') as { iss?: string };
    const key = this.#accounts.get(iss);
    const isSigned =
      key && verify('sha256', Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, 'base64url'));
    if (!isSigned) throw new GcsError(400, 'invalid_grant', 'Invalid JWT Signature.');
    return { access_token: this.issue(), token_type: 'Bearer', expires_in: lifetimeSeconds };
  }
}
