// The primitives that every byte of a repository passes through, behind one interface with two implementations: calls into
// the zstd and OpenSSL that the Node binary itself carries and exports (no cost per object), and Node's public modules
// where these symbols cannot be reached. An engine keeps contexts and belongs to one thread.

/** Bytes of an AES-CTR initialisation vector. */
export const ivBytes = 16;
/** Bytes of a Poly1305 tag. */
export const macBytes = 16;

/** AES-256-CTR with one key. The counter block is the IV as a 128-bit big-endian number. */
export interface Keystream {
  /** Encrypts or decrypts `source` into `target` (same length; may be the same memory). */
  apply(iv: Uint8Array, source: Uint8Array, target: Uint8Array): void;
}

/** Poly1305-AES with one key pair: Poly1305 keyed with R and AES-128(K, IV). */
export interface Authenticator {
  /** Writes the 16-byte tag of `message` under `iv` to `tag`. */
  tag(iv: Uint8Array, message: Uint8Array, tag: Uint8Array): void;
}

/** zstd with one level: frames with the content size, without a checksum, with a window of at most 512 KiB. */
export interface Compressor {
  /** Compresses into `target` and yields the bytes written, or -1 when `target` is too small. */
  compress(source: Uint8Array, target: Uint8Array): number;
}

export interface Engine {
  readonly name: 'native' | 'builtin';
  /** SHA-256 of `data`, 32 new bytes. */
  sha256(data: Uint8Array): Buffer;
  createKeystream(key: Uint8Array): Keystream;
  createAuthenticator(k: Uint8Array, r: Uint8Array): Authenticator;
  /** Compressors of the same level may share their memory: they are used one after the other, as all of an engine is. */
  createCompressor(level: number): Compressor;
  /**
   * The plaintext of the zstd frame(s) in `source`, or null when they are broken or hold more than `maxBytes`. With a
   * `scratch` that is large enough the result may be a view into it.
   */
  decompress(source: Uint8Array, maxBytes: number, scratch?: Buffer): Buffer | null;
  /** Gives back what memory the compressors keep between calls: for a thread that ends. They can be used afterwards. */
  release(): void;
}

/** What a target for {@link Compressor.compress} needs so that it is never too small (zstd's ZSTD_COMPRESSBOUND). */
export function compressBound(sourceBytes: number): number {
  const margin = sourceBytes < 131_072 ? (131_072 - sourceBytes) >>> 11 : 0;
  return sourceBytes + (sourceBytes >>> 8) + margin;
}

/** log2 of the largest zstd window that we write (512 KiB, as restic does). */
export const windowLog = 19;
