// The engine that calls the zstd and OpenSSL inside the Node binary through koffi (prebuilt N-API), with kept contexts:
// SHA-256 of 2 KiB takes 2 µs, AES-CTR 1 µs, Poly1305 1 µs, zstd level 3 15 µs, against 4, 38, - and 76 µs of Node's modules.
// Contexts live as long as the process: engines are made once per thread, ciphers once per repository.

import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { createBuiltinEngine, decompressBuiltin } from './builtin-engine.ts';
import type { Authenticator, Engine, Keystream } from './engine.ts';
import { ZstdCompressor } from './zstd-compressor.ts';

type Foreign = (...args: unknown[]) => unknown;
type Functions = ReturnType<typeof bind>;

/** sizeof(SHA256_CTX) is 112 (openssl/sha.h); the rest is margin. */
const sha256ContextBytes = 256;

/** Null when koffi cannot be loaded or a symbol is missing (a Node that links its own OpenSSL or zstd privately). */
export function createNativeEngine(): Engine | null {
  try {
    const functions = bind();
    const compressors = new Map<number, ZstdCompressor>();
    const engine: Engine = {
      name: 'native',
      sha256: createSha256(functions),
      createKeystream: (key) => createKeystream(functions, key),
      createAuthenticator: (k, r) => createAuthenticator(functions, k, r),
      createCompressor: (level) => {
        const compressor = compressors.get(level) ?? new ZstdCompressor(functions, level);
        compressors.set(level, compressor);
        return compressor;
      },
      decompress: createDecompress(functions),
      release: () => compressors.forEach((compressor) => compressor.release()),
    };
    return isSound(engine) ? engine : null;
  } catch {
    return null;
  }
}

// `size_t` results above 2^53 (zstd's error codes) arrive as BigInt; everything that is a number is a size.
function bind() {
  const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
  const library = koffi.load(null);
  const func = (prototype: string): Foreign => library.func(prototype) as Foreign;
  return {
    shaInit: func('int SHA256_Init(void *context)'),
    shaUpdate: func('int SHA256_Update(void *context, const void *data, size_t size)'),
    shaFinal: func('int SHA256_Final(void *digest, void *context)'),
    cipherContext: func('void *EVP_CIPHER_CTX_new()'),
    aes256ctr: func('void *EVP_aes_256_ctr()'),
    aes128ecb: func('void *EVP_aes_128_ecb()'),
    encryptInit: func(
      'int EVP_EncryptInit_ex(void *context, void *type, void *engine, const void *key, const void *iv)',
    ),
    encryptUpdate: func('int EVP_EncryptUpdate(void *context, void *out, void *outSize, const void *in, int inSize)'),
    macFetch: func('void *EVP_MAC_fetch(void *library, const char *name, const char *properties)'),
    macContext: func('void *EVP_MAC_CTX_new(void *mac)'),
    macInit: func('int EVP_MAC_init(void *context, const void *key, size_t keySize, void *parameters)'),
    macUpdate: func('int EVP_MAC_update(void *context, const void *data, size_t size)'),
    macFinal: func('int EVP_MAC_final(void *context, void *out, void *outSize, size_t maxSize)'),
    compressContext: func('void *ZSTD_createCCtx()'),
    freeCompressContext: func('size_t ZSTD_freeCCtx(void *context)'),
    setParameter: func('size_t ZSTD_CCtx_setParameter(void *context, int parameter, int value)'),
    compress: func(
      'size_t ZSTD_compress2(void *context, void *target, size_t capacity, const void *source, size_t size)',
    ),
    decompressContext: func('void *ZSTD_createDCtx()'),
    decompress: func(
      'size_t ZSTD_decompressDCtx(void *context, void *target, size_t capacity, const void *source, size_t size)',
    ),
    contentSize: func('uint64_t ZSTD_getFrameContentSize(const void *source, size_t size)'),
    findFrameSize: func('size_t ZSTD_findFrameCompressedSize(const void *source, size_t size)'),
  };
}

function demand(result: unknown, what: string): void {
  if (result !== 1) throw new Error(`OpenSSL: ${what} failed`);
}

function context(pointer: unknown, what: string): unknown {
  if (pointer === null || pointer === undefined) throw new Error(`${what} is not available`);
  return pointer;
}

