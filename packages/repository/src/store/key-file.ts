// Key files: the master key, sealed with a key that scrypt derives from a password (restic design.rst, "Keys, Encryption and
// MAC"). A repository may have several. What an untrusted key file may ask of this machine is bounded.

import { hash, randomBytes } from 'node:crypto';
import { AppError, type Secret } from '@varve/base';
import type { Storage } from '@varve/storage';
import { MasterKey } from '../crypto/master-key.ts';
import { deriveBytes, type KeyDerivation } from '../crypto/scrypt.ts';
import { UnitCipher } from '../crypto/unit-cipher.ts';
import type { Engine } from '../native/engine.ts';
import { encodeGoJson, parseJsonObject } from './go-json.ts';
import { formatGoTime } from './go-time.ts';

export interface KeyFile {
  readonly created: string;
  readonly username: string;
  readonly hostname: string;
  readonly derivation: KeyDerivation;
  readonly salt: Uint8Array;
  /** The sealed master key. */
  readonly data: Uint8Array;
}

const saltBytes = 64;
const derivedBytes = 64;
/** New keys: 32 MiB, and as many rounds as take up to half a second, at most 8. */
const newKeyCost = { N: 32_768, r: 8, maxP: 8, timeMs: 450 };
/** rustic asks for 128 MiB; a hostile file may ask for anything. */
const maxMemoryBytes = 512 * 1024 * 1024;
/** N × r × p; about ten seconds. */
const maxWork = 2 ** 24;

/** REPOSITORY_DAMAGED when the file is not a key, or asks for more memory or work than any real key. */
export function decodeKeyFile(bytes: Uint8Array, keyId: string): KeyFile {
  const json = parseJsonObject(bytes);
  if (!json) throw damaged(keyId, 'it is not JSON');
  const { kdf, N, r, p, salt, data } = json;
  if (kdf !== 'scrypt') throw damaged(keyId, `its key derivation “${String(kdf)}” is not known`);
  if (!isCost(N) || !isCost(r) || !isCost(p) || !Number.isInteger(Math.log2(N)) || N < 2) {
    throw damaged(keyId, 'its scrypt parameters are not valid');
  }
  if (128 * N * r > maxMemoryBytes || N * r * p > maxWork) {
    throw damaged(keyId, `it asks for scrypt with N=${N}, r=${r}, p=${p}, more than is safe to run`);
  }
  if (typeof salt !== 'string' || typeof data !== 'string') throw damaged(keyId, 'salt or data is missing');
  const saltValue = Buffer.from(salt, 'base64');
  if (saltValue.length !== saltBytes)
    throw damaged(keyId, `its salt has ${saltValue.length} bytes instead of ${saltBytes}`);
  return {
    created: text(json['created']),
    username: text(json['username']),
    hostname: text(json['hostname']),
    derivation: { N, r, p },
    salt: saltValue,
    data: Buffer.from(data, 'base64'),
  };
}

/** Reads a key file; REPOSITORY_DAMAGED when its content does not have the hash that is its name. */
export async function loadKeyFile(
  storage: Storage,
  { name, signal }: { readonly name: string; readonly signal?: AbortSignal | undefined },
): Promise<KeyFile> {
  const bytes = await storage.load({ type: 'key', name }, { signal });
  if (hash('sha256', bytes, 'hex') !== name) {
    throw new AppError(
      'REPOSITORY_DAMAGED',
      `Key file ${name} was changed: its content does not have the hash that is its name.`,
    );
  }
  return decodeKeyFile(bytes, name);
}

/** The master key, or null when the password is not the one of this key. `getEngine` is called while the key is being derived. */
export async function openKeyFile(
  key: KeyFile,
  password: Secret,
  getEngine: () => Engine,
  keyId: string,
): Promise<MasterKey | null> {
  const deriving = deriveKey(password, key.salt, key.derivation);
  const engine = getEngine();
  const userKey = await deriving;
  const plaintext = new UnitCipher(engine, userKey).tryOpen(key.data);
  if (!plaintext) return null;
  const json = parseJsonObject(plaintext);
  const mac = json?.['mac'] as Record<string, unknown> | undefined;
  const part = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : '', 'base64');
  const master = MasterKey.fromParts({
    encrypt: part(json?.['encrypt']),
    macK: part(mac?.['k']),
    macR: part(mac?.['r']),
  });
  if (!master) throw damaged(keyId, 'the master key in it is not valid');
  return master;
}

/** The bytes of a new key file. `derivation` is calibrated to this machine when absent. */
export async function createKeyFile(
  master: MasterKey,
  options: {
    readonly password: Secret;
    readonly engine: Engine;
    readonly username: string;
    readonly hostname: string;
    readonly created: Date;
    readonly derivation?: KeyDerivation | undefined;
  },
): Promise<Buffer> {
  const { N, r, p } = options.derivation ?? (await calibrate());
  const salt = randomBytes(saltBytes);
  const userKey = await deriveKey(options.password, salt, { N, r, p });
  const data = new UnitCipher(options.engine, userKey).seal(encodeMasterKey(master));
  const { username, hostname } = options;
  const created = formatGoTime(options.created);
  return encodeGoJson({ created, username, hostname, kdf: 'scrypt', N, r, p, salt: base64(salt), data: base64(data) });
}

/** The plaintext of what a key file seals. */
export function encodeMasterKey(master: MasterKey): Buffer {
  const { encrypt, macK, macR } = master.reveal();
  return encodeGoJson({ mac: { k: base64(macK), r: base64(macR) }, encrypt: base64(encrypt) });
}

/** Parameters for new keys: at most half a second and 60 MiB here, as restic chooses them. */
export async function calibrate(): Promise<KeyDerivation> {
  const { N, r, maxP, timeMs } = newKeyCost;
  const start = performance.now();
  await deriveBytes(Buffer.from('calibration'), randomBytes(saltBytes), { N, r, p: 1, bytes: derivedBytes });
  const oneMs = performance.now() - start;
  return { N, r, p: Math.min(maxP, Math.max(1, Math.floor(timeMs / oneMs))) };
}

async function deriveKey(password: Secret, salt: Uint8Array, derivation: KeyDerivation): Promise<MasterKey> {
  const derived = await deriveBytes(Buffer.from(password.reveal(), 'utf8'), salt, {
    ...derivation,
    bytes: derivedBytes,
  });
  const key = MasterKey.fromDerivedBytes(derived);
  if (!key) throw new AppError('INTERNAL', 'scrypt derived an all-zero key.');
  return key;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function isCost(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function damaged(keyId: string, what: string): AppError {
  return new AppError('REPOSITORY_DAMAGED', `Key file ${keyId.slice(0, 12)} cannot be used: ${what}.`);
}
