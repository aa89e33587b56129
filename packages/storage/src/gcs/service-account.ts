// A service account's tokens (Google, “Using OAuth 2.0 for server to server applications”; RFC 7523): an assertion signed with
// the account's key is exchanged at the address that its file names, which Google's library would ignore.

import { createPrivateKey, sign, type KeyObject } from 'node:crypto';
import { AppError, messageOf, redact, type Clock } from '@varve/base';

export interface ServiceAccountFile {
  readonly client_email: string;
  readonly private_key: string;
  readonly private_key_id?: string;
  readonly token_uri?: string;
  readonly project_id?: string;
}

interface Token {
  readonly text: string;
  readonly expiresAtMs: number;
}

const defaultTokenAddress = 'https://oauth2.googleapis.com/token';
const grantType = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const assertionSeconds = 3600;
/** A token is not used in its last minutes. */
const marginMs = 5 * 60_000;
const requestLimitMs = 30_000;

export class ServiceAccount {
  readonly #file: ServiceAccountFile;
  readonly #key: KeyObject;
  readonly #scope: string;
  readonly #clock: Clock;
  #token: Promise<Token> | null = null;

  /** Throws when the key cannot be understood. */
  constructor(file: ServiceAccountFile, options: { readonly scope: string; readonly clock: Clock }) {
    this.#file = file;
    this.#key = createPrivateKey(file.private_key);
    this.#scope = options.scope;
    this.#clock = options.clock;
  }

  /** STORAGE_DENIED when Google does not know the account or its key, STORAGE_UNREACHABLE when it could not be asked. */
  async token(): Promise<string> {
    const held = await this.#token?.catch(() => null);
    if (held && held.expiresAtMs - marginMs > this.#clock.now().getTime()) return held.text;
    const fetching = this.#fetch();
    this.#token = fetching;
    return (await fetching).text;
  }

  async #fetch(): Promise<Token> {
    const address = this.#file.token_uri ?? defaultTokenAddress;
    const body = new URLSearchParams({ grant_type: grantType, assertion: this.#assertion(address) });
    const answer = await fetch(address, { method: 'POST', body, signal: AbortSignal.timeout(requestLimitMs) })
      .then(async (response) => ({ status: response.status, text: await response.text() }))
      .catch((cause: unknown) => {
        throw new AppError('STORAGE_UNREACHABLE', `Google’s token server could not be asked: ${reasonOf(cause)}.`, {
          retry: true,
          hint: `Check the network, and that ${address} can be reached from here.`,
        });
      });
    const { access_token: text, expires_in: seconds } = parsed(answer.text);
    if (answer.status === 200 && typeof text === 'string' && typeof seconds === 'number') {
      return { text, expiresAtMs: this.#clock.now().getTime() + seconds * 1000 };
    }
    const said = redact(answer.text.replace(/\s+/g, ' ').trim().slice(0, 200));
    const mayPass = answer.status >= 500 || answer.status === 429;
    throw new AppError(
      mayPass ? 'STORAGE_UNREACHABLE' : 'STORAGE_DENIED',
      `Google gives no token to ${this.#file.client_email}: status ${answer.status}, ${said}.`,
      {
        retry: mayPass,
        hint: 'Check in GOOGLE_APPLICATION_CREDENTIALS that the key was not deleted and the account not disabled, and the clock of this machine.',
      },
    );
  }

  #assertion(audience: string): string {
    const now = Math.floor(this.#clock.now().getTime() / 1000);
    const { client_email: account, private_key_id: kid } = this.#file;
    const head = encoded({ alg: 'RS256', typ: 'JWT', ...(kid === undefined ? {} : { kid }) });
    const claims = encoded({ iss: account, scope: this.#scope, aud: audience, iat: now, exp: now + assertionSeconds });
    const signature = sign('sha256', Buffer.from(`${head}.${claims}`), this.#key).toString('base64url');
    return `${head}.${claims}.${signature}`;
  }
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function parsed(text: string): { readonly access_token?: unknown; readonly expires_in?: unknown } {
  try {
    return JSON.parse(text) as { readonly access_token?: unknown; readonly expires_in?: unknown };
  } catch {
    return {};
  }
}

/** fetch says “fetch failed”, and the reason beneath. */
function reasonOf(error: unknown): string {
  return messageOf(error instanceof Error && error.cause instanceof Error ? error.cause : error);
}
