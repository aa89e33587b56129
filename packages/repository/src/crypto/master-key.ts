// The master key of a repository: what encrypts and authenticates every unit. It prints as `[redacted]`.

import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';

/** The raw parts; structured-cloneable, for a worker thread's `workerData`. Never log, never store unencrypted. */
export interface MasterKeyParts {
  /** AES-256 key, 32 bytes. */
  readonly encrypt: Uint8Array;
  /** AES-128 key of Poly1305-AES, 16 bytes. */
  readonly macK: Uint8Array;
  /** Poly1305 `r`, 16 bytes, stored unclamped (clamping is part of Poly1305). */
  readonly macR: Uint8Array;
}

export class MasterKey {
  readonly #parts: MasterKeyParts;

  private constructor(parts: MasterKeyParts) {
    this.#parts = parts;
  }

  /** A new random key. */
  static generate(): MasterKey {
    return new MasterKey({ encrypt: randomBytes(32), macK: randomBytes(16), macR: randomBytes(16) });
  }

  /** Null when a length is wrong or the encryption key or the MAC key is all zero (restic: "invalid key"). */
  static fromParts(parts: MasterKeyParts): MasterKey | null {
    const { encrypt, macK, macR } = parts;
    if (encrypt.length !== 32 || macK.length !== 16 || macR.length !== 16) return null;
    if (isZero(encrypt) || isZero(macK) || isZero(macR)) return null;
    return new MasterKey({
      encrypt: Uint8Array.from(encrypt),
      macK: Uint8Array.from(macK),
      macR: Uint8Array.from(macR),
    });
  }

  /** The 64 bytes that scrypt derives from a password: encrypt (32), k (16), r (16). */
  static fromDerivedBytes(bytes: Uint8Array): MasterKey | null {
    return MasterKey.fromParts({
      encrypt: bytes.subarray(0, 32),
      macK: bytes.subarray(32, 48),
      macR: bytes.subarray(48, 64),
    });
  }

  /** Only for a cipher, a key file, or a worker thread. */
  reveal(): MasterKeyParts {
    return this.#parts;
  }

  toString(): string {
    return '[redacted]';
  }

  toJSON(): string {
    return '[redacted]';
  }

  [inspect.custom](): string {
    return '[redacted]';
  }
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