function createSha256({ shaInit, shaUpdate, shaFinal }: Functions): Engine['sha256'] {
  const state = Buffer.alloc(sha256ContextBytes);
  return (data) => {
    const digest = Buffer.allocUnsafe(32);
    demand(shaInit(state), 'SHA256_Init');
    if (data.length > 0) demand(shaUpdate(state, data, data.length), 'SHA256_Update');
    demand(shaFinal(digest, state), 'SHA256_Final');
    return digest;
  };
}

function createKeystream(functions: Functions, key: Uint8Array): Keystream {
  const { encryptInit, encryptUpdate } = functions;
  const cipher = context(functions.cipherContext(), 'EVP_CIPHER_CTX');
  const outSize = Buffer.alloc(8);
  demand(encryptInit(cipher, functions.aes256ctr(), null, key, Buffer.alloc(16)), 'AES-256-CTR');
  return {
    apply(iv, source, target) {
      demand(encryptInit(cipher, null, null, null, iv), 'EVP_EncryptInit_ex');
      if (source.length > 0) demand(encryptUpdate(cipher, target, outSize, source, source.length), 'EVP_EncryptUpdate');
    },
  };
}

function createAuthenticator(functions: Functions, k: Uint8Array, r: Uint8Array): Authenticator {
  const { encryptUpdate, macInit, macUpdate, macFinal } = functions;
  const aes = context(functions.cipherContext(), 'EVP_CIPHER_CTX');
  const mac = context(
    functions.macContext(context(functions.macFetch(null, 'POLY1305', null), 'Poly1305')),
    'EVP_MAC_CTX',
  );
  const outSize = Buffer.alloc(8);
  const oneTimeKey = Buffer.alloc(32);
  oneTimeKey.set(r, 0);
  const nonceHalf = oneTimeKey.subarray(16);
  demand(functions.encryptInit(aes, functions.aes128ecb(), null, k, null), 'AES-128-ECB');
  return {
    tag(iv, message, tag) {
      demand(encryptUpdate(aes, nonceHalf, outSize, iv, 16), 'EVP_EncryptUpdate');
      demand(macInit(mac, oneTimeKey, 32, null), 'EVP_MAC_init');
      if (message.length > 0) demand(macUpdate(mac, message, message.length), 'EVP_MAC_update');
      demand(macFinal(mac, tag, outSize, 16), 'EVP_MAC_final');
    },
  };
}

function createDecompress(functions: Functions): Engine['decompress'] {
  const { contentSize, findFrameSize, decompress } = functions;
  const zstd = context(functions.decompressContext(), 'ZSTD_DCtx');
  return (source, maxBytes, scratch) => {
    const size = contentSize(source, source.length);
    // A BigInt is ZSTD_CONTENTSIZE_UNKNOWN or _ERROR; more than one frame is legal and rare.
    if (typeof size !== 'number' || findFrameSize(source, source.length) !== source.length) {
      return decompressBuiltin(source, maxBytes);
    }
    if (size > maxBytes) return null;
    const target = scratch && scratch.length >= size ? scratch.subarray(0, size) : Buffer.allocUnsafe(size);
    return decompress(zstd, target, size, source, source.length) === size ? target : null;
  };
}

// A wrong guess about the ABI must never reach a repository: the engine has to agree with Node's modules first.
function isSound(engine: Engine): boolean {
  const builtin = createBuiltinEngine();
  const sample = Buffer.from('varve'.repeat(100));
  const key = sample.subarray(0, 32);
  const iv = sample.subarray(3, 19);
  const encrypt = ({ createKeystream: create }: Engine): Buffer => {
    const target = Buffer.alloc(sample.length);
    create(key).apply(iv, sample, target);
    return target;
  };
  const tag = ({ createAuthenticator: create }: Engine): Buffer => {
    const target = Buffer.alloc(16);
    create(key.subarray(0, 16), key.subarray(16)).tag(iv, sample, target);
    return target;
  };
  const frame = Buffer.alloc(1024);
  const size = engine.createCompressor(3).compress(sample, frame);
  if (size <= 0) return false;
  const own = engine.decompress(frame.subarray(0, size), sample.length);
  const other = builtin.decompress(frame.subarray(0, size), sample.length);
  return (
    engine.sha256(sample).equals(builtin.sha256(sample)) &&
    encrypt(engine).equals(encrypt(builtin)) &&
    tag(engine).equals(tag(builtin)) &&
    own?.equals(sample) === true &&
    other?.equals(sample) === true
  );
}
