// The encryption unit that everything encrypted in a repository is: IV (16) || AES-256-CTR ciphertext || Poly1305-AES tag
// (16), the tag over the ciphertext only (restic design.rst, "Keys, Encryption and MAC"). The tag is checked, in constant time,
// before anything is decrypted; an all-zero IV is refused both ways.

import { randomFillSync, timingSafeEqual } from 'node:crypto';
import { AppError } from '@varve/base';
import { ivBytes, macBytes, type Authenticator, type Engine, type Keystream } from '../native/engine.ts';
import type { MasterKey } from './master-key.ts';

/** Bytes that a unit has more than its plaintext. */
export const unitOverheadBytes = ivBytes + macBytes;

/** IVs drawn at once: a call to the generator costs 4 to 8 µs whatever its size. */
const ivPoolBytes = 256 * ivBytes;

/** Seals and opens units with one key. Keeps contexts: make one per thread and repository. */
export class UnitCipher {
  readonly #keystream: Keystream;
  readonly #authenticator: Authenticator;
  readonly #pool = Buffer.allocUnsafeSlow(ivPoolBytes);
  #poolOffset = ivPoolBytes;
  readonly #tag = Buffer.allocUnsafeSlow(macBytes);

  constructor(engine: Engine, key: MasterKey) {
    const { encrypt, macK, macR } = key.reveal();
    this.#keystream = engine.createKeystream(encrypt);
    this.#authenticator = engine.createAuthenticator(macK, macR);
  }

  /** Seals where the bytes are: `unit` holds the plaintext from byte 16 on and 16 free bytes after it. */
  sealInPlace(unit: Uint8Array): void {
    const iv = unit.subarray(0, ivBytes);
    this.#drawIv(iv);
    const text = unit.subarray(ivBytes, unit.length - macBytes);
    this.#keystream.apply(iv, text, text);
    this.#authenticator.tag(iv, text, unit.subarray(unit.length - macBytes));
  }

  /** A new unit of `plaintext`. */
  seal(plaintext: Uint8Array): Buffer {
    const unit = Buffer.allocUnsafe(plaintext.length + unitOverheadBytes);
    unit.set(plaintext, ivBytes);
    this.sealInPlace(unit);
    return unit;
  }

  /**
   * The plaintext, or null when the unit is too short, its IV is zero or its tag is wrong. With `inPlace` the unit's own
   * memory is overwritten and the result is a view into it.
   */
  tryOpen(unit: Uint8Array, options: { readonly inPlace?: boolean | undefined } = {}): Uint8Array | null {
    if (unit.length < unitOverheadBytes) return null;
    const iv = unit.subarray(0, ivBytes);
    const text = unit.subarray(ivBytes, unit.length - macBytes);
    this.#authenticator.tag(iv, text, this.#tag);
    if (!timingSafeEqual(this.#tag, unit.subarray(unit.length - macBytes))) return null;
    if (isZeroIv(iv)) return null;
    const target = options.inPlace ? text : Buffer.allocUnsafe(text.length);
    this.#keystream.apply(iv, text, target);
    return target;
  }

  /** Like {@link UnitCipher.tryOpen}; REPOSITORY_DAMAGED that names `what` instead of null. */
  open(unit: Uint8Array, what: string, options: { readonly inPlace?: boolean | undefined } = {}): Uint8Array {
    const plaintext = this.tryOpen(unit, options);
    if (plaintext) return plaintext;
    throw new AppError(
      'REPOSITORY_DAMAGED',
      `${what} (${unit.length} bytes) was changed: its authentication code is wrong.`,
      {
        hint: 'Run a check with data to see what else is damaged.',
      },
    );
  }

  #drawIv(target: Uint8Array): void {
    do {
      if (this.#poolOffset === ivPoolBytes) {
        randomFillSync(this.#pool);
        this.#poolOffset = 0;
      }
      target.set(this.#pool.subarray(this.#poolOffset, this.#poolOffset + ivBytes));
      this.#poolOffset += ivBytes;
    } while (isZeroIv(target));
  }
}

function isZeroIv(iv: Uint8Array): boolean {
  for (let i = 0; i < ivBytes; i++) if (iv[i] !== 0) return false;
  return true;
}
