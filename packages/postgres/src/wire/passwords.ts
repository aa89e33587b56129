// How a password is proven to the server: md5 and SCRAM-SHA-256, with channel binding. Pure but for the key stretching,
// which runs in libuv's thread pool. RFC 5802, RFC 7677; manual: "SASL Authentication" (sasl-authentication).

import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { AppError, type Secret } from '@varve/base';

const stretch = promisify(pbkdf2);
/** A server that asks for more is broken or hostile: this is some 5 s of work. The server's default is 4096. */
const mostIterations = 10_000_000;

/** The answer to an md5 request: `md5` + md5(md5(password + user) + salt). */
export function md5Answer(options: {
  readonly user: string;
  readonly password: Secret;
  readonly salt: Uint8Array;
}): string {
  const inner = md5(Buffer.from(options.password.reveal() + options.user, 'utf8'));
  return `md5${md5(Buffer.concat([Buffer.from(inner, 'latin1'), options.salt]))}`;
}

function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex');
}

/** What a SCRAM exchange starts from. */
export interface ScramOptions {
  readonly password: Secret;
  /** Mechanisms that the server offers. */
  readonly mechanisms: readonly string[];
  /** Hash of the server's certificate (RFC 5929 §4.1) on a TLS connection; absent where none can be made. */
  readonly certificateHash?: Uint8Array | undefined;
  /** Client nonce; random unless a test gives one. */
  readonly nonce?: string | undefined;
}

/** The client's side of one SCRAM exchange: `first()`, then `answer()` to the challenge, then `verify()` the server. */
export class ScramClient {
  readonly mechanism: 'SCRAM-SHA-256' | 'SCRAM-SHA-256-PLUS';
  readonly #password: Secret;
  readonly #gs2Header: string;
  readonly #bindingData: Uint8Array;
  readonly #firstBare: string;
  readonly #nonce: string;
  #serverSignature: Uint8Array | undefined;

  constructor(options: ScramOptions) {
    const { certificateHash, mechanisms } = options;
    this.#password = options.password;
    this.#nonce = options.nonce ?? randomBytes(18).toString('base64');
    if (certificateHash && mechanisms.includes('SCRAM-SHA-256-PLUS')) {
      this.mechanism = 'SCRAM-SHA-256-PLUS';
      this.#gs2Header = 'p=tls-server-end-point,,';
      this.#bindingData = certificateHash;
    } else if (mechanisms.includes('SCRAM-SHA-256')) {
      this.mechanism = 'SCRAM-SHA-256';
      // "y": we could bind the channel but the server did not offer it; the server notices if somebody hid its offer.
      this.#gs2Header = certificateHash ? 'y,,' : 'n,,';
      this.#bindingData = new Uint8Array();
    } else {
      throw new AppError(
        'DATABASE_PROTOCOL',
        `The server offers only unknown ways to log in: ${mechanisms.join(', ')}.`,
      );
    }
    // PostgreSQL takes the user from the start-up message and ignores this one.
    this.#firstBare = `n=,r=${this.#nonce}`;
  }

  /** The client-first-message. */
  first(): string {
    return this.#gs2Header + this.#firstBare;
  }

  /** The client-final-message for the server's challenge. Throws DATABASE_PROTOCOL when the challenge is malformed. */
  async answer(challenge: string): Promise<string> {
    const attributes = scramAttributes(challenge);
    const nonce = attributes.get('r') ?? '';
    const salt = Buffer.from(attributes.get('s') ?? '', 'base64');
    const iterations = Number(attributes.get('i'));
    const isUsable = nonce.startsWith(this.#nonce) && nonce.length > this.#nonce.length && salt.length > 0;
    if (!isUsable || !Number.isInteger(iterations) || iterations < 1 || iterations > mostIterations) {
      throw new AppError('DATABASE_PROTOCOL', 'The server sent a malformed SCRAM challenge.');
    }
    const salted = await stretch(preparedPassword(this.#password.reveal()), salt, iterations, 32, 'sha256');
    const clientKey = hmac(salted, 'Client Key');
    const binding = Buffer.concat([Buffer.from(this.#gs2Header, 'utf8'), this.#bindingData]).toString('base64');
    const finalBare = `c=${binding},r=${nonce}`;
    const authMessage = `${this.#firstBare},${challenge},${finalBare}`;
    const clientSignature = hmac(createHash('sha256').update(clientKey).digest(), authMessage);
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage);
    const proof = clientKey.map((byte, index) => byte ^ (clientSignature[index] ?? 0));
    return `${finalBare},p=${Buffer.from(proof).toString('base64')}`;
  }

  /** Checks that the server knows the password too. Throws DATABASE_AUTH_FAILED when it does not. */
  verify(final: string): void {
    const signature = Buffer.from(scramAttributes(final).get('v') ?? '', 'base64');
    const expected = this.#serverSignature;
    if (!expected || signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
      throw new AppError('DATABASE_AUTH_FAILED', 'The server could not prove that it knows the password.', {
        hint: 'Check that the address is that of your own server: another one may be answering in its place.',
      });
    }
  }
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'utf8').digest();
}

function scramAttributes(text: string): Map<string, string> {
  const pairs = text.split(',').map((part): [string, string] => [part.slice(0, 1), part.slice(2)]);
  return new Map(pairs);
}

/**
 * SASLprep (RFC 4013) as far as PostgreSQL's servers need it: mapped characters and NFKC. Like the server, a password
 * that SASLprep forbids is used as it is.
 */
function preparedPassword(password: string): string {
  if (/^[\x20-\x7e]*$/.test(password)) return password;
  const mapped = password
    .replaceAll(/[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g, ' ')
    .replaceAll(/\u00ad|\u034f|\u1806|\u180b|\u180c|\u180d|\u200c|\u200d|\u2060|\ufeff|\p{Variation_Selector}/gu, '');
  const normal = mapped.normalize('NFKC');
  return /\p{Cc}|\p{Co}|\p{Cs}|\p{Cn}/u.test(normal) ? password : normal;
}
